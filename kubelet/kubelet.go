package kubelet

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"

	"github.com/miniorch/miniorch/kubelet/node"
	"github.com/miniorch/miniorch/kubelet/server"
	"github.com/miniorch/miniorch/pkg/client"
)

// Kubelet runs the pods of one node.
type Kubelet struct {
	transport client.Transport
	parts     Parts
	cfg       Config

	pods     *client.Informer[*corev1.Pod] // bound to this node
	services *client.Informer[*corev1.Service]
	events   *client.Recorder
	node     *node.Node
	seen     *observation
	images   *images
	roster   *roster
	metrics  *metrics
	usage    usage

	changes chan struct{} // capacity 1: there is something in queue

	mu      sync.Mutex
	queue   []change // guarded by mu; what the informer told, in order
	runtime error    // guarded by mu; why the container runtime cannot be used now
}

// change is one call of the pod informer's handler.
type change struct{ old, pod *corev1.Pod }

// New returns a kubelet; it starts nothing.
func New(transport client.Transport, informers *client.Informers, parts Parts, cfg Config) (*Kubelet, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	k := &Kubelet{
		transport: transport, parts: parts, cfg: cfg,
		pods: client.InformerWith[*corev1.Pod](informers, client.Selection{
			Fields: fields.OneTermEqualSelector("spec.nodeName", cfg.NodeName)}),
		services: client.InformerFor[*corev1.Service](informers),
		events: client.NewRecorder(transport, "kubelet", client.RecorderConfig{
			Config: client.Config{Clock: cfg.Clock, Logger: cfg.Logger, Rand: cfg.Rand}, Host: cfg.NodeName,
			Queue: 1024}), // ten for each pod that a node can have
		seen: newObservation(), images: newImages(parts.Runtime, cfg.Clock), roster: newRoster(), changes: make(chan struct{}, 1),
		runtime: errors.New("container runtime is not connected yet"),
	}
	k.metrics = newMetrics(k)
	if k.node, err = node.New(transport, informers, k.events, k.nodeConfig()); err != nil {
		return nil, err
	}
	k.pods.Handle(func(old, pod *corev1.Pod) {
		k.mu.Lock()
		k.queue = append(k.queue, change{old, pod})
		k.mu.Unlock()
		signal(k.changes)
	})
	return k, nil
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func (k *Kubelet) nodeConfig() node.Config {
	c := k.cfg.Node
	c.Name, c.RootDir, c.Clock, c.Logger = k.cfg.NodeName, k.cfg.RootDir, k.cfg.Clock, k.cfg.Logger
	if len(c.IPs) == 0 {
		c.IPs = []string{k.cfg.NodeIP}
	}
	if c.Images == nil {
		c.Images = k.parts.Runtime.Images
	}
	more := c.Ready
	c.Ready = func() error {
		if err := k.Healthy(); err != nil {
			return err
		}
		if more != nil {
			return more()
		}
		return nil
	}
	return c
}

// Healthy says why pods cannot be run now.
func (k *Kubelet) Healthy() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.runtime
}

func (k *Kubelet) setRuntime(err error) {
	k.mu.Lock()
	k.runtime = err
	k.mu.Unlock()
	k.node.Check()
}

// Run registers the node and runs its pods until ctx ends. Containers are left running: the
// next agent finds them. It needs the informers to run.
func (k *Kubelet) Run(ctx context.Context) error {
	all, ctx := errgroup.WithContext(ctx)
	all.Go(func() error { return ignoreCancel(ctx, k.events.Run(ctx)) })
	all.Go(func() error { return k.node.Run(ctx) })
	all.Go(func() error { return k.follow(ctx) })
	all.Go(func() error { return k.runPods(ctx) })
	all.Go(func() error { return k.watchDisk(ctx) })
	if k.cfg.Listener != nil {
		s := server.New(k, server.Config{TLS: k.cfg.TLS, Metrics: k.metrics.registry, Decisions: k.cfg.Decisions, Logger: k.cfg.Logger})
		all.Go(func() error { return s.Serve(ctx, k.cfg.Listener) })
	}
	return all.Wait()
}

func ignoreCancel(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// The pauses between attempts to reach the container runtime.
const (
	reconnectMin = 50 * time.Millisecond
	reconnectMax = 2 * time.Second
)

// follow keeps the observation current: subscribe, read everything, apply events; again when
// the connection is lost.
func (k *Kubelet) follow(ctx context.Context) error {
	pause := reconnectMin
	for ctx.Err() == nil {
		lost, err := k.followOnce(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err == nil {
			err = errors.New("the event stream ended")
		}
		if lost {
			pause = reconnectMin
		}
		k.setRuntime(fmt.Errorf("container runtime is down: %w", err))
		k.cfg.Logger.Warn("lost the container runtime", "err", err)
		select {
		case <-ctx.Done():
		case <-k.cfg.Clock.After(pause):
		}
		pause = min(2*pause, reconnectMax)
	}
	return nil
}

// followOnce follows one connection; connected says whether there ever was one.
func (k *Kubelet) followOnce(ctx context.Context) (connected bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	// First subscribe, then list: what happens in between is seen twice, never missed.
	events, err := k.parts.Runtime.Events(ctx)
	if err != nil {
		return false, err
	}
	if err := k.relist(ctx); err != nil {
		return false, err
	}
	k.setRuntime(nil)
	for e := range events {
		if uid, ok := k.seen.event(e); ok {
			k.wake(uid)
		}
	}
	return true, nil
}

// relist reads all containers.
func (k *Kubelet) relist(ctx context.Context) error {
	mark := k.seen.mark()
	containers, err := k.parts.Runtime.Containers(ctx)
	if err != nil {
		return fmt.Errorf("listing containers: %w", err)
	}
	k.wake(k.seen.reset(containers, mark)...)
	return nil
}

// apiService returns the API's own Service for pods of other namespaces.
func (k *Kubelet) apiService(ns string) []*corev1.Service {
	if s, ok := k.services.Get(corev1.NamespaceDefault, "kubernetes"); ok && ns != corev1.NamespaceDefault {
		return []*corev1.Service{s}
	}
	return nil
}

// memory is the machine's, in bytes.
func (k *Kubelet) memory() int64 {
	capacity := k.node.Capacity()
	return capacity.Memory().Value()
}

// wake makes the workers of pods look again.
func (k *Kubelet) wake(uids ...types.UID) {
	for _, uid := range uids {
		if w := k.roster.worker(uid); w != nil {
			w.poke()
		}
	}
}
