// Package container holds the plain types that the kubelet and its container runtime
// share: a container as it was observed, everything needed to create one, images, events
// and exec requests. It owns no behaviour but what follows from the values alone, and
// imports nothing of the kubelet.
package container

import (
	"fmt"
	"time"
)

// Kind says which role a container plays in its pod.
type Kind string

// The kinds of containers.
const (
	KindInit Kind = "init" // runs to completion before the app containers start
	KindApp  Kind = "app"  // runs for the life of the pod
	// KindEphemeral was added to a pod that ran already, to look into it. It runs once, and the
	// pod does not depend on it.
	KindEphemeral Kind = "ephemeral"
)

// State is the phase of a container as the runtime sees it.
type State string

// The states of a container. It moves only forward: created, running, exited.
const (
	StateCreated State = "created" // exists, was never started
	StateRunning State = "running"
	StateExited  State = "exited"
)

// The reasons of an exit, in the words of Kubernetes' ContainerStateTerminated.
const (
	ReasonCompleted  = "Completed"              // exit code 0
	ReasonError      = "Error"                  // any other exit code
	ReasonOOMKilled  = "OOMKilled"              // the kernel killed a process of it for want of memory
	ReasonUnknown    = "ContainerStatusUnknown" // nobody saw it end: its shim died, with the machine perhaps
	ReasonStartError = "StartError"             // it was created but its process could not be started
)

// The labels every container carries in containerd. They are the agent's whole memory.
const (
	LabelPodUID        = "miniorch.dev/pod-uid"
	LabelPodNamespace  = "miniorch.dev/pod-namespace"
	LabelPodName       = "miniorch.dev/pod-name"
	LabelContainerName = "miniorch.dev/container-name"
	LabelKind          = "miniorch.dev/kind"
	LabelRestartCount  = "miniorch.dev/restart-count"
	LabelSpecHash      = "miniorch.dev/spec-hash"
)

// Container is one container as observed: its identity from its labels, the rest from
// the state of its task.
type Container struct {
	ID           string
	PodUID       string
	PodNamespace string
	PodName      string
	Name         string // in the pod's spec
	Kind         Kind
	RestartCount int
	SpecHash     string // ContainerSpec.SpecHash when it was created

	Image   string // the reference it was created from, as the pod names it
	ImageID string // the digest of the image, "sha256:…"; see Image.ID

	State      State
	ExitCode   int    // meaningful when exited; 128+n after signal n
	Signal     int    // ExitCode's signal if it is one's, else 0: a process may also exit with such a code
	Reason     string // ReasonCompleted, ReasonError, …; empty until exited
	Message    string // a detail of Reason, such as the error of a failed start
	CreatedAt  time.Time
	StartedAt  time.Time
	FinishedAt time.Time
	PID        int // of its first process, while running

	LogPath                string
	TerminationMessagePath string // on the host; empty if it has none
	CgroupPath             string // as given to the runtime; see kubelet/cgroups for its statistics
	Labels                 map[string]string
}

// String names the container in logs: "namespace/pod/container[restart] state".
func (c Container) String() string {
	return fmt.Sprintf("%s/%s/%s[%d] %s", c.PodNamespace, c.PodName, c.Name, c.RestartCount, c.State)
}

// EventType says what happened to a container.
type EventType string

// The types of events.
const (
	EventStarted EventType = "started"
	EventExited  EventType = "exited"
	EventOOM     EventType = "oom"
)

// ContainerEvent reports a change of one container's first process.
type ContainerEvent struct {
	Type     EventType
	ID       string
	PID      int
	ExitCode int       // for EventExited
	Time     time.Time // when it happened, by containerd's clock
}
