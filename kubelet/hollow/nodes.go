package hollow

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/clock"

	"github.com/miniorch/miniorch/kubelet"
	"github.com/miniorch/miniorch/kubelet/volumes"
	"github.com/miniorch/miniorch/pkg/claims"
	"github.com/miniorch/miniorch/pkg/client"
	"github.com/miniorch/miniorch/pkg/decision"
	"github.com/miniorch/miniorch/pkg/reconcile"
)

// Config says which nodes to simulate.
type Config struct {
	Count  int
	Prefix string // of their names; default "hollow-": hollow-0, hollow-1, …
	NodeIP string // all nodes have it, for no packet ever goes there; default 192.0.2.1
	// Transport makes the connection of one node; nil gives all nodes the shared one.
	Transport func(node string) (client.Transport, error)

	Clock     clock.WithTicker
	Logger    *slog.Logger
	Decisions *decision.Log
}

// Run plays the nodes until ctx ends. transport and informers are shared by all; Run does
// not run the informers. All nodes together watch pods and nodes once.
func Run(ctx context.Context, transport client.Transport, informers *client.Informers, cfg Config) error {
	if cfg.Count < 1 {
		return fmt.Errorf("simulating %d nodes: at least one is needed", cfg.Count)
	}
	if cfg.Prefix == "" {
		cfg.Prefix = "hollow-"
	}
	if cfg.NodeIP == "" {
		cfg.NodeIP = "192.0.2.1"
	}
	if cfg.Clock == nil {
		cfg.Clock = clock.RealClock{}
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	// Kubelets look for what earlier ones left; a simulated node has no earlier life.
	dir, err := os.MkdirTemp("", "miniorch-hollow")
	if err != nil {
		return fmt.Errorf("simulating nodes: %w", err)
	}
	defer os.RemoveAll(dir)
	transport = takeTurns(transport)
	client.Split(informers, "spec.nodeName", func(p *corev1.Pod) string { return p.Spec.NodeName })
	client.Split(informers, "metadata.name", func(n *corev1.Node) string { return n.Name })
	all, ctx := errgroup.WithContext(ctx)
	remover := volumes.NewLocalRemover(transport, informers, volumes.LocalConfig{
		Plays: func(node string) bool { return strings.HasPrefix(node, cfg.Prefix) },
		Loop:  reconcile.Config{Clock: cfg.Clock, Logger: slog.New(slog.DiscardHandler), Decisions: cfg.Decisions, Workers: 4},
	})
	all.Go(func() error { return remover.Run(ctx) })
	for i := range cfg.Count {
		name := fmt.Sprintf("%s%d", cfg.Prefix, i)
		k, err := one(transport, informers, cfg, name, dir)
		if err != nil {
			return fmt.Errorf("simulating node %s: %w", name, err)
		}
		all.Go(func() error { return k.Run(ctx) })
	}
	return all.Wait()
}

func one(transport client.Transport, informers *client.Informers, cfg Config, name, dir string) (*kubelet.Kubelet, error) {
	if cfg.Transport != nil {
		var err error
		if transport, err = cfg.Transport(name); err != nil {
			return nil, err
		}
	}
	parts, _ := Parts(cfg.Clock)
	machine := NodeConfig()
	machine.Annotations = map[string]string{claims.LocalPathRoot: "/hollow"}
	return kubelet.New(transport, informers, parts, kubelet.Config{
		NodeName: name, NodeIP: cfg.NodeIP, NoFiles: true, Node: machine,
		RootDir: filepath.Join(dir, name, "root"), LogDir: filepath.Join(dir, name, "logs"),
		Clock: cfg.Clock, Logger: cfg.Logger, Decisions: cfg.Decisions,
	})
}
