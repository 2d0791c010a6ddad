package daemonset

import (
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/miniorch/miniorch/pkg/api"
)

// fitness is what a set has to do with a node.
type fitness int

const (
	unfit    fitness = iota // no pod may be there
	tolerant                // one that is there may stay
	fit                     // one should be there
)

// choice is what decides on which nodes a set's pods run: wherever the template's node selection lets
// them and their tolerations do, also those that all daemons have.
type choice struct {
	name        string // of the only node; empty: any
	labels      labels.Selector
	required    *corev1.NodeSelector
	tolerations []corev1.Toleration
}

func choiceOf(set *appsv1.DaemonSet) choice {
	spec := &set.Spec.Template.Spec
	c := choice{name: spec.NodeName, labels: labels.SelectorFromSet(spec.NodeSelector), tolerations: withDaemonTolerations(spec)}
	if a := spec.Affinity; a != nil && a.NodeAffinity != nil {
		c.required = a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution
	}
	return c
}

// of tells what the set has to do with a node.
func (c choice) of(n *corev1.Node) fitness {
	if c.name != "" && c.name != n.Name || !c.labels.Matches(labels.Set(n.Labels)) || !api.NodeSelectorMatches(c.required, n) {
		return unfit
	}
	if _, leaves := api.Untolerated(n.Spec.Taints, c.tolerations, corev1.TaintEffectNoExecute); leaves {
		return unfit
	}
	if _, stays := api.Untolerated(n.Spec.Taints, c.tolerations, corev1.TaintEffectNoSchedule); stays {
		return tolerant
	}
	return fit
}

// daemonTolerations are what pods of every DaemonSet tolerate, as documented: what keeps other
// pods away from a node that is not well is often just what a daemon is there for.
var daemonTolerations = []corev1.Toleration{
	{Key: corev1.TaintNodeNotReady, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute},
	{Key: corev1.TaintNodeUnreachable, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute},
	{Key: corev1.TaintNodeDiskPressure, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoSchedule},
	{Key: corev1.TaintNodeMemoryPressure, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoSchedule},
	{Key: corev1.TaintNodePIDPressure, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoSchedule},
	{Key: corev1.TaintNodeUnschedulable, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoSchedule},
}

var networkToleration = corev1.Toleration{Key: corev1.TaintNodeNetworkUnavailable, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoSchedule}

// withDaemonTolerations returns the template's tolerations and those that all daemons have.
func withDaemonTolerations(spec *corev1.PodSpec) []corev1.Toleration {
	all := append([]corev1.Toleration(nil), spec.Tolerations...)
	add := func(t corev1.Toleration) {
		for i := range all {
			if all[i].MatchToleration(&t) {
				return
			}
		}
		all = append(all, t)
	}
	for _, t := range daemonTolerations {
		add(t)
	}
	if spec.HostNetwork {
		add(networkToleration)
	}
	return all
}

// targetOf returns the node that a pod is on, or is for.
func targetOf(p *corev1.Pod) string {
	if p.Spec.NodeName != "" {
		return p.Spec.NodeName
	}
	if a := p.Spec.Affinity; a != nil && a.NodeAffinity != nil && a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution != nil {
		for _, term := range a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms {
			for _, f := range term.MatchFields {
				if f.Key == metav1.ObjectNameField && f.Operator == corev1.NodeSelectorOpIn && len(f.Values) == 1 {
					return f.Values[0]
				}
			}
		}
	}
	return ""
}

// aim makes the scheduler place a pod on this node and no other. What the template requires of
// nodes was looked at when the node was chosen; what it prefers stays.
func aim(spec *corev1.PodSpec, node string) {
	if spec.Affinity == nil {
		spec.Affinity = &corev1.Affinity{}
	}
	if spec.Affinity.NodeAffinity == nil {
		spec.Affinity.NodeAffinity = &corev1.NodeAffinity{}
	}
	spec.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution = &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{{
		MatchFields: []corev1.NodeSelectorRequirement{{Key: metav1.ObjectNameField, Operator: corev1.NodeSelectorOpIn, Values: []string{node}}},
	}}}
}
