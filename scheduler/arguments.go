package scheduler

import (
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"

	"github.com/miniorch/miniorch/scheduler/config"
	"github.com/miniorch/miniorch/scheduler/framework"
	"github.com/miniorch/miniorch/scheduler/plugins/defaultpreemption"
	"github.com/miniorch/miniorch/scheduler/plugins/interpodaffinity"
	"github.com/miniorch/miniorch/scheduler/plugins/nodeaffinity"
	"github.com/miniorch/miniorch/scheduler/plugins/noderesources"
	"github.com/miniorch/miniorch/scheduler/plugins/podtopologyspread"
	"github.com/miniorch/miniorch/scheduler/plugins/volumebinding"
)

// This file turns what configuration files say about plugins into what the plugins take.

func buildNodeAffinity(_ Parts, raw []byte, at *field.Path) (framework.Plugin, error) {
	var a config.NodeAffinityArgs
	if err := config.Args(&a, raw, at); err != nil {
		return nil, err
	}
	p, err := nodeaffinity.New(a.AddedAffinity)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", at.Child("addedAffinity"), err)
	}
	return p, nil
}

func buildInterPodAffinity(_ Parts, raw []byte, at *field.Path) (framework.Plugin, error) {
	a := config.InterPodAffinityArgs{}
	if err := config.Args(&a, raw, at); err != nil {
		return nil, err
	}
	weight := ptr.Deref(a.HardPodAffinityWeight, 1)
	if weight < 0 || weight > 100 {
		return nil, field.Invalid(at.Child("hardPodAffinityWeight"), weight, "not in valid range [0-100]")
	}
	return interpodaffinity.New(interpodaffinity.Args{
		HardPodAffinityWeight: weight, IgnorePreferredTermsOfExistingPods: a.IgnorePreferredTermsOfExistingPods,
	}), nil
}

func buildVolumeBinding(p Parts, raw []byte, at *field.Path) (framework.Plugin, error) {
	a := config.VolumeBindingArgs{}
	if err := config.Args(&a, raw, at); err != nil {
		return nil, err
	}
	var made framework.Plugin
	seconds := ptr.Deref(a.BindTimeoutSeconds, 600)
	switch {
	case seconds < 0:
		return nil, field.Invalid(at.Child("bindTimeoutSeconds"), seconds, "invalid BindTimeoutSeconds, should not be a negative value")
	case p.Informers == nil:
		made = absent("VolumeBinding")
	default:
		ticking, _ := p.Clock.(clock.WithTicker)
		made = volumebinding.New(p.Transport, p.Informers, volumebinding.Config{Clock: ticking, Patience: time.Duration(seconds) * time.Second})
	}
	if len(a.Shape) == 0 {
		return made, nil
	}
	shape, err := corners(a.Shape, at.Child("shape"))
	if binding, ok := made.(*volumebinding.Plugin); ok && err == nil {
		made = volumebinding.Scoring{Plugin: binding, Shape: shape}
	}
	return made, err
}

func buildPreemption(p Parts, raw []byte, at *field.Path) (framework.Plugin, error) {
	a := config.DefaultPreemptionArgs{}
	if err := config.Args(&a, raw, at); err != nil {
		return nil, err
	}
	percentage, absolute := ptr.Deref(a.MinCandidateNodesPercentage, 10), ptr.Deref(a.MinCandidateNodesAbsolute, 100)
	switch {
	case percentage < 0 || percentage > 100:
		return nil, field.Invalid(at.Child("minCandidateNodesPercentage"), percentage, "not in valid range [0, 100]")
	case absolute < 0:
		return nil, field.Invalid(at.Child("minCandidateNodesAbsolute"), absolute, "not in valid range [0, inf)")
	case percentage+absolute == 0:
		return nil, fmt.Errorf("%s: either minCandidateNodesPercentage or minCandidateNodesAbsolute must be greater than zero", at)
	}
	return defaultpreemption.New(defaultpreemption.Args{MinCandidateNodesPercentage: percentage, MinCandidateNodesAbsolute: absolute},
		p.Transport, p.budgets(), p.Recorder, p.Clock), nil
}

func buildSpread(p Parts, raw []byte, at *field.Path) (framework.Plugin, error) {
	a := config.PodTopologySpreadArgs{}
	if err := config.Args(&a, raw, at); err != nil {
		return nil, err
	}
	switch a.DefaultingType {
	case "", "System":
		if len(a.DefaultConstraints) > 0 {
			return nil, field.Invalid(at.Child("defaultingType"), a.DefaultingType, "when .defaultConstraints are not empty")
		}
		return podtopologyspread.New(podtopologyspread.SystemDefaults(), p.kin()), nil
	case "List":
	default:
		return nil, field.NotSupported(at.Child("defaultingType"), a.DefaultingType, []string{"System", "List"})
	}
	for i, c := range a.DefaultConstraints {
		at := at.Child("defaultConstraints").Index(i)
		if err := checkConstraint(c, at); err != nil {
			return nil, err
		}
		if slices.ContainsFunc(a.DefaultConstraints[:i], func(d corev1.TopologySpreadConstraint) bool {
			return d.TopologyKey == c.TopologyKey && d.WhenUnsatisfiable == c.WhenUnsatisfiable
		}) {
			return nil, field.Duplicate(at, fmt.Sprintf("{%s, %s}", c.TopologyKey, c.WhenUnsatisfiable))
		}
	}
	return podtopologyspread.New(podtopologyspread.Args{Defaults: a.DefaultConstraints}, p.kin()), nil
}

func checkConstraint(c corev1.TopologySpreadConstraint, at *field.Path) error {
	switch {
	case c.MaxSkew <= 0:
		return field.Invalid(at.Child("maxSkew"), c.MaxSkew, "not in valid range (0, inf)")
	case c.TopologyKey == "":
		return field.Required(at.Child("topologyKey"), "can not be empty")
	case c.WhenUnsatisfiable != corev1.DoNotSchedule && c.WhenUnsatisfiable != corev1.ScheduleAnyway:
		return field.NotSupported(at.Child("whenUnsatisfiable"), c.WhenUnsatisfiable, []string{"DoNotSchedule", "ScheduleAnyway"})
	case c.LabelSelector != nil:
		return field.Forbidden(at.Child("labelSelector"), "constraint must not define a selector, as they deduced for each pod")
	}
	return nil
}

func buildFit(p Parts, raw []byte, at *field.Path) (framework.Plugin, error) {
	a := config.NodeResourcesFitArgs{}
	if err := config.Args(&a, raw, at); err != nil {
		return nil, err
	}
	args := noderesources.Args{IgnoredGroups: a.IgnoredResourceGroups}
	for _, name := range append(a.IgnoredResources, p.Ignored...) {
		args.Ignored = append(args.Ignored, corev1.ResourceName(name))
	}
	for i, group := range a.IgnoredResourceGroups {
		if strings.Contains(group, "/") {
			return nil, field.Invalid(at.Child("ignoredResourceGroups").Index(i), group, "resource group name can't contain '/'")
		}
	}
	s := a.ScoringStrategy
	if s == nil {
		return noderesources.New(args), nil
	}
	at = at.Child("scoringStrategy")
	var err error
	if args.Resources, err = weighted(s.Resources, at.Child("resources")); err != nil {
		return nil, err
	}
	switch args.Strategy = noderesources.Strategy(s.Type); args.Strategy {
	case "", noderesources.LeastAllocated, noderesources.MostAllocated:
	case noderesources.RequestedToCapacityRatio:
		if s.RequestedToCapacityRatio == nil {
			return nil, field.Required(at.Child("requestedToCapacityRatio"), "the strategy needs a shape")
		}
		args.Shape, err = corners(s.RequestedToCapacityRatio.Shape, at.Child("requestedToCapacityRatio", "shape"))
	default:
		err = field.NotSupported(at.Child("type"), s.Type, []string{"LeastAllocated", "MostAllocated", "RequestedToCapacityRatio"})
	}
	return noderesources.New(args), err
}

func buildBalanced(_ Parts, raw []byte, at *field.Path) (framework.Plugin, error) {
	a := config.NodeResourcesBalancedAllocationArgs{}
	if err := config.Args(&a, raw, at); err != nil {
		return nil, err
	}
	for i, r := range a.Resources {
		if r.Weight > 1 {
			return nil, field.Invalid(at.Child("resources").Index(i).Child("weight"), r.Weight, "resource weight must be 1: the shares are compared as they are")
		}
	}
	resources, err := weighted(a.Resources, at.Child("resources"))
	return noderesources.NewBalanced(resources), err
}

func weighted(list []config.ResourceSpec, at *field.Path) (out []noderesources.Weighted, err error) {
	for i, r := range list {
		weight := r.Weight
		if weight == 0 {
			weight = 1
		}
		if weight < 1 || weight > 100 {
			return nil, field.Invalid(at.Index(i).Child("weight"), weight, "resource weight not in valid range [1, 100]")
		}
		out = append(out, noderesources.Weighted{Name: corev1.ResourceName(r.Name), Weight: weight})
	}
	return out, nil
}

// corners checks a shape and brings its scores from [0, 10] to [0, MaxScore].
func corners(points []config.ShapePoint, at *field.Path) (out framework.Shape, err error) {
	if len(points) == 0 {
		return nil, field.Required(at, "at least one point must be specified")
	}
	for i, p := range points {
		switch {
		case p.Utilization < 0 || p.Utilization > 100:
			return nil, field.Invalid(at.Index(i).Child("utilization"), p.Utilization, "not in valid range [0-100]")
		case p.Score < 0 || p.Score > 10:
			return nil, field.Invalid(at.Index(i).Child("score"), p.Score, "not in valid range [0-10]")
		case i > 0 && p.Utilization <= points[i-1].Utilization:
			return nil, field.Invalid(at.Index(i).Child("utilization"), p.Utilization, "utilization values must be sorted in increasing order")
		}
		out = append(out, framework.Corner{Utilization: int64(p.Utilization), Score: int64(p.Score) * framework.MaxScore / 10})
	}
	return out, nil
}
