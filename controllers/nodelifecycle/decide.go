package nodelifecycle

import (
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/miniorch/miniorch/pkg/api"
)

// observed is what is decided from.
type observed struct {
	Node   *corev1.Node
	Pods   []*corev1.Pod // on the node
	Seen   time.Time     // when its heartbeat was last seen to change, by our clock
	Outage outage        // of the node's zone
	Wait   time.Duration // until the zone has room for another eviction
	Now    time.Time

	Grace, StartupGrace time.Duration
}

// Plan is what is to be said about one node.
type Plan struct {
	Conditions []corev1.NodeCondition // nil: as they are
	Taints     []corev1.Taint         // valid if Retaint
	Retaint    bool
	Unready    []*corev1.Pod // to be marked as not ready
	Evicts     bool          // the node is newly marked for eviction
	Recheck    time.Duration // when the node's silence becomes too long, or it may be marked; 0: never
	changes    []string
}

// Empty tells whether there is nothing to do.
func (p Plan) Empty() bool { return p.Conditions == nil && !p.Retaint && len(p.Unready) == 0 }

// String prints the plan.
func (p Plan) String() string {
	parts := slices.Clone(p.changes)
	if n := len(p.Unready); n > 0 {
		parts = append(parts, fmt.Sprintf("mark %d pods not ready", n))
	}
	if len(parts) == 0 {
		return "nothing"
	}
	return strings.Join(parts, ", ")
}

// decide declares a silent node unreachable and keeps its taints in step with its conditions.
func decide(o observed) Plan {
	var p Plan
	node := o.Node
	if silence := o.Now.Sub(o.Seen); silence < o.grace() {
		p.Recheck = o.grace() - silence
	} else if conditions, changed := unknown(node, o.Now); changed {
		p.Conditions = conditions
		p.changes = append(p.changes, "Ready=Unknown")
		node = node.DeepCopy()
		node.Status.Conditions = conditions
	}
	t := retaint(node, o.Outage, o.Wait > 0, o.Now)
	p.Taints, p.Retaint, p.Evicts = t.taints, len(t.changes) > 0, t.evicts
	p.changes = append(p.changes, t.changes...)
	if t.held && (p.Recheck == 0 || o.Wait < p.Recheck) {
		p.Recheck = o.Wait
	}
	if c := api.NodeCondition(node, corev1.NodeReady); c != nil && c.Status == corev1.ConditionUnknown {
		p.Unready = readyPods(o.Pods)
	}
	return p
}

// grace is longer until a node has said something for the first time.
func (o observed) grace() time.Duration {
	if api.NodeCondition(o.Node, corev1.NodeReady) == nil {
		return o.StartupGrace
	}
	return o.Grace
}

// silent are the conditions that nobody knows any more when a node is silent.
var silent = []corev1.NodeConditionType{corev1.NodeReady, corev1.NodeMemoryPressure, corev1.NodeDiskPressure, corev1.NodePIDPressure}

// unknown sets the conditions of a silent node to Unknown.
func unknown(node *corev1.Node, now time.Time) (conditions []corev1.NodeCondition, changed bool) {
	conditions = slices.Clone(node.Status.Conditions)
	for _, t := range silent {
		at := slices.IndexFunc(conditions, func(c corev1.NodeCondition) bool { return c.Type == t })
		switch {
		case at < 0:
			conditions = append(conditions, corev1.NodeCondition{
				Type: t, Status: corev1.ConditionUnknown, Reason: "NodeStatusNeverUpdated", Message: "Kubelet never posted node status.",
				LastHeartbeatTime: node.CreationTimestamp, LastTransitionTime: metav1.NewTime(now),
			})
		case conditions[at].Status != corev1.ConditionUnknown:
			c := &conditions[at]
			c.Status, c.Reason, c.Message = corev1.ConditionUnknown, "NodeStatusUnknown", "Kubelet stopped posting node status."
			c.LastTransitionTime = metav1.NewTime(now)
		default:
			continue
		}
		changed = true
	}
	return conditions, changed
}

func readyPods(pods []*corev1.Pod) []*corev1.Pod {
	var out []*corev1.Pod
	for _, p := range pods {
		if api.IsPodReady(p) {
			out = append(out, p)
		}
	}
	return out
}
