package podtopologyspread

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"

	"github.com/miniorch/miniorch/pkg/api"
	"github.com/miniorch/miniorch/scheduler/framework"
)

// constraints are a pod's parsed constraints of one kind, hard or soft.
type constraints struct {
	pod  *framework.PodInfo
	list []constraint
	keys []string // topology keys that a node must have to count; nil: need not
}

type constraint struct {
	*corev1.TopologySpreadConstraint
	selector labels.Selector
}

func (p Plugin) constraints(pod *framework.PodInfo, kind corev1.UnsatisfiableConstraintAction) (constraints, error) {
	all, selector := pod.Pod.Spec.TopologySpreadConstraints, labels.Selector(nil)
	if len(all) == 0 {
		if all, selector = p.defaults(pod, kind); selector == nil {
			return constraints{}, nil
		}
	}
	out := constraints{pod: pod}
	for i := range all {
		if all[i].WhenUnsatisfiable != kind {
			continue
		}
		c, err := parse(pod, &all[i], selector)
		if err != nil {
			return constraints{}, err
		}
		out.list = append(out.list, c)
		if selector == nil || !p.args.System {
			out.keys = append(out.keys, c.TopologyKey)
		}
	}
	return out, nil
}

// defaults returns the default constraints if there are any of the kind and the pod belongs to
// something.
func (p Plugin) defaults(pod *framework.PodInfo, kind corev1.UnsatisfiableConstraintAction) ([]corev1.TopologySpreadConstraint, labels.Selector) {
	if p.kin == nil {
		return nil, nil
	}
	for i := range p.args.Defaults {
		if p.args.Defaults[i].WhenUnsatisfiable == kind {
			return p.args.Defaults, p.kin.Selector(pod.Pod)
		}
	}
	return nil, nil
}

func parse(pod *framework.PodInfo, c *corev1.TopologySpreadConstraint, selector labels.Selector) (constraint, error) {
	if selector != nil {
		return constraint{c, selector}, nil
	}
	selector, err := metav1.LabelSelectorAsSelector(c.LabelSelector)
	if err == nil {
		selector, err = framework.SelectLike(selector, pod.Pod, c.MatchLabelKeys, selection.In)
	}
	if err != nil {
		return constraint{}, fmt.Errorf("%s: %w", c.TopologyKey, err)
	}
	return constraint{c, selector}, nil
}

// about reports whether one of the constraints counts the pod.
func (cs constraints) about(other *corev1.Pod) bool {
	for i := range cs.list {
		if other.Namespace == cs.pod.Pod.Namespace && cs.list[i].selector.Matches(labels.Set(other.Labels)) {
			return true
		}
	}
	return false
}

// count asks the topology for the pods that a constraint is about. Pods that are on their way
// out do not count.
func (cs constraints) count(t *framework.Topology, c constraint) *framework.Counter {
	namespace := cs.pod.Pod.Namespace
	key, nodes := cs.eligible(c)
	return t.Count(framework.Counted{
		Key: fmt.Sprintf("%s|%s|%s|%s", namespace, framework.DescribeSelector(c.selector), strings.Join(cs.keys, ","), key), TopologyKey: c.TopologyKey, Nodes: nodes,
		Pods: func(p *framework.PodInfo) bool {
			return p.Pod.Namespace == namespace && p.Pod.DeletionTimestamp == nil && c.selector.Matches(labels.Set(p.Pod.Labels))
		},
	})
}

// eligible returns which nodes count, with a key that is equal for equal answers.
func (cs constraints) eligible(c constraint) (key string, counts func(*framework.NodeInfo) bool) {
	var affinity func(*framework.NodeInfo) bool
	if c.NodeAffinityPolicy == nil || *c.NodeAffinityPolicy == corev1.NodeInclusionPolicyHonor {
		key, affinity = demanded(&cs.pod.Pod.Spec)
	}
	tolerations := cs.pod.Pod.Spec.Tolerations
	honorTaints := c.NodeTaintsPolicy != nil && *c.NodeTaintsPolicy == corev1.NodeInclusionPolicyHonor
	if honorTaints {
		key += fmt.Sprintf("|%v", tolerations)
	}
	keys := cs.keys
	if affinity == nil && !honorTaints && len(keys) == 0 {
		return key, nil
	}
	return key, func(n *framework.NodeInfo) bool {
		for _, k := range keys {
			if _, ok := n.Node.Labels[k]; !ok {
				return false
			}
		}
		if affinity != nil && !affinity(n) {
			return false
		}
		if !honorTaints {
			return true
		}
		_, untolerated := api.Untolerated(n.Node.Spec.Taints, tolerations, corev1.TaintEffectNoSchedule, corev1.TaintEffectNoExecute)
		return !untolerated
	}
}

// demanded returns which nodes the pod demands by selector and affinity, with a key that is equal
// for equal demands; nil if all will do.
func demanded(spec *corev1.PodSpec) (key string, matches func(*framework.NodeInfo) bool) {
	var required *corev1.NodeSelector
	if a := spec.Affinity; a != nil && a.NodeAffinity != nil {
		required = a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution
	}
	if len(spec.NodeSelector) == 0 && required == nil {
		return "", nil
	}
	for _, k := range slices.Sorted(maps.Keys(spec.NodeSelector)) {
		key += fmt.Sprintf("%q=%q,", k, spec.NodeSelector[k])
	}
	if required != nil {
		key += required.String()
	}
	selector := labels.SelectorFromSet(spec.NodeSelector)
	return key, func(n *framework.NodeInfo) bool {
		return selector.Matches(labels.Set(n.Node.Labels)) && api.NodeSelectorMatches(required, n.Node)
	}
}
