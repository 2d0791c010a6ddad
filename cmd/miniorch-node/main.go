// Command miniorch-node is what every worker runs: kubelet, proxy and cluster DNS, with a
// containerd of its own. Read run from top to bottom: it is the parts list.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"

	"github.com/miniorch/miniorch/dns"
	"github.com/miniorch/miniorch/kubelet"
	// A container's shim starts this program once more to write the container's log: that
	// must not wait for the initialization of everything else.
	_ "github.com/miniorch/miniorch/kubelet/logs/writer/early"
	"github.com/miniorch/miniorch/kubelet/network"
	"github.com/miniorch/miniorch/kubelet/node"
	"github.com/miniorch/miniorch/kubelet/volumes"
	"github.com/miniorch/miniorch/pkg/claims"
	"github.com/miniorch/miniorch/pkg/client"
	"github.com/miniorch/miniorch/pkg/decision"
	"github.com/miniorch/miniorch/pkg/reconcile"
	"github.com/miniorch/miniorch/proxy"
	"github.com/miniorch/miniorch/proxy/iptables"
)

// keptDecisions bounds the log of decisions.
const keptDecisions = 5_000

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	options, err := parse(os.Args[1:])
	if err == nil && options.Hollow > 0 {
		err = runHollow(ctx, options)
	} else if err == nil {
		err = run(ctx, options)
	}
	if err != nil && !errors.Is(err, context.Canceled) {
		fmt.Fprintln(os.Stderr, "miniorch-node:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	logger := o.logger()
	slog.SetDefault(logger)
	decisions := decision.NewLog(keptDecisions)

	credentials, err := client.LoadKubeconfig(o.Kubeconfig)
	if err != nil {
		return err
	}
	if err := o.checkIdentity(credentials); err != nil {
		return err
	}
	if o.NodeIP, err = o.nodeIP(credentials.Server); err != nil {
		return err
	}
	transport, err := client.NewHTTP(credentials)
	if err != nil {
		return fmt.Errorf("reading the credentials in %s: %w", o.Kubeconfig, err)
	}
	listener, err := net.Listen("tcp", net.JoinHostPort(o.NodeIP.String(), strconv.Itoa(int(o.Port))))
	if err != nil {
		return fmt.Errorf("listening for the API server (--node-ip, --port): %w", err)
	}
	defer listener.Close()
	serving, err := servingTLS(credentials)
	if err != nil {
		return err
	}

	informers := client.NewInformers(transport, client.Config{Logger: logger})
	pods := network.New(informers, network.Config{
		NodeName: o.NodeName, NodeIP: o.NodeIP, StateDir: filepath.Join(o.DataDir, "network"), ClusterCIDR: o.ClusterCIDR,
		Logger: logger, Decisions: decisions,
	})
	parts, err := openParts(o, transport, pods, logger)
	if err != nil {
		return err
	}
	defer parts.close()
	agent, err := kubelet.New(transport, informers, parts.Parts, kubelet.Config{
		NodeName: o.NodeName, NodeIP: o.NodeIP.String(), RootDir: o.DataDir, LogDir: o.logDir(),
		ClusterDNS: addresses(o.ClusterDNS), ClusterDomain: o.ClusterDomain, HostResolv: o.ResolvConf,
		Node: node.Config{
			Annotations: map[string]string{claims.LocalPathRoot: o.localRoot(), claims.ControllerAttaches: "true"},
			Port:        int32(listener.Addr().(*net.TCPAddr).Port), RuntimeVersion: parts.version, Ready: all(pods.Ready, parts.images.ready),
		},
		Listener: listener, TLS: serving, Logger: logger, Decisions: decisions,
	})
	if err != nil {
		return err
	}
	remover := volumes.NewLocalRemover(transport, informers, volumes.LocalConfig{
		NodeName: o.NodeName, Root: o.localRoot(), Loop: reconcile.Config{Logger: logger, Decisions: decisions},
	})
	pods.OnReady(agent.CheckNode)
	parts.images.tell = agent.CheckNode

	runs := []func(context.Context) error{informers.Run, pods.Run, parts.Run, agent.Run, remover.Run}
	if !o.disabled("proxy") {
		services, err := informersAs("system:kube-proxy", credentials, logger)
		if err != nil {
			return err
		}
		p := proxy.New(services, iptables.New(o.ClusterCIDR, iptables.Run, logger), proxy.Config{
			NodeName: o.NodeName, Connections: proxy.Conntrack{}, Logger: logger, Decisions: decisions,
		})
		client.InformerFor[*corev1.Node](informers).Handle(func(_, self *corev1.Node) {
			if self != nil && self.Name == o.NodeName {
				p.SetZone(self.Labels[corev1.LabelTopologyZone])
			}
		})
		runs = append(runs, services.Run, p.Run)
	}
	if !o.disabled("dns") {
		if err := dns.Own(o.ClusterDNS); err != nil {
			return err
		}
		services, err := informersAs("system:kube-dns", credentials, logger)
		if err != nil {
			return err
		}
		server := dns.New(services, dns.Config{
			Addresses: o.ClusterDNS, Domain: o.ClusterDomain, Ranges: []netip.Prefix{o.ClusterCIDR, o.ServiceCIDR}, Pods: o.ClusterCIDR,
			ResolvConf: o.ResolvConf, Logger: logger,
		})
		runs = append(runs, services.Run, server.Run)
	}
	return together(ctx, runs...)
}

// together runs all until ctx ends or one fails, and waits for each.
func together(ctx context.Context, runs ...func(context.Context) error) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, run := range runs {
		group.Go(func() error {
			err := run(ctx)
			if ctx.Err() != nil {
				return nil // it was told to end
			}
			return err
		})
	}
	return group.Wait()
}

// informersAs read the API as a component with an identity of its own: the node's
// certificate carries the requests, and the API server lets it speak for this user, who may
// do less than the node.
func informersAs(user string, credentials client.HTTPConfig, logger *slog.Logger) (*client.Informers, error) {
	credentials.As = user
	transport, err := client.NewHTTP(credentials)
	if err != nil {
		return nil, fmt.Errorf("reading the credentials for %s: %w", user, err)
	}
	return client.NewInformers(transport, client.Config{Logger: logger}), nil
}

// all is the first reason not to be ready.
func all(checks ...func() error) func() error {
	return func() error {
		for _, check := range checks {
			if err := check(); err != nil {
				return err
			}
		}
		return nil
	}
}

func addresses(ips []netip.Addr) []string {
	var all []string
	for _, ip := range ips {
		all = append(all, ip.String())
	}
	return all
}
