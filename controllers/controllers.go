// Package controllers is the roster of the control loops that make the cluster be what
// its objects say. Each controller is a package of its own below this one; none imports
// another, and none imports another component: they meet at the API.
package controllers

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/utils/clock"

	"github.com/miniorch/miniorch/controllers/attachdetach"
	"github.com/miniorch/miniorch/controllers/clusterroleaggregation"
	"github.com/miniorch/miniorch/controllers/control"
	"github.com/miniorch/miniorch/controllers/cronjob"
	"github.com/miniorch/miniorch/controllers/daemonset"
	"github.com/miniorch/miniorch/controllers/deployment"
	"github.com/miniorch/miniorch/controllers/disruption"
	"github.com/miniorch/miniorch/controllers/endpoints"
	"github.com/miniorch/miniorch/controllers/endpointslice"
	"github.com/miniorch/miniorch/controllers/endpointslicemirroring"
	"github.com/miniorch/miniorch/controllers/ephemeralvolume"
	"github.com/miniorch/miniorch/controllers/flowschema"
	"github.com/miniorch/miniorch/controllers/garbagecollector"
	"github.com/miniorch/miniorch/controllers/horizontalpodautoscaler"
	"github.com/miniorch/miniorch/controllers/job"
	"github.com/miniorch/miniorch/controllers/localpath"
	"github.com/miniorch/miniorch/controllers/namespace"
	"github.com/miniorch/miniorch/controllers/nodeipam"
	"github.com/miniorch/miniorch/controllers/nodelifecycle"
	"github.com/miniorch/miniorch/controllers/persistentvolume"
	"github.com/miniorch/miniorch/controllers/podgc"
	"github.com/miniorch/miniorch/controllers/replicaset"
	"github.com/miniorch/miniorch/controllers/replicationcontroller"
	"github.com/miniorch/miniorch/controllers/resourcequota"
	"github.com/miniorch/miniorch/controllers/rootca"
	"github.com/miniorch/miniorch/controllers/serviceaccount"
	"github.com/miniorch/miniorch/controllers/servicecidr"
	"github.com/miniorch/miniorch/controllers/statefulset"
	"github.com/miniorch/miniorch/controllers/tainteviction"
	"github.com/miniorch/miniorch/controllers/volumeprotection"
	"github.com/miniorch/miniorch/pkg/claims"
	"github.com/miniorch/miniorch/pkg/client"
	"github.com/miniorch/miniorch/pkg/decision"
)

// Names are the controllers, as Config.Disable takes them, in the order of the roster.
var Names = []string{
	"replicaset", "replicationcontroller", "deployment", "resourcequota", "horizontalpodautoscaler", "disruption", "statefulset", "daemonset", "job", "cronjob", "endpoints", "endpointslice", "endpointslicemirroring", "namespace", "garbagecollector", "nodelifecycle",
	"tainteviction", "podgc", "persistentvolume", "volumeprotection", "ephemeralvolume", "attachdetach", "localpath", "serviceaccount", "servicecidr", "flowschema", "clusterroleaggregation", "nodeipam", "rootca",
}

// NodeMonitor tunes how dead nodes are noticed.
type NodeMonitor struct {
	// GracePeriod is how long a node may miss its heartbeats. Default 40s.
	GracePeriod time.Duration
	// StartupGracePeriod is how long a node may take to its first heartbeat. Default 60s.
	StartupGracePeriod time.Duration
}

// Config tunes the controllers. Zero fields have defaults.
type Config struct {
	Clock     clock.WithTicker
	Rand      func() float64
	Logger    *slog.Logger
	Decisions *decision.Log

	// ClusterCIDR is what nodes get their pod addresses from, NodeCIDRMaskSize the size of one
	// node's part (default 24, or 64 for IPv6). Invalid (zero): nodes are given none.
	ClusterCIDR      netip.Prefix
	NodeCIDRMaskSize int
	// RootCA is the PEM bundle that is published in every namespace. Empty: none is.
	RootCA []byte

	// AutoscalerPeriod is how often autoscalers look at their targets. Default 15s.
	AutoscalerPeriod time.Duration

	NodeMonitor NodeMonitor
	// TerminatedPods is how many finished pods are kept. Default 12500.
	TerminatedPods int

	// Disable names controllers that are not run.
	Disable []string
}

// runner is one controller.
type runner interface {
	Run(ctx context.Context) error
}

type entry struct {
	name   string
	runner runner
}

// Manager runs all controllers.
type Manager struct {
	informers *client.Informers
	recorder  *client.Recorder
	roster    []entry
}

// New wires the controllers to a transport and the informers that read through it. The
// caller runs the informers; Manager.Run waits for them.
func New(transport client.Transport, informers *client.Informers, cfg Config) *Manager {
	recorder := client.NewRecorder(transport, "controller-manager", client.RecorderConfig{
		Config: client.Config{Clock: cfg.Clock, Logger: cfg.Logger, Rand: cfg.Rand},
	})
	m := &Manager{informers: informers, recorder: recorder}
	shared := control.Config{Clock: cfg.Clock, Rand: cfg.Rand, Logger: cfg.Logger, Decisions: cfg.Decisions, Recorder: recorder}
	// Events are from the controllers that people know, not from the process they run in.
	as := func(component string) control.Config {
		c := shared
		c.Recorder = recorder.As(component)
		return c
	}
	m.roster = []entry{
		{"replicaset", replicaset.New(transport, informers, as("replicaset-controller"))},
		{"replicationcontroller", replicationcontroller.New(transport, informers, as("replication-controller"))},
		{"deployment", deployment.New(transport, informers, as("deployment-controller"))},
		{"resourcequota", resourcequota.New(transport, informers, as("resourcequota-controller"))},
		{"horizontalpodautoscaler", horizontalpodautoscaler.New(transport, informers, horizontalpodautoscaler.Config{Config: as("horizontal-pod-autoscaler"), Period: cfg.AutoscalerPeriod})},
		{"disruption", disruption.New(transport, informers, as("controllermanager"))},
		{"statefulset", statefulset.New(transport, informers, as("statefulset-controller"))},
		{"daemonset", daemonset.New(transport, informers, as("daemonset-controller"))},
		{"job", job.New(transport, informers, as("job-controller"))},
		{"cronjob", cronjob.New(transport, informers, as("cronjob-controller"))},
		{"endpoints", endpoints.New(transport, informers, as("endpoint-controller"))},
		{"endpointslice", endpointslice.New(transport, informers, as("endpoint-slice-controller"))},
		{"endpointslicemirroring", endpointslicemirroring.New(transport, informers, as("endpoint-slice-mirroring-controller"))},
		{"namespace", namespace.New(transport, informers, as("namespace-controller"))},
		{"garbagecollector", garbagecollector.New(transport, informers, as("garbage-collector-controller"))},
		{"nodelifecycle", nodelifecycle.New(transport, informers, nodelifecycle.Config{
			Config: as("node-controller"), Grace: cfg.NodeMonitor.GracePeriod, StartupGrace: cfg.NodeMonitor.StartupGracePeriod,
		})},
		{"tainteviction", tainteviction.New(transport, informers, as("taint-eviction-controller"))},
		{"podgc", podgc.New(transport, informers, podgc.Config{Config: as("pod-garbage-collector"), Threshold: cfg.TerminatedPods})},
		{"persistentvolume", persistentvolume.New(transport, informers, as("persistentvolume-controller"))},
		{"volumeprotection", volumeprotection.New(transport, informers, as("persistentvolumeclaim-protection-controller"))},
		{"ephemeralvolume", ephemeralvolume.New(transport, informers, as("ephemeral_volume"))},
		{"attachdetach", attachdetach.New(transport, informers, as("attachdetach-controller"))},
		{"localpath", localpath.New(transport, informers, as(claims.LocalPath))},
		{"serviceaccount", serviceaccount.New(transport, informers, as("serviceaccount-controller"))},
		{"servicecidr", servicecidr.New(transport, informers, as("service-cidr-controller"))},
		{"flowschema", flowschema.New(transport, informers, as("flow-schema-controller"))},
		{"clusterroleaggregation", clusterroleaggregation.New(transport, informers, as("clusterrole-aggregation-controller"))},
	}
	if cfg.ClusterCIDR.IsValid() {
		m.roster = append(m.roster, entry{"nodeipam", nodeipam.New(transport, informers, nodeipam.Config{
			Config: as("cidrAllocator"), Cluster: cfg.ClusterCIDR, MaskSize: cfg.NodeCIDRMaskSize,
		})})
	}
	if len(cfg.RootCA) > 0 {
		m.roster = append(m.roster, entry{"rootca", rootca.New(transport, informers, cfg.RootCA, as("root-ca-cert-publisher"))})
	}
	m.roster = slices.DeleteFunc(m.roster, func(e entry) bool { return slices.Contains(cfg.Disable, e.name) })
	return m
}

// Run waits until the informers hold a complete view, and runs every controller until ctx ends.
func (m *Manager) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return m.recorder.Run(ctx) })
	group.Go(func() error {
		if err := m.informers.WaitForSync(ctx); err != nil {
			return err
		}
		for _, e := range m.roster {
			group.Go(func() error {
				if err := e.runner.Run(ctx); err != nil && !errors.Is(err, ctx.Err()) {
					return fmt.Errorf("controller %s: %w", e.name, err)
				}
				return ctx.Err()
			})
		}
		return nil
	})
	return group.Wait()
}
