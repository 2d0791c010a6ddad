package lifecycle

import (
	"fmt"
	"strings"
	"time"

	"github.com/miniorch/miniorch/kubelet/container"
)

// Verb says what an Action does.
type Verb string

// The verbs of actions.
const (
	Prepare  Verb = "prepare"  // make directories, cgroup, volumes, network
	Start    Verb = "start"    // ensure the image, create, start, run postStart
	Stop     Verb = "stop"     // run preStop, signal, wait, kill
	Remove   Verb = "remove"   // remove a container that does not run
	Teardown Verb = "teardown" // undo Prepare
	// ResizePod gives running containers the CPU and memory that the pod's spec names by now.
	ResizePod Verb = "resize"
	Delete    Verb = "delete" // delete the pod's API object for good
	Cancel    Verb = "cancel" // give up the operation whose key is Name
)

// Action is one thing to do; its result is seen in the next Observed.
type Action struct {
	Verb Verb
	Name string // the container's name, if it is about one
	ID   string // Stop, Remove: the container

	// Start.
	Kind         container.Kind
	RestartCount int
	BackOff      int    // to be kept as LabelBackOff
	Size         string // if not empty: what to give it instead of what the spec wants

	// Stop.
	Grace time.Duration
	Hook  bool   // run preStop first
	Why   string // for the Killing event; empty for the ordinary end of a pod
	Again bool   // another follows at once, whatever the restart policy
}

// Key names the operation in Observed.Busy. No two operations with one key run at once.
func (a Action) Key() string {
	switch a.Verb {
	case Start:
		return "start " + a.Name
	case Stop, Remove:
		return string(a.Verb) + " " + a.ID
	}
	return string(a.Verb)
}

// String prints the action as one clause.
func (a Action) String() string {
	switch a.Verb {
	case Start:
		return fmt.Sprintf("start %s[%d]", a.Name, a.RestartCount)
	case Stop:
		if a.Why != "" {
			return fmt.Sprintf("stop %s within %s (%s)", a.Name, a.Grace, a.Why)
		}
		return fmt.Sprintf("stop %s within %s", a.Name, a.Grace)
	case Remove, Cancel, ResizePod:
		return string(a.Verb) + " " + a.Name
	}
	return string(a.Verb)
}

// Plan is what to do now and when to look again.
type Plan struct {
	State   State
	Actions []Action
	// Wake is when the plan changes by time alone; zero means only by events.
	Wake time.Time
}

// String prints the plan: "Running: start web[2], remove web".
func (p Plan) String() string {
	if len(p.Actions) == 0 {
		return string(p.State) + ": nothing"
	}
	parts := make([]string, len(p.Actions))
	for i, a := range p.Actions {
		parts[i] = a.String()
	}
	return string(p.State) + ": " + strings.Join(parts, ", ")
}

// wakeAt keeps the earliest time.
func (p *Plan) wakeAt(t time.Time) {
	if p.Wake.IsZero() || t.Before(p.Wake) {
		p.Wake = t
	}
}
