// Package framework is what scheduler plugins are written against: the extension points,
// the view of pods and nodes that they get, and the Framework that runs the plugins of a
// profile in order. It decides nothing itself and does no I/O.
//
// The extension points, in the order a pod meets them:
//
//	PreEnqueue QueueSort               whether it may be tried, which pod is next
//	PreFilter Filter PostFilter        where it can run
//	PreScore Score (Normalize)         where it should run
//	Reserve Permit PreBind Bind PostBind  make it so
//
// A plugin is any type with a Name and one or more of the interfaces below.
package framework

import (
	"context"
	"math"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// MaxScore is the best score that a plugin gives a node, 0 the worst.
const MaxScore int64 = 100

// Plugin is what all plugins have in common.
type Plugin interface {
	Name() string // as people know it: "NodeResourcesFit"
}

// Signer says which part of a pod the plugin's PreFilter, Filter, PreScore and Score read: it
// appends that part to b. Pods with equal signatures get equal answers from the same node,
// so the scheduler asks once for all of them. ok is false if the answer for one node
// depends on more than the pod and that node. If any plugin with one of those extension points
// is no Signer, nothing is shared. A Wide plugin need not be one: it is asked for every pod.
type Signer interface {
	Plugin
	Sign(b []byte, pod *PodInfo) (signed []byte, ok bool)
}

// QueueSort orders the pods that wait. A profile has exactly one.
type QueueSort interface {
	Plugin
	Less(a, b *QueuedPod) bool
}

// PreEnqueue says whether a pod may be tried at all (nil), or what it waits for. It is asked
// when the pod comes or changes, and again when an event that the plugin reports itself Helps. It
// is pure.
type PreEnqueue interface {
	Plugin
	PreEnqueue(pod *PodInfo) *Status
}

// PreFilter looks at the pod once, before any node: to refuse it altogether, or to keep in
// state what Filter needs again and again. Skip means that the plugin's Filter has nothing
// to say about this pod.
type PreFilter interface {
	Plugin
	PreFilter(state *CycleState, pod *PodInfo, nodes Snapshot) *Status
}

// Filter says whether the pod can run on the node (nil), or why not. It is pure and is
// called concurrently with itself.
type Filter interface {
	Plugin
	Filter(state *CycleState, pod *PodInfo, node *NodeInfo) *Status
}

// PreScore looks at the pod once before the nodes are scored. Skip means that the plugin
// finds all nodes equally good for this pod.
type PreScore interface {
	Plugin
	PreScore(state *CycleState, pod *PodInfo, nodes Snapshot) *Status
}

// Score says how good the node is for the pod: in [0, MaxScore], or any number if the
// plugin is a Normalizer too. It is pure, and may be asked about nodes that others refuse.
type Score interface {
	Plugin
	Score(state *CycleState, pod *PodInfo, node *NodeInfo) int64
}

// NoScore is the raw score of a node that the plugin cannot rank: it becomes 0, and does not
// count as lowest or highest.
const NoScore int64 = math.MinInt64

// Normalizer brings a raw score into [0, MaxScore], knowing the lowest and the highest raw score
// of all nodes that passed. It reads nothing else, so that a change of one node changes the
// scores of others only when it moves one of these two.
type Normalizer interface {
	Normalize(score, lowest, highest int64) int64
}

// Aging is a PreScore plugin that keeps in state something about all nodes. Ages reports
// whether it must be worked out anew, with all its scores, since a node was old and is now.
type Aging interface {
	Plugin
	Ages(pod *PodInfo, old, now *NodeInfo) bool
}

// Reserve takes what the pod will need on the node; Unreserve gives it back if anything
// later fails, and must cope with a Reserve that did not happen.
type Reserve interface {
	Plugin
	Reserve(ctx context.Context, state *CycleState, pod *PodInfo, node string) *Status
	Unreserve(ctx context.Context, state *CycleState, pod *PodInfo, node string)
}

// Permit has the last word on a decision: nil, a refusal, or Wait, and then how long to wait
// for somebody to call Allow or Reject on the Framework.
type Permit interface {
	Plugin
	Permit(ctx context.Context, state *CycleState, pod *PodInfo, node string) (*Status, time.Duration)
}

// PreBind does what must be done before the pod may be bound.
type PreBind interface {
	Plugin
	PreBind(ctx context.Context, state *CycleState, pod *PodInfo, node string) *Status
}

// Slow is a PreBind plugin that may take minutes for some pods. They are bound beside all others.
type Slow interface {
	PreBind
	Slow(state *CycleState, pod *PodInfo, node string) bool
}

// Bind tells the API server. The first plugin that does not Skip has bound the pod.
type Bind interface {
	Plugin
	Bind(ctx context.Context, state *CycleState, pod *PodInfo, node string) *Status
}

// PostBind is told that a pod has been bound.
type PostBind interface {
	Plugin
	PostBind(pod *PodInfo)
}

// Handle is how a Permit plugin speaks for pods that it lets wait.
type Handle interface {
	Allow(uid types.UID, plugin string)
	Reject(uid types.UID, plugin, reason string)
}

// Handled is a plugin that needs the Handle of its profile. It gets it before anything else.
type Handled interface {
	Plugin
	Handle(h Handle)
}

// Enabled is a plugin in a profile. Weight multiplies its scores. At the extension points in
// Off it does not take part.
type Enabled struct {
	Plugin
	Weight int64
	Off    []Point
}

func (e *Enabled) on(at Point) bool { return !slices.Contains(e.Off, at) }

// Profile is a list of plugins, in the order they are asked, under the name that pods ask for
// in spec.schedulerName.
type Profile struct {
	SchedulerName string
	Plugins       []Enabled
}
