package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"sync/atomic"

	"github.com/miniorch/miniorch/apiserver"
	"github.com/miniorch/miniorch/apiserver/auth"
	"github.com/miniorch/miniorch/pkg/client"
	"github.com/miniorch/miniorch/pkg/decision"
	"github.com/miniorch/miniorch/scheduler"
	"github.com/miniorch/miniorch/scheduler/config"
)

// explainer answers why a pod is where it is, while the scheduler runs in this process.
type explainer struct {
	atomic.Pointer[scheduler.Scheduler]
}

// ServeHTTP implements http.Handler.
func (e *explainer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s := e.Load()
	if s == nil {
		http.Error(w, "the scheduler does not run in this master: ask the one that holds the Lease kube-system/kube-scheduler", http.StatusServiceUnavailable)
		return
	}
	s.ServeHTTP(w, r)
}

// schedule runs the scheduler under its own identity, while this master holds its Lease.
func (o options) schedule(ctx context.Context, server *apiserver.Server, why *explainer, decisions *decision.Log, logger *slog.Logger) error {
	return o.lead(ctx, server, auth.UserScheduler, "kube-scheduler", logger, func(ctx context.Context, transport client.Transport, informers *client.Informers) error {
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
