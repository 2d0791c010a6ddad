// Package noderesources keeps pods away from nodes that cannot give what they request, and
// prefers nodes by how much of them is in use.
package noderesources

import (
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/miniorch/miniorch/scheduler/framework"
)

const name = "NodeResourcesFit"

// Args tunes the plugin.
type Args struct {
	Strategy  Strategy        // default: LeastAllocated
	Resources []Weighted      // default: CPUAndMemory
	Shape     framework.Shape // of RequestedToCapacityRatio
	// Ignored and IgnoredGroups are extended resources that somebody else sees to: by name,
	// and by what stands before the slash.
	Ignored       []corev1.ResourceName
	IgnoredGroups []string
}

// Plugin is NodeResourcesFit.
type Plugin struct {
	args Args
	scorer
}

// New returns the plugin.
func New(args Args) Plugin {
	if args.Strategy == "" {
		args.Strategy = LeastAllocated
	}
	return Plugin{args: args, scorer: scorer{args.Strategy, counting(args.Resources), args.Shape}}
}

// Name returns the plugin's name.
func (Plugin) Name() string { return name }

// Sign tells what the plugin reads.
func (Plugin) Sign(b []byte, pod *framework.PodInfo) ([]byte, bool) { return sign(b, pod), true }

func sign(b []byte, pod *framework.PodInfo) []byte {
	r := &pod.Requests
	for _, n := range []int64{r.MilliCPU, r.Memory, r.EphemeralStorage, pod.Assumed.MilliCPU, pod.Assumed.Memory} {
		b = append(strconv.AppendInt(b, n, 36), ',')
	}
	for _, o := range r.Others {
		b = append(append(b, o.Name...), '=')
		b = append(strconv.AppendInt(b, o.Value, 36), ',')
	}
	return b
}

// Filter refuses a node that lacks something the pod requests; the reasons name all of it.
func (p Plugin) Filter(_ *framework.CycleState, pod *framework.PodInfo, node *framework.NodeInfo) *framework.Status {
	want, used, has := &pod.Requests, &node.Requested, &node.Allocatable
	var l lack
	if used.Pods+want.Pods > has.Pods {
		l.what |= pods
	}
	l.check(cpu, want.MilliCPU, used.MilliCPU, has.MilliCPU)
	l.check(memory, want.Memory, used.Memory, has.Memory)
	l.check(storage, want.EphemeralStorage, used.EphemeralStorage, has.EphemeralStorage)
	for _, o := range want.Others {
		if !p.ignores(o.Name) && l.check(0, o.Value, used.Other(o.Name), has.Other(o.Name)) {
			l.others = append(l.others, "Insufficient "+string(o.Name))
		}
	}
	return l.refusal()
}

func (p Plugin) ignores(name corev1.ResourceName) bool {
	group, _, extended := strings.Cut(string(name), "/")
	return extended && (slices.Contains(p.args.Ignored, name) || slices.Contains(p.args.IgnoredGroups, group))
}

// Score rates the node as the strategy says, with the pod on it.
func (p Plugin) Score(_ *framework.CycleState, pod *framework.PodInfo, node *framework.NodeInfo) int64 {
	return p.score(pod, node)
}
