package lifecycle

import (
	"time"

	"github.com/miniorch/miniorch/kubelet/container"
)

// Observed is everything about a pod but what its API object says. Step only reads it.
type Observed struct {
	// Containers are the pod's containers, in any order.
	Containers []container.Container
	// Messages are the termination messages of exited containers, by container ID.
	Messages map[string]string
	// Failures are the last attempts that ended without a container, by container name. A
	// successful start removes the entry.
	Failures map[string]Failure
	// Probes are the results for running containers, by container ID.
	Probes map[string]Probe
	// Hooked are the IDs of containers whose postStart hook is still running.
	Hooked map[string]bool

	Sandbox Sandbox
	// Held: the node still holds something of the pod (network, volumes, cgroup, directory).
	Held bool

	// Removed: the API no longer has the pod.
	Removed bool
	// Rejected says why this node refuses to run the pod; nil accepts it.
	Rejected *Rejection
	// Evicted says why the node ends the pod, which it had taken; nil lets it live.
	Evicted *Rejection
	// Reported: the API has the status that the last Step returned.
	Reported bool

	// Busy names the operations under way, as Action.Key does.
	Busy map[string]bool
	// Cancelled names those of them that were told to end.
	Cancelled map[string]bool
	// Deadlines says when containers that are being stopped will be killed, by container ID.
	Deadlines map[string]time.Time

	// Refusal: the pod's containers cannot have the CPU and memory that it wants now.
	Refusal *Refusal
	// ResizeError is why the last attempt to give them failed.
	ResizeError string
	// Again are the IDs of containers that were stopped to be started anew.
	Again map[string]bool

	HostIPs []string
}

// Sandbox is what has to be there before the first container: namespaces, address, volumes.
type Sandbox struct {
	Ready   bool
	IPs     []string
	Failure *Failure // of the last attempt, if not Ready
}

// Failure is an attempt that failed, counted over consecutive attempts.
type Failure struct {
	Reason   string // the waiting reason: ErrImagePull, CreateContainerError, …
	Message  string
	At       time.Time
	Attempts int // in a row, at least 1
	// Brief: the container runtime was away. It comes back soon, and the pod cannot help it.
	Brief bool
}

// Probe holds what a container's probes have found.
type Probe struct {
	Started bool
	Ready   bool
	// Failed is why the container must be restarted: its liveness or startup probe failed
	// too often. Empty while it may live.
	Failed string
	// Grace overrides the pod's grace period for that restart.
	Grace *int64
}

// Rejection is why a node refuses a pod, or wants it no more, for good.
type Rejection struct {
	Reason  string // "OutOfcpu", "NodeAffinity", "Evicted", …
	Message string
}

// LabelBackOff is the label that says how many restarts in a row led to a container; it
// decides how long its successor has to wait.
const LabelBackOff = "miniorch.dev/back-off"

// LabelGrace is the label that keeps a pod's grace period for agents that find containers
// whose pod is gone from the API.
const LabelGrace = "miniorch.dev/grace-seconds"

// ReasonEvicted is that of a pod that its node has ended.
const ReasonEvicted = "Evicted"

// Reasons of a waiting container.
const (
	ReasonContainerCreating    = "ContainerCreating"
	ReasonPodInitializing      = "PodInitializing"
	ReasonCrashLoopBackOff     = "CrashLoopBackOff"
	ReasonErrImagePull         = "ErrImagePull"
	ReasonImagePullBackOff     = "ImagePullBackOff"
	ReasonErrImageNeverPull    = "ErrImageNeverPull"
	ReasonInvalidImageName     = "InvalidImageName"
	ReasonCreateContainerConf  = "CreateContainerConfigError"
	ReasonCreateContainerError = "CreateContainerError"
	ReasonRunContainerError    = "RunContainerError"
)
