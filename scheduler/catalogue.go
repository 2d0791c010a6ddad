package scheduler

import (
	"fmt"

	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/clock"

	"github.com/miniorch/miniorch/pkg/client"
	"github.com/miniorch/miniorch/scheduler/framework"
	"github.com/miniorch/miniorch/scheduler/plugins/defaultbinder"
	"github.com/miniorch/miniorch/scheduler/plugins/defaultpreemption"
	"github.com/miniorch/miniorch/scheduler/plugins/imagelocality"
	"github.com/miniorch/miniorch/scheduler/plugins/nodename"
	"github.com/miniorch/miniorch/scheduler/plugins/nodeports"
	"github.com/miniorch/miniorch/scheduler/plugins/nodeunschedulable"
	"github.com/miniorch/miniorch/scheduler/plugins/nodevolumelimits"
	"github.com/miniorch/miniorch/scheduler/plugins/podgroups"
	"github.com/miniorch/miniorch/scheduler/plugins/podtopologyspread"
	"github.com/miniorch/miniorch/scheduler/plugins/prioritysort"
	"github.com/miniorch/miniorch/scheduler/plugins/schedulinggates"
	"github.com/miniorch/miniorch/scheduler/plugins/tainttoleration"
	"github.com/miniorch/miniorch/scheduler/plugins/unsupported"
	"github.com/miniorch/miniorch/scheduler/plugins/volumerestrictions"
	"github.com/miniorch/miniorch/scheduler/plugins/volumezone"
)

// Parts is what plugins are built from. Without Informers, in tests, they know of nothing but
// pods and nodes.
type Parts struct {
	Transport client.Transport
	Informers *client.Informers
	Recorder  Recorder
	Clock     clock.PassiveClock
	Ignored   []string // resources that only extenders look at
}

// listed is a plugin of the catalogue.
type listed struct {
	name   string
	weight int64 // of its scores, by default; 0: it has none
	always bool  // part of every profile, whatever is disabled
	// build makes it. args is what a configuration file says, empty if nothing; at is where.
	build func(p Parts, args []byte, at *field.Path) (framework.Plugin, error)
}

// catalogue lists the plugins in the order they are asked. The first refusal of a node is the
// one that users read, so cheap and telling plugins come first.
func catalogue() []listed {
	return []listed{
		{name: "SchedulingGates", build: plain(schedulinggates.Plugin{})},
		{name: "PrioritySort", build: plain(prioritysort.Plugin{})},
		{name: "Unsupported", always: true, build: plain(unsupported.Plugin{})},
		{name: "NodeUnschedulable", build: plain(nodeunschedulable.Plugin{})},
		{name: "NodeName", build: plain(nodename.Plugin{})},
		{name: "TaintToleration", weight: 3, build: plain(tainttoleration.Plugin{})},
		{name: "NodeAffinity", weight: 2, build: buildNodeAffinity},
		{name: "NodePorts", build: plain(nodeports.Plugin{})},
		{name: "NodeResourcesFit", weight: 1, build: buildFit},
		{name: "VolumeRestrictions", build: informed("VolumeRestrictions", func(p Parts) framework.Plugin { return volumerestrictions.New(p.Informers) })},
		{name: "NodeVolumeLimits", build: informed("NodeVolumeLimits", func(p Parts) framework.Plugin { return nodevolumelimits.New(p.Informers) })},
		{name: "VolumeBinding", build: buildVolumeBinding},
		{name: "VolumeZone", build: informed("VolumeZone", func(p Parts) framework.Plugin { return volumezone.New(p.Informers) })},
		{name: "PodTopologySpread", weight: 2, build: buildSpread},
		{name: "InterPodAffinity", weight: 2, build: buildInterPodAffinity},
		{name: "DefaultPreemption", build: buildPreemption},
		{name: "PodGroups", build: informed("PodGroups", func(p Parts) framework.Plugin { return podgroups.New(p.Informers) })},
		{name: "NodeResourcesBalancedAllocation", weight: 1, build: buildBalanced},
		{name: "ImageLocality", weight: 1, build: plain(imagelocality.Plugin{})},
		{name: "DefaultBinder", build: buildBinder},
	}
}

// plain lists a plugin that takes no arguments.
func plain(p framework.Plugin) func(Parts, []byte, *field.Path) (framework.Plugin, error) {
	return func(_ Parts, args []byte, at *field.Path) (framework.Plugin, error) {
		return p, noArgs(p, args, at)
	}
}

// informed lists a plugin that takes no arguments and asks informers; without them it is absent.
func informed(name string, build func(Parts) framework.Plugin) func(Parts, []byte, *field.Path) (framework.Plugin, error) {
	return func(p Parts, args []byte, at *field.Path) (framework.Plugin, error) {
		if p.Informers == nil {
			return absent(name), nil
		}
		made := build(p)
		return made, noArgs(made, args, at)
	}
}

// absent is a plugin of that name without an opinion on anything.
type absent string

// Name returns the name of who is absent.
func (a absent) Name() string { return string(a) }

func noArgs(p framework.Plugin, args []byte, at *field.Path) error {
	if len(args) > 0 {
		return fmt.Errorf("%s: %s takes no arguments", at, p.Name())
	}
	return nil
}

func buildBinder(p Parts, args []byte, at *field.Path) (framework.Plugin, error) {
	b := defaultbinder.New(p.Transport)
	return b, noArgs(b, args, at)
}

// kin knows which pods belong together; without informers nobody does.
func (p Parts) kin() podtopologyspread.Kin {
	if p.Informers == nil {
		return nil
	}
	return podtopologyspread.NewKin(p.Informers)
}

// budgets looks disruption budgets up; without informers there are none.
func (p Parts) budgets() defaultpreemption.Budgets {
	if p.Informers == nil {
		return nil
	}
	informer := client.InformerFor[*policyv1.PodDisruptionBudget](p.Informers)
	return func(ns string) []*policyv1.PodDisruptionBudget { return informer.List(ns, labels.Everything()) }
}
