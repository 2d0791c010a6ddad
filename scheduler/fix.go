package scheduler

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/miniorch/miniorch/pkg/api"
	"github.com/miniorch/miniorch/pkg/explain"
	"github.com/miniorch/miniorch/scheduler/framework"
)

// fix is a single change that may help, with where.
type fix struct {
	explain.Fix
	size size
}

// size orders changes: first the kind, then how much of it.
type size struct {
	kind   int
	amount float64
}

// The kinds of single changes, the smallest first: words about a node, words about the pod,
// somebody else's pod, and last what costs money.
const (
	uncordons = iota
	untaints
	relabels
	tolerates
	evicts
	enlarges
)

func (s size) compare(o size) int {
	return cmp.Or(cmp.Compare(s.kind, o.kind), cmp.Compare(s.amount, o.amount))
}

const (
	// fixNodes bounds how many nodes are tried with every one of their pods evicted.
	fixNodes = 200
	// fixesKept is how many changes are named.
	fixesKept = 5
)

// fixes returns the single changes after which the pod of a decision would fit on a node, the
// smallest first. It tries what each node's refusals suggest.
func fixes(d *Decision, x *explain.Table) []explain.Fix {
	m := newMind()
	var found []fix
	for i, row := range x.Nodes {
		if len(row.Refused) == 0 {
			continue
		}
		for _, f := range suggestions(d, d.nodes.At(i), i < fixNodes) {
			if len(found) >= fixesKept && f.size.compare(found[fixesKept-1].size) >= 0 {
				continue // enough are smaller
			}
			if m.helps(d, f, i) {
				f.Node = row.Node
				found = append(found, f)
				slices.SortStableFunc(found, func(a, b fix) int { return a.size.compare(b.size) })
				found = found[:min(len(found), fixesKept)]
			}
		}
	}
	var out []explain.Fix
	for _, f := range found {
		out = append(out, f.Fix)
	}
	return out
}

// helps reports whether the pod fits on the node at i after the change.
func (m *mind) helps(d *Decision, f fix, i int) bool {
	c, err := ParseChange(f.Change, d.Pod.Pod.Namespace)
	if err != nil {
		return false
	}
	world, err := imagine(d, []Change{c})
	if err != nil {
		return false
	}
	m.topology.Follow(world.nodes)
	return m.filterOne(d.fw, framework.NewCycleState(), framework.NewPodInfo(world.pod), world.nodes, i).OK()
}

// suggestions returns the changes of one node, and of the pod, that could help there.
func suggestions(d *Decision, n *framework.NodeInfo, thorough bool) (out []fix) {
	add := func(kind int, amount float64, format string, args ...any) {
		out = append(out, fix{explain.Fix{Change: fmt.Sprintf(format, args...)}, size{kind, amount}})
	}
	if n.Node.Spec.Unschedulable {
		add(uncordons, 0, "uncordon %s", n.Name)
	}
	pod := d.Pod.Pod
	for _, t := range n.Node.Spec.Taints {
		_, keeps := api.Untolerated([]corev1.Taint{t}, pod.Spec.Tolerations, corev1.TaintEffectNoSchedule, corev1.TaintEffectNoExecute)
		if keeps && t.Key != corev1.TaintNodeUnschedulable {
			add(untaints, 0, "untaint %s %s", n.Name, t.Key)
			add(tolerates, 0, "tolerate %s", t.Key)
		}
	}
	for _, l := range wantedLabels(pod) {
		if n.Node.Labels[l.key] != l.value {
			add(relabels, 0, "label %s %s=%s", n.Name, l.key, l.value)
		}
	}
	for _, l := range lacking(&d.Pod.Requests, n) {
		add(enlarges, l.share, "node %s +%s %s", n.Name, l.quantity.String(), l.name)
	}
	if thorough {
		for _, p := range n.Pods {
			add(evicts, float64(p.Priority), "evict %s/%s", p.Pod.Namespace, p.Pod.Name)
		}
	}
	return out
}

type wantedLabel struct{ key, value string }

// wantedLabels returns the labels that the pod demands of its node by name and value.
func wantedLabels(pod *corev1.Pod) (out []wantedLabel) {
	for _, k := range slices.Sorted(maps.Keys(pod.Spec.NodeSelector)) {
		out = append(out, wantedLabel{k, pod.Spec.NodeSelector[k]})
	}
	if a := pod.Spec.Affinity; a != nil && a.NodeAffinity != nil && a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution != nil {
		for _, t := range a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms {
			for _, e := range t.MatchExpressions {
				switch {
				case e.Operator == corev1.NodeSelectorOpIn && len(e.Values) > 0:
					out = append(out, wantedLabel{e.Key, e.Values[0]})
				case e.Operator == corev1.NodeSelectorOpExists:
					out = append(out, wantedLabel{e.Key, "true"})
				}
			}
		}
	}
	return out
}

// lack is what a node has too little of.
type lack struct {
	name     corev1.ResourceName
	quantity *resource.Quantity
	share    float64 // of what the node has
}

func lacking(want *framework.Resources, n *framework.NodeInfo) (out []lack) {
	check := func(name corev1.ResourceName, want, used, has int64, quantity func(int64) *resource.Quantity) {
		if more := want - (has - used); want > 0 && more > 0 {
			out = append(out, lack{name, quantity(more), float64(more) / float64(max(has, 1))})
		}
	}
	milli := func(v int64) *resource.Quantity { return resource.NewMilliQuantity(v, resource.DecimalSI) }
	bytes := func(v int64) *resource.Quantity { return resource.NewQuantity(v, resource.BinarySI) }
	count := func(v int64) *resource.Quantity { return resource.NewQuantity(v, resource.DecimalSI) }
	check(corev1.ResourceCPU, want.MilliCPU, n.Requested.MilliCPU, n.Allocatable.MilliCPU, milli)
	check(corev1.ResourceMemory, want.Memory, n.Requested.Memory, n.Allocatable.Memory, bytes)
	check(corev1.ResourceEphemeralStorage, want.EphemeralStorage, n.Requested.EphemeralStorage, n.Allocatable.EphemeralStorage, bytes)
	check(corev1.ResourcePods, want.Pods, n.Requested.Pods, n.Allocatable.Pods, count)
	for _, o := range want.Others {
		check(o.Name, o.Value, n.Requested.Other(o.Name), n.Allocatable.Other(o.Name), count)
	}
	return out
}
