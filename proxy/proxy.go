// Package proxy makes Services work on a node: a pure function turns each Service with its
// EndpointSlices into what must happen to its packets (model.go), a back end makes the
// kernel do it (proxy/iptables). It owns the rules that it writes and no others.
package proxy

import (
	"context"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	"github.com/miniorch/miniorch/pkg/api"
	"github.com/miniorch/miniorch/pkg/client"
	"github.com/miniorch/miniorch/pkg/decision"
)

// RuleWriter is a back end: it makes the kernel treat packets as the ports say.
type RuleWriter interface {
	// Reset replaces everything that this or an earlier process wrote by the ports given.
	Reset(ctx context.Context, all map[types.NamespacedName][]ServicePort) error
	// Update replaces the ports of the Services given; one without ports is gone. It is
	// atomic: when it fails nothing has changed.
	Update(ctx context.Context, changed map[types.NamespacedName][]ServicePort) error
}

// ConnectionTracker forgets connections that lead to endpoints which are gone. Only UDP
// needs it: a datagram of a known flow never meets the new rules.
type ConnectionTracker interface {
	Forget(flows []Flow) error
}

// Config tunes a Proxy; zero fields have the defaults named.
type Config struct {
	NodeName    string
	Connections ConnectionTracker // nil: stale UDP flows are left to time out
	Clock       clock.WithTicker  // the real clock
	Logger      *slog.Logger
	Decisions   *decision.Log
	// Resync is how often all rules are written again although nothing changed: somebody
	// else may have flushed them. Default 10 minutes.
	Resync time.Duration
}

// Proxy follows Services and EndpointSlices. One goroutine (Run's) owns the current state.
type Proxy struct {
	config    Config
	rules     RuleWriter
	informers *client.Informers
	services  *client.Informer[*corev1.Service]
	slices    *client.Informer[*discoveryv1.EndpointSlice]
	wake      chan struct{} // capacity 1: something is dirty
	synced    chan struct{} // closed when the first rules are in the kernel

	mu    sync.Mutex
	dirty map[types.NamespacedName]bool // guarded by mu; bounded by the number of Services
	zone  string                        // guarded by mu; where the node is
}

// retryAfter is the pause after the kernel refused a change.
const retryAfter = time.Second

// New returns a Proxy that writes through rules.
func New(informers *client.Informers, rules RuleWriter, config Config) *Proxy {
	if config.Clock == nil {
		config.Clock = clock.RealClock{}
	}
	if config.Logger == nil {
		config.Logger = slog.Default()
	}
	if config.Resync == 0 {
		config.Resync = 10 * time.Minute
	}
	p := &Proxy{
		config: config, rules: rules, informers: informers,
		services: client.InformerFor[*corev1.Service](informers),
		slices:   client.InformerFor[*discoveryv1.EndpointSlice](informers),
		wake:     make(chan struct{}, 1), synced: make(chan struct{}), dirty: map[types.NamespacedName]bool{},
	}
	p.slices.Index(api.SlicesByService, api.SliceService)
	p.services.Handle(func(old, svc *corev1.Service) {
		if svc == nil {
			svc = old
		}
		p.mark(types.NamespacedName{Namespace: svc.Namespace, Name: svc.Name})
	})
	p.slices.Handle(func(old, slice *discoveryv1.EndpointSlice) {
		for _, s := range []*discoveryv1.EndpointSlice{old, slice} {
			if s != nil {
				p.mark(types.NamespacedName{Namespace: s.Namespace, Name: s.Labels[discoveryv1.LabelServiceName]})
			}
		}
	})
	return p
}

// Synced is closed once the first rules are in the kernel.
func (p *Proxy) Synced() <-chan struct{} { return p.synced }

func (p *Proxy) mark(name types.NamespacedName) {
	p.mu.Lock()
	p.dirty[name] = true
	p.mu.Unlock()
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// SetZone says in which zone the node is, if that is known and matters: endpoints may be meant
// for clients of some zone only.
func (p *Proxy) SetZone(zone string) {
	p.mu.Lock()
	changed := p.zone != zone
	p.zone = zone
	p.mu.Unlock()
	if !changed {
		return
	}
	for _, svc := range p.services.List("", nil) {
		p.mark(types.NamespacedName{Namespace: svc.Namespace, Name: svc.Name})
	}
}

func (p *Proxy) place() Place {
	p.mu.Lock()
	defer p.mu.Unlock()
	return Place{Node: p.config.NodeName, Zone: p.zone}
}

func (p *Proxy) takeDirty() map[types.NamespacedName]bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	taken := p.dirty
	p.dirty = map[types.NamespacedName]bool{}
	return taken
}

// Run keeps the rules as the API says until ctx ends. It leaves them in the kernel:
// traffic does not stop with the agent. The informers must be running.
func (p *Proxy) Run(ctx context.Context) error {
	if err := p.informers.WaitForSync(ctx); err != nil {
		return nil // ctx ended
	}
	health := newHealthPorts(p.config.Logger)
	defer health.stop()
	current := map[types.NamespacedName][]ServicePort{}
	reset := true // the kernel's state is unknown
	ticker := p.config.Clock.NewTicker(p.config.Resync)
	defer ticker.Stop()
	for {
		select { // what it tells of is taken now
		case <-p.wake:
		default:
		}
		names := p.takeDirty()
		err := p.sync(ctx, current, names, reset, health)
		wake, retry := p.wake, (<-chan time.Time)(nil)
		if reset = err != nil; err != nil {
			p.config.Logger.Error("cannot write service rules", "node", p.config.NodeName, "err", err)
			// Nothing else until then: a kernel that is busy is not helped by every event's rewriting all.
			wake, retry = nil, p.config.Clock.After(retryAfter)
		} else {
			p.announce()
		}
		select {
		case <-ctx.Done():
			return nil
		case <-wake:
		case <-retry:
		case <-ticker.C():
			reset = true
		}
	}
}

func (p *Proxy) announce() {
	select {
	case <-p.synced:
	default:
		close(p.synced)
	}
}

// sync brings current and the kernel to what the API says now of the named Services.
func (p *Proxy) sync(ctx context.Context, current map[types.NamespacedName][]ServicePort, names map[types.NamespacedName]bool, reset bool, health *healthPorts) error {
	if reset {
		for _, svc := range p.services.List("", nil) {
			names[types.NamespacedName{Namespace: svc.Namespace, Name: svc.Name}] = true
		}
	}
	plan := Plan{Changed: map[types.NamespacedName][]ServicePort{}, Reset: reset}
	for name := range names {
		ports := p.desired(name)
		if !reflect.DeepEqual(ports, current[name]) {
			plan.Changed[name] = ports
			plan.Stale = append(plan.Stale, staleFlows(current[name], ports)...)
		}
	}
	if len(plan.Changed) == 0 && !reset {
		return nil
	}
	for name, ports := range plan.Changed {
		if current[name] = ports; len(ports) == 0 {
			delete(current, name)
		}
	}
	if err := p.apply(ctx, current, plan); err != nil {
		return err
	}
	if reset {
		health.followAll(current)
	} else {
		health.follow(plan.Changed)
	}
	return nil
}

func (p *Proxy) desired(name types.NamespacedName) []ServicePort {
	svc, ok := p.services.Get(name.Namespace, name.Name)
	if !ok {
		return nil
	}
	ports := Decide(svc, p.slices.ByIndex(api.SlicesByService, name.String()), p.place())
	sortPorts(ports)
	return ports
}

// Plan is one change of the node's rules.
type Plan struct {
	Changed map[types.NamespacedName][]ServicePort
	Stale   []Flow
	Reset   bool
}

// String lists the ports that change.
func (p Plan) String() string {
	var lines []string
	for name, ports := range p.Changed {
		if len(ports) == 0 {
			lines = append(lines, fmt.Sprintf("%s: remove", name))
		}
		for _, port := range ports {
			lines = append(lines, port.String())
		}
	}
	slices.Sort(lines)
	if len(lines) > 20 {
		lines = append(lines[:20], fmt.Sprintf("and %d more", len(lines)-20))
	}
	if p.Reset {
		lines = append([]string{"write all rules"}, lines...)
	}
	return strings.Join(lines, "; ")
}

// apply has all the effects of a plan.
func (p *Proxy) apply(ctx context.Context, current map[types.NamespacedName][]ServicePort, plan Plan) error {
	started := p.config.Clock.Now()
	var err error
	if plan.Reset {
		err = p.rules.Reset(ctx, current)
	} else {
		err = p.rules.Update(ctx, plan.Changed)
	}
	if err == nil && p.config.Connections != nil && len(plan.Stale) > 0 {
		if forgetErr := p.config.Connections.Forget(plan.Stale); forgetErr != nil {
			p.config.Logger.Warn("cannot remove stale UDP flows: they go on until they time out", "err", forgetErr)
		}
	}
	record := decision.Record{
		Time: started, Component: "proxy", Object: decision.Ref{Resource: "nodes", Name: p.config.NodeName},
		Plan: plan.String(), Took: p.config.Clock.Since(started),
	}
	if err != nil {
		record.Error = err.Error()
	}
	p.config.Decisions.Add(record)
	return err
}
