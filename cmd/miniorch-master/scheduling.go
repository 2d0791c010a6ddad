package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"sync/atomic"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/miniorch/miniorch/apiserver"
	"github.com/miniorch/miniorch/apiserver/auth"
	"github.com/miniorch/miniorch/pkg/client"
	"github.com/miniorch/miniorch/pkg/decision"
	"github.com/miniorch/miniorch/scheduler"
	"github.com/miniorch/miniorch/scheduler/config"
)

// schedulerLease is held by the master whose scheduler is at work.
const schedulerLease = "kube-scheduler"

// explainer answers why a pod is where it is, while the scheduler runs in this process. Else it says
// where it does: what was decided, and from what, is known there only.
type explainer struct {
	atomic.Pointer[scheduler.Scheduler]
	leases client.Transport
}

// ServeHTTP implements http.Handler.
func (e *explainer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if s := e.Load(); s != nil {
		s.ServeHTTP(w, r)
		return
	}
	where := "and no other holds the Lease kube-system/" + schedulerLease + " now"
	if lease, err := client.Of[*coordinationv1.Lease](e.leases).Get(r.Context(), metav1.NamespaceSystem, schedulerLease); err == nil {
		if holder := ptr.Deref(lease.Spec.HolderIdentity, ""); holder != "" {
			where = fmt.Sprintf("but in master %s: ask there, with --server", holder)
		}
	}
	http.Error(w, "the scheduler is not at work in this master, "+where, http.StatusServiceUnavailable)
}

// schedule runs the scheduler under its own identity, while this master holds its Lease.
func (o options) schedule(ctx context.Context, server *apiserver.Server, why *explainer, decisions *decision.Log, logger *slog.Logger) error {
	return o.lead(ctx, server, auth.UserScheduler, schedulerLease, logger, func(ctx context.Context, transport client.Transport, informers *client.Informers) error {
		recorder := client.NewRecorder(transport, "default-scheduler", client.RecorderConfig{Config: client.Config{Logger: logger}})
		s, err := scheduler.New(transport, informers, scheduler.Config{
			Logger: logger, Decisions: decisions, Recorder: recorder, Configuration: o.Scheduler,
		})
		if err != nil {
			return err
		}
		why.Store(s)
		defer why.Store(nil)
		return together(ctx, informers.Run, recorder.Run, s.Run)
	})
}

// readSchedulerConfig reads a KubeSchedulerConfiguration, and tries it: what is wrong is told
// before anything has started.
func readSchedulerConfig(path string) (*config.Configuration, error) {
	if path == "" {
		return nil, nil
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("--scheduler-config: %w", err)
	}
	c, err := config.Read(data)
	if err == nil {
		err = scheduler.Check(c)
	}
	if err != nil {
		return nil, fmt.Errorf("--scheduler-config %s: %w", path, err)
	}
	return c, nil
}
