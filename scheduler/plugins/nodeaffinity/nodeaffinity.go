// Package nodeaffinity keeps pods on the nodes that their nodeSelector and required node
// affinity name, and prefers those that their preferred node affinity names.
package nodeaffinity

import (
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/miniorch/miniorch/scheduler/framework"
)

const name = "NodeAffinity"

var (
	refusal      = framework.RefuseForGood("node(s) didn't match Pod's node affinity/selector").By(name)
	addedRefusal = framework.RefuseForGood("node(s) didn't match scheduler-enforced node affinity").By(name)
)

// Plugin is NodeAffinity. Its zero value adds nothing to what pods ask for.
type Plugin struct {
	added *demands // what the profile asks of the nodes of all its pods; nil: nothing
}

// New returns the plugin with an affinity that all pods of a profile have beside their own.
func New(added *corev1.NodeAffinity) (Plugin, error) {
	if added == nil {
		return Plugin{}, nil
	}
	d := &demands{}
	if err := d.add(added); err != nil {
		return Plugin{}, err
	}
	return Plugin{added: d}, nil
}

// Name returns the plugin's name.
func (Plugin) Name() string { return name }

// Sign tells what the plugin reads.
func (Plugin) Sign(b []byte, pod *framework.PodInfo) ([]byte, bool) {
	spec := &pod.Pod.Spec
	for _, k := range slices.Sorted(maps.Keys(spec.NodeSelector)) {
		b = fmt.Appendf(b, "%q=%q,", k, spec.NodeSelector[k])
	}
	if a := affinity(pod); a != nil {
		raw, err := a.Marshal()
		if err != nil {
			return nil, false
		}
		b = append(b, raw...)
	}
	return b, true
}

func affinity(pod *framework.PodInfo) *corev1.NodeAffinity {
	if pod.Pod.Spec.Affinity == nil {
		return nil
	}
	return pod.Pod.Spec.Affinity.NodeAffinity
}

// demands is what a pod asks of its node, parsed.
type demands struct {
	selector  map[string]string
	required  []term // any of them; nil: no demand
	demanding bool   // required counts, also when it is empty
	preferred []preference
}

type preference struct {
	term
	weight int64
}

func parse(pod *framework.PodInfo) (*demands, error) {
	d := &demands{selector: pod.Pod.Spec.NodeSelector}
	a := affinity(pod)
	if a == nil {
		return d, nil
	}
	if err := d.add(a); err != nil {
		return nil, err
	}
	return d, nil
}

func (d *demands) add(a *corev1.NodeAffinity) error {
	if r := a.RequiredDuringSchedulingIgnoredDuringExecution; r != nil {
		d.demanding = true
		for i := range r.NodeSelectorTerms {
			t, err := parseTerm(&r.NodeSelectorTerms[i])
			if err != nil {
				return err
			}
			d.required = append(d.required, t)
		}
	}
	for i := range a.PreferredDuringSchedulingIgnoredDuringExecution {
		p := &a.PreferredDuringSchedulingIgnoredDuringExecution[i]
		t, err := parseTerm(&p.Preference)
		if err != nil {
			return err
		}
		d.preferred = append(d.preferred, preference{t, int64(p.Weight)})
	}
	return nil
}

// PreFilter parses what the pod asks for.
func (p Plugin) PreFilter(state *framework.CycleState, pod *framework.PodInfo, _ framework.Snapshot) *framework.Status {
	d, err := parse(pod)
	if err != nil {
		return framework.RefuseForGood(fmt.Sprintf("pod has an invalid node affinity: %v", err))
	}
	state.Put(name, d)
	if names := d.names(); names != nil {
		state.Restrict(names, refusal)
	}
	if len(d.selector) == 0 && !d.demanding && (p.added == nil || !p.added.demanding) {
		return framework.Skipped
	}
	return nil
}

// Filter refuses nodes that the pod does not ask for.
func (p Plugin) Filter(state *framework.CycleState, _ *framework.PodInfo, node *framework.NodeInfo) *framework.Status {
	if p.added != nil && !p.added.fit(node.Node) {
		return addedRefusal
	}
	if !framework.Value[*demands](state, name).fit(node.Node) {
		return refusal
	}
	return nil
}

// names returns the nodes that the pod demands by name; nil if it does not.
func (d *demands) names() []string {
	var all []string
	for _, t := range d.required {
		at := slices.IndexFunc(t.names, func(r nameRule) bool { return !r.not })
		if at < 0 {
			return nil // this term alone lets other nodes pass
		}
		all = append(all, t.names[at].value)
	}
	return all
}

func (d *demands) fit(n *corev1.Node) bool {
	for k, v := range d.selector {
		if have, ok := n.Labels[k]; !ok || have != v {
			return false
		}
	}
	if !d.demanding {
		return true
	}
	return slices.ContainsFunc(d.required, func(t term) bool { return t.matches(n) })
}

// PreScore skips pods without preferences.
func (p Plugin) PreScore(state *framework.CycleState, _ *framework.PodInfo, _ framework.Snapshot) *framework.Status {
	if len(framework.Value[*demands](state, name).preferred) == 0 && (p.added == nil || len(p.added.preferred) == 0) {
		return framework.Skipped
	}
	return nil
}

// Score adds up the weights of the preferences that the node meets.
func (p Plugin) Score(state *framework.CycleState, _ *framework.PodInfo, node *framework.NodeInfo) int64 {
	sum := framework.Value[*demands](state, name).like(node.Node)
	if p.added != nil {
		sum += p.added.like(node.Node)
	}
	return sum
}

func (d *demands) like(n *corev1.Node) (sum int64) {
	for _, p := range d.preferred {
		if p.matches(n) {
			sum += p.weight
		}
	}
	return sum
}

// Normalize makes the node that meets most the best.
func (Plugin) Normalize(score, _, highest int64) int64 {
	return framework.NormalizeUp(score, highest)
}
