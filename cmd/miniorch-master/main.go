// Command miniorch-master is the control plane in one process: etcd, API server, scheduler
// and controllers. Read main from top to bottom: it is the parts list.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"strings"
	"syscall"

	"golang.org/x/sync/errgroup"

	"github.com/miniorch/miniorch/apiserver"
	"github.com/miniorch/miniorch/apiserver/auth"
	"github.com/miniorch/miniorch/controllers"
	"github.com/miniorch/miniorch/pkg/client"
	"github.com/miniorch/miniorch/pkg/decision"
)

// keptDecisions bounds the log of decisions that /debug/decisions serves.
const keptDecisions = 10_000

// gcPercent lets the heap grow to two and a half times what lives before it is collected, not to
// twice (GOGC overrides it). Most of what the API server allocates dies with its request.
// Measured with 10,000 pods and creates by 16 writers: at 100, 150 and 200 the collector takes 13,
// 11 and 9 % of the processor, and the pods 95, 107 and 130 MB.
const gcPercent = 150

func main() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	options, err := parse(os.Args[1:])
	if err == nil {
		err = run(ctx, options)
	}
	if err != nil && !errors.Is(err, context.Canceled) {
		fmt.Fprintln(os.Stderr, "miniorch-master:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	logger := o.logger()
	slog.SetDefault(logger)
	decisions := decision.NewLog(keptDecisions)

	listener, err := o.listen()
	if err != nil {
		return err
	}
	defer listener.Close()
	unlock, err := lock(o.DataDir)
	if err != nil {
		return err
	}
	defer unlock()
	store, err := openStore(o, logger)
	if err != nil {
		return err
	}
	defer store.close()
	// While etcd elects itself a leader, there is time for all that does not need it.
	security, err := apiserver.OpenSecurity(apiserver.SecurityConfig{Dir: filepath.Join(o.DataDir, "pki"), Hosts: o.hosts()})
	if err != nil {
		return err
	}
	why := &explainer{}
	o.roles = &roles{}
	server, err := newServer(o, store, listener, security, logger, decisions, why)
	if err != nil {
		return err
	}
	why.leases = server.Client(auth.User{Name: auth.UserScheduler, Groups: []string{auth.GroupAuthenticated}})
	if err := security.WriteAdminKubeconfig(filepath.Join(o.DataDir, "admin.kubeconfig"), o.url(listener), "miniorch"); err != nil {
		return fmt.Errorf("writing the administrator's kubeconfig: %w", err)
	}
	if err := store.ready(ctx); err != nil {
		return err
	}

	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return server.Run(ctx) })
	group.Go(func() error { return store.watch(ctx) })
	group.Go(func() error { return store.look(ctx) })
	group.Go(func() error {
		select {
		case <-server.Ready():
			logger.Info("control plane is ready", "server", o.url(listener), "kubeconfig", filepath.Join(o.DataDir, "admin.kubeconfig"))
		case <-ctx.Done():
		}
		return nil
	})
	if !o.disabled("scheduler") {
		group.Go(func() error { return o.schedule(ctx, server, why, decisions, logger) })
	}
	if !o.disabled("controllers") {
		group.Go(func() error {
			return o.lead(ctx, server, auth.UserControllerManager, "kube-controller-manager", logger, func(ctx context.Context, transport client.Transport, informers *client.Informers) error {
				manager := controllers.New(transport, informers, controllers.Config{
					Logger: logger, Decisions: decisions, ClusterCIDR: o.ClusterCIDR, RootCA: security.CA.PEM(),
					NodeMonitor: controllers.NodeMonitor{GracePeriod: o.NodeMonitorGrace}, AutoscalerPeriod: o.AutoscalerPeriod, Disable: o.Disable,
				})
				return together(ctx, informers.Run, manager.Run)
			})
		})
	}
	return group.Wait()
}

// together runs all until ctx ends or one fails.
func together(ctx context.Context, runs ...func(context.Context) error) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, run := range runs {
		group.Go(func() error { return run(ctx) })
	}
	return group.Wait()
}

// lead runs a component in-process under its own identity, once the server is ready; with
// several masters, while this one holds the component's Lease.
func (o options) lead(ctx context.Context, server *apiserver.Server, user, lease string, logger *slog.Logger,
	component func(context.Context, client.Transport, *client.Informers) error,
) error {
	select {
	case <-server.Ready():
	case <-ctx.Done():
		return nil
	}
	defer o.roles.begin(strings.TrimPrefix(lease, "kube-"))()
	transport := server.Client(auth.User{Name: user, Groups: []string{auth.GroupAuthenticated}})
	work := func(ctx context.Context) error {
		err := component(ctx, transport, client.NewInformers(transport, client.Config{Logger: logger}))
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	if !o.LeaderElect {
		return work(ctx)
	}
	election := client.Election{Transport: transport, Name: lease, Identity: o.Name, Config: client.Config{Logger: logger}}
	return election.Run(ctx, work)
}
