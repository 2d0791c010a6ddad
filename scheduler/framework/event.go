package framework

import "github.com/miniorch/miniorch/pkg/api"

// The kinds of events that the scheduler reports itself.
const (
	NodeEvent = "Node" // came, changed in something that matters, or went
	PodEvent  = "Pod"  // on a node: came, changed labels, or went
)

// Event is something that happened in the cluster and may help a pod that waits.
type Event struct {
	Kind     string
	Old, New api.Object // one of them may be nil; both are, of a PodEvent
	// Of a PodEvent, which one of may be nil.
	OldPod, NewPod *PodInfo
}

// Hinter says of a pod that the plugin refused whether the event may change its mind. A
// plugin that filters node by node needs none for nodes and pods: it is asked again about
// the node that the event is about. In doubt the answer is true: it costs an attempt,
// while a wrong false costs minutes.
type Hinter interface {
	Plugin
	Helps(pod *PodInfo, e Event) bool
}

// EventSource is a plugin that watches kinds of its own. Events is called once, before
// informers run: it registers handlers that report what may help pods that it refused.
type EventSource interface {
	Plugin
	Events(report func(Event))
}
