package scheduler

import (
	corev1 "k8s.io/api/core/v1"

	"github.com/miniorch/miniorch/pkg/client"
	"github.com/miniorch/miniorch/scheduler/framework"
	"github.com/miniorch/miniorch/scheduler/plugins/defaultbinder"
	"github.com/miniorch/miniorch/scheduler/plugins/imagelocality"
	"github.com/miniorch/miniorch/scheduler/plugins/interpodaffinity"
	"github.com/miniorch/miniorch/scheduler/plugins/nodeaffinity"
	"github.com/miniorch/miniorch/scheduler/plugins/nodename"
	"github.com/miniorch/miniorch/scheduler/plugins/nodeports"
	"github.com/miniorch/miniorch/scheduler/plugins/noderesources"
	"github.com/miniorch/miniorch/scheduler/plugins/nodeunschedulable"
	"github.com/miniorch/miniorch/scheduler/plugins/podtopologyspread"
	"github.com/miniorch/miniorch/scheduler/plugins/prioritysort"
	"github.com/miniorch/miniorch/scheduler/plugins/schedulinggates"
	"github.com/miniorch/miniorch/scheduler/plugins/tainttoleration"
	"github.com/miniorch/miniorch/scheduler/plugins/unsupported"
)

// DefaultProfile lists the plugins in the order they are asked. The first refusal of a node
// is the one that users read, so cheap and telling plugins come first.
func DefaultProfile(t client.Transport, informers *client.Informers) framework.Profile {
	return framework.Profile{
		SchedulerName: corev1.DefaultSchedulerName,
		Plugins: []framework.Enabled{
			{Plugin: schedulinggates.Plugin{}},
			{Plugin: prioritysort.Plugin{}},
			{Plugin: unsupported.Plugin{}},
			{Plugin: nodeunschedulable.Plugin{}},
			{Plugin: nodename.Plugin{}},
			{Plugin: tainttoleration.Plugin{}, Weight: 3},
			{Plugin: nodeaffinity.Plugin{}, Weight: 2},
			{Plugin: nodeports.Plugin{}},
			{Plugin: noderesources.New(noderesources.Args{}), Weight: 1},
			{Plugin: podtopologyspread.New(podtopologyspread.SystemDefaults(), kin(informers)), Weight: 2},
			{Plugin: interpodaffinity.New(interpodaffinity.Args{HardPodAffinityWeight: 1}), Weight: 2},
			{Plugin: noderesources.NewBalanced(nil), Weight: 1},
			{Plugin: imagelocality.Plugin{}, Weight: 1},
			{Plugin: defaultbinder.New(t)},
		},
	}
}

// kin knows which pods belong together; without informers nobody does.
func kin(informers *client.Informers) podtopologyspread.Kin {
	if informers == nil {
		return nil
	}
	return podtopologyspread.NewKin(informers)
}
