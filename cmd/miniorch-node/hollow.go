package main

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/miniorch/miniorch/kubelet/hollow"
	"github.com/miniorch/miniorch/pkg/client"
	"github.com/miniorch/miniorch/pkg/decision"
)

// runHollow plays many nodes. One node's identity may not speak for others, so the
// kubeconfig is an administrator's; all nodes share its connection.
func runHollow(ctx context.Context, o options) error {
	logger := o.logger()
	slog.SetDefault(logger)
	credentials, err := client.LoadKubeconfig(o.Kubeconfig)
	if err != nil {
		return err
	}
	transport, err := client.NewHTTP(credentials)
	if err != nil {
		return fmt.Errorf("reading the credentials in %s: %w", o.Kubeconfig, err)
	}
	informers := client.NewInformers(transport, client.Config{Logger: logger})
	config := hollow.Config{Count: o.Hollow, Logger: logger, Decisions: decision.NewLog(keptDecisions)}
	if o.NodeIP.IsValid() {
		config.NodeIP = o.NodeIP.String()
	}
	return together(ctx, informers.Run, func(ctx context.Context) error {
		return hollow.Run(ctx, transport, informers, config)
	})
}
