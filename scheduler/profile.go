package scheduler

import (
	corev1 "k8s.io/api/core/v1"

	"github.com/miniorch/miniorch/pkg/client"
	"github.com/miniorch/miniorch/scheduler/framework"
	"github.com/miniorch/miniorch/scheduler/plugins/defaultbinder"
	"github.com/miniorch/miniorch/scheduler/plugins/nodeaffinity"
	"github.com/miniorch/miniorch/scheduler/plugins/nodename"
	"github.com/miniorch/miniorch/scheduler/plugins/nodeports"
	"github.com/miniorch/miniorch/scheduler/plugins/noderesources"
	"github.com/miniorch/miniorch/scheduler/plugins/nodeunschedulable"
	"github.com/miniorch/miniorch/scheduler/plugins/prioritysort"
	"github.com/miniorch/miniorch/scheduler/plugins/spread"
	"github.com/miniorch/miniorch/scheduler/plugins/tainttoleration"
	"github.com/miniorch/miniorch/scheduler/plugins/unsupported"
)

// DefaultProfile lists the plugins in the order they are asked. The first refusal of a node
// is the one that users read, so cheap and telling plugins come first.
func DefaultProfile(t client.Transport) framework.Profile {
	return framework.Profile{
		SchedulerName: corev1.DefaultSchedulerName,
		Plugins: []framework.Enabled{
			{Plugin: prioritysort.Plugin{}},
			{Plugin: unsupported.Plugin{}},
			{Plugin: nodeunschedulable.Plugin{}},
			{Plugin: nodename.Plugin{}},
			{Plugin: tainttoleration.Plugin{}, Weight: 3},
			{Plugin: nodeaffinity.Plugin{}, Weight: 2},
			{Plugin: nodeports.Plugin{}},
			{Plugin: noderesources.Plugin{}, Weight: 1},
			{Plugin: spread.Plugin{}, Weight: 2},
			{Plugin: defaultbinder.New(t)},
		},
	}
}
