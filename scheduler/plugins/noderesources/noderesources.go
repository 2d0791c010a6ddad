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
	if len(args.Resources) == 0 {
		args.Resources = CPUAndMemory()
	}
	return Plugin{args: args, scorer: scorer{args.Strategy, args.Resources, args.Shape}}
}

// Name returns the plugin's name.
func (Plugin) Name() string { return "NodeResourcesFit" }

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
	reasons, never := p.lacks(&pod.Requests, node)
	switch {
	case len(reasons) == 0:
		return nil
	case never:
		return framework.RefuseForGood(reasons...)
	}
	return framework.Refuse(reasons...)
}

// lacks returns, in the words that users read, what the node has not enough of; never if an
// empty node would not have it either.
func (p Plugin) lacks(want *framework.Resources, node *framework.NodeInfo) (reasons []string, never bool) {
	used, has := &node.Requested, &node.Allocatable
	check := func(what string, want, used, has int64) {
		if want > 0 && want > has-used {
			reasons = append(reasons, what)
			never = never || want > has
		}
	}
	if used.Pods+want.Pods > has.Pods {
		reasons = append(reasons, "Too many pods")
	}
	check("Insufficient cpu", want.MilliCPU, used.MilliCPU, has.MilliCPU)
	check("Insufficient memory", want.Memory, used.Memory, has.Memory)
	check("Insufficient ephemeral-storage", want.EphemeralStorage, used.EphemeralStorage, has.EphemeralStorage)
	for _, o := range want.Others {
		if !p.ignores(o.Name) {
			check("Insufficient "+string(o.Name), o.Value, used.Other(o.Name), has.Other(o.Name))
		}
	}
	return reasons, never
}

func (p Plugin) ignores(name corev1.ResourceName) bool {
	group, _, extended := strings.Cut(string(name), "/")
	return extended && (slices.Contains(p.args.Ignored, name) || slices.Contains(p.args.IgnoredGroups, group))
}

// Score rates the node as the strategy says, with the pod on it.
func (p Plugin) Score(_ *framework.CycleState, pod *framework.PodInfo, node *framework.NodeInfo) int64 {
	return p.score(pod, node)
}
