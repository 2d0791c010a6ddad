// Package network gives pods their namespaces, addresses and routes: one bridge per node,
// one veth per pod, addresses from the node's podCIDR, and to other nodes a direct route
// where they are on-link and VXLAN where they are not.
//
// All state is on disk and in the kernel: pinned namespaces, one file per allocated
// address, links and routes. A restarted agent finds everything there.
package network

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/miniorch/miniorch/kubelet/sandbox"
	"github.com/miniorch/miniorch/pkg/client"
	"github.com/miniorch/miniorch/pkg/decision"
)

// Config tells a Network where it is and what to leave alone.
type Config struct {
	NodeName string
	// NodeIP is the address other nodes reach this one at. Peers in the same subnet get direct routes.
	NodeIP netip.Addr
	// StateDir keeps pinned namespaces and allocated addresses. The namespaces' mounts live until reboot.
	StateDir string
	// ClusterCIDR is every pod's range: traffic to it is never masqueraded.
	ClusterCIDR netip.Prefix
	// Bridge is the name of the pods' bridge; default "mo-pods".
	Bridge    string
	Logger    *slog.Logger
	Decisions *decision.Log
}

// Network owns the pods' namespaces, links and addresses on this node, the routes to
// other nodes' pods, and the host-port and masquerade rules.
type Network struct {
	config    Config
	nodes     *client.Informer[*corev1.Node]
	addresses *addressBook
	changed   chan struct{} // a Node changed; capacity 1

	mu      sync.Mutex
	onReady func()       // guarded by mu
	pods    netip.Prefix // guarded by mu; this node's podCIDR, invalid until the bridge is up
	set     chan struct{}

	uplinkIndex atomic.Int64 // of the link that holds NodeIP; 0 until it is known

	rules sync.Mutex // serializes rewrites of the host-port rules
}

// ErrNotReady says that the node has no podCIDR yet, so that pods cannot get addresses.
var ErrNotReady = errors.New("the node has no podCIDR yet (is the node IPAM controller running?)")

// New returns a Network that follows the cluster's Nodes.
func New(informers *client.Informers, config Config) *Network {
	if config.Bridge == "" {
		config.Bridge = "mo-pods"
	}
	if config.Logger == nil {
		config.Logger = slog.Default()
	}
	n := &Network{
		config:    config,
		nodes:     client.InformerFor[*corev1.Node](informers),
		addresses: &addressBook{dir: filepath.Join(config.StateDir, "addresses")},
		changed:   make(chan struct{}, 1),
		set:       make(chan struct{}),
	}
	n.nodes.Handle(func(_, _ *corev1.Node) { n.wake() })
	return n
}

func (n *Network) wake() {
	select {
	case n.changed <- struct{}{}:
	default:
	}
}

// Run keeps the bridge and the routes to other nodes as the Nodes say, until ctx ends.
// It leaves everything in place when it returns: pods outlive the agent.
func (n *Network) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return n.watchUplink(ctx) })
	group.Go(func() error {
		n.follow(ctx)
		return nil
	})
	return group.Wait()
}

// follow programs the network anew after each change, and again after a failure.
func (n *Network) follow(ctx context.Context) {
	for {
		var again <-chan time.Time
		if err := n.sync(); err != nil {
			n.config.Logger.Error("cannot program the pod network", "node", n.config.NodeName, "err", err)
			again = time.After(retrySync)
		}
		select {
		case <-ctx.Done():
			return
		case <-n.changed:
		case <-again:
		}
	}
}

// retrySync is the pause after the network could not be programmed.
const retrySync = 5 * time.Second

// Ready returns nil once pods can get addresses.
func (n *Network) Ready() error {
	if cidr := n.podCIDR(); !cidr.IsValid() {
		return ErrNotReady
	}
	return nil
}

// OnReady has f called each time that Ready's answer changes.
func (n *Network) OnReady(f func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.onReady = f
}

func (n *Network) podCIDR() netip.Prefix {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.pods
}

// Setup makes a pod's namespaces, link and address, or finds those that are there. It is
// idempotent, and waits for the node's podCIDR as long as ctx allows.
func (n *Network) Setup(ctx context.Context, spec sandbox.Spec) (sandbox.Result, error) {
	box, err := n.pin(spec)
	if err != nil || spec.HostNetwork {
		return box, err
	}
	select {
	case <-n.set:
	case <-ctx.Done():
		return box, ErrNotReady
	}
	cidr := n.podCIDR()
	ip, err := n.addresses.allocate(cidr, string(spec.UID))
	if err != nil {
		return box, fmt.Errorf("allocating an address from %s: %w", cidr, err)
	}
	box.IPs = []string{ip.String()}
	if err := n.connect(box.NetNSPath, ip, gateway(cidr), linkName(spec.UID)); err != nil {
		return box, fmt.Errorf("connecting pod %s/%s: %w", spec.Namespace, spec.Name, err)
	}
	if err := n.forward(spec, ip); err != nil {
		return box, fmt.Errorf("forwarding host ports of pod %s/%s: %w", spec.Namespace, spec.Name, err)
	}
	return box, nil
}

// Teardown removes what Setup made. It succeeds when nothing is there.
func (n *Network) Teardown(_ context.Context, uid types.UID) error {
	return errors.Join(
		n.unforward(uid),
		deleteLink(linkName(uid)),
		n.unpin(uid),
		n.addresses.release(string(uid)),
	)
}

// Sandboxes lists the pods that have something here, to find those whose pod is gone.
func (n *Network) Sandboxes(context.Context) ([]types.UID, error) {
	entries, err := os.ReadDir(filepath.Join(n.config.StateDir, "pods"))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	var uids []types.UID
	for _, e := range entries {
		uids = append(uids, types.UID(e.Name()))
	}
	return uids, err
}

// linkName is the node's end of a pod's veth: names are limited to 15 bytes.
func linkName(uid types.UID) string {
	sum := sha256.Sum256([]byte(uid))
	return "mo" + hex.EncodeToString(sum[:])[:12]
}

// gateway is the bridge's address: the first of the podCIDR.
func gateway(cidr netip.Prefix) netip.Addr { return cidr.Masked().Addr().Next() }
