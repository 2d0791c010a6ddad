// Package podtopologyspread spreads pods evenly over zones, nodes or whatever else a label of
// nodes tells apart, as their topologySpreadConstraints say. Pods without any that belong to a
// Service or a controller get the default constraints.
package podtopologyspread

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/miniorch/miniorch/scheduler/framework"
)

const name = "PodTopologySpread"

var (
	uneven  = framework.Refuse("node(s) didn't match pod topology spread constraints").By(name)
	nowhere = framework.RefuseForGood("node(s) didn't match pod topology spread constraints (missing required label)").By(name)
)

// Args tunes the plugin.
type Args struct {
	// Defaults are the constraints of pods that have none. Their selector is the one of the
	// pod's Services and controller.
	Defaults []corev1.TopologySpreadConstraint
	// System says that Defaults are SystemDefaults: nodes without one of the labels count too.
	System bool
}

// SystemDefaults are the defaults of a cluster that sets none.
func SystemDefaults() Args {
	return Args{System: true, Defaults: []corev1.TopologySpreadConstraint{
		{TopologyKey: corev1.LabelHostname, WhenUnsatisfiable: corev1.ScheduleAnyway, MaxSkew: 3},
		{TopologyKey: corev1.LabelTopologyZone, WhenUnsatisfiable: corev1.ScheduleAnyway, MaxSkew: 5},
	}}
}

// Kin knows which pods belong together without saying so themselves.
type Kin interface {
	// Selector returns what selects the pods of the Services and the controller that the pod
	// belongs to; nil if it belongs to none.
	Selector(pod *corev1.Pod) labels.Selector
}

// Plugin is PodTopologySpread.
type Plugin struct {
	args Args
	kin  Kin
}

// New returns the plugin; without kin nobody gets default constraints.
func New(args Args, kin Kin) Plugin { return Plugin{args: args, kin: kin} }

// Name returns the plugin's name.
func (Plugin) Name() string { return name }

// Survey looks up how many pods each domain has.
func (p Plugin) Survey(t *framework.Topology, pod *framework.PodInfo) (framework.Survey, *framework.Status) {
	var s framework.Survey
	hard, err := p.constraints(pod, corev1.DoNotSchedule)
	if err == nil && len(hard.list) > 0 {
		s.Filter = hard.limits(t).filter
	}
	soft, softErr := p.constraints(pod, corev1.ScheduleAnyway)
	if softErr == nil && len(soft.list) > 0 {
		s.Rank, s.Normalizer = soft.wishes(t).rank, fewest{}
	}
	if err != nil || softErr != nil {
		return s, framework.RefuseForGood("pod has an invalid topology spread constraint: " + firstError(err, softErr).Error())
	}
	return s, nil
}

func firstError(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

// Helps reports whether an event may help a pod that was refused: other pods that count, or
// other nodes.
func (p Plugin) Helps(pod *framework.PodInfo, e framework.Event) bool {
	if e.Kind != framework.PodEvent {
		return e.Kind == framework.NodeEvent
	}
	hard, err := p.constraints(pod, corev1.DoNotSchedule)
	if err != nil {
		return false
	}
	return e.OldPod != nil && hard.about(e.OldPod.Pod) || e.NewPod != nil && hard.about(e.NewPod.Pod)
}
