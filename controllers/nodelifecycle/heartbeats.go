package nodelifecycle

import (
	"slices"
	"sync"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/miniorch/miniorch/pkg/api"
)

// heartbeats remembers when each node was last heard of, by our own clock: what counts is
// that a node's timestamps change, not what they say, so that clocks need not agree. It also
// counts who is sick in each zone.
type heartbeats struct {
	mu    sync.Mutex
	nodes map[string]*beat // guarded by mu
	zones map[string]*zone // guarded by mu
	all   census           // guarded by mu
}

type beat struct {
	seen      time.Time
	lease     time.Time
	status    time.Time
	zone      string
	unhealthy bool
}

// zone is one part of the cluster that can fail as a whole.
type zone struct {
	census
	state outage
	next  time.Time // before it no further node is marked for eviction
}

// zoneOf names a node's zone: region and zone, both empty for nodes that do not say.
func zoneOf(n *corev1.Node) string {
	return n.Labels[corev1.LabelTopologyRegion] + "/" + n.Labels[corev1.LabelTopologyZone]
}

// lease notes a node's Lease, and tells whether an unhealthy node spoke again.
func (h *heartbeats) lease(l *coordinationv1.Lease, now time.Time) (revived bool) {
	if l.Spec.RenewTime == nil {
		return false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	b, ok := h.nodes[l.Name]
	if !ok || b.lease.Equal(l.Spec.RenewTime.Time) {
		return false
	}
	b.lease, b.seen = l.Spec.RenewTime.Time, now
	return b.unhealthy
}

// node notes a Node's own heartbeat, and where it is.
func (h *heartbeats) node(n *corev1.Node, now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	b, ok := h.nodes[n.Name]
	ready := api.NodeCondition(n, corev1.NodeReady)
	if at := zoneOf(n); !ok || b.zone != at {
		if ok {
			h.count(b, -1)
		} else { // what stands in the Node counts until it is judged: after a restart the first one judged must not seem to be alone
			b = &beat{seen: now, unhealthy: ready != nil && ready.Status != corev1.ConditionTrue}
			h.nodes[n.Name] = b
		}
		b.zone = at
		h.count(b, 1)
	}
	if ready != nil && !b.status.Equal(ready.LastHeartbeatTime.Time) {
		b.status, b.seen = ready.LastHeartbeatTime.Time, now
	}
}

// count adds a node to its zone and to the whole, or takes it away. mu is held.
func (h *heartbeats) count(b *beat, n int) {
	z, ok := h.zones[b.zone]
	if !ok {
		z = &zone{}
		h.zones[b.zone] = z
	}
	for _, c := range []*census{&z.census, &h.all} {
		c.nodes += n
		if b.unhealthy {
			c.sick += n
		}
	}
	if z.nodes == 0 {
		delete(h.zones, b.zone)
	}
}

func (h *heartbeats) forget(name string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if b, ok := h.nodes[name]; ok {
		h.count(b, -1)
		delete(h.nodes, name)
	}
}

// seen returns when the node was last heard of.
func (h *heartbeats) seen(name string) (time.Time, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	b, ok := h.nodes[name]
	if !ok {
		return time.Time{}, false
	}
	return b.seen, true
}

// judge notes whether a node is healthy and returns what that makes of its zone, how long the zone
// has no room for another eviction, and the zones of which we think otherwise now.
func (h *heartbeats) judge(name string, unhealthy bool, now time.Time) (state outage, wait time.Duration, changed map[string]outage) {
	h.mu.Lock()
	defer h.mu.Unlock()
	b, ok := h.nodes[name]
	if !ok {
		return calm, 0, nil
	}
	if b.unhealthy != unhealthy {
		h.count(b, -1)
		b.unhealthy = unhealthy
		h.count(b, 1)
	}
	changed = map[string]outage{}
	for at, z := range h.zones {
		if is := assess(z.census, h.all); is != z.state {
			z.state, changed[at] = is, is
		}
	}
	z := h.zones[b.zone]
	return z.state, max(0, z.next.Sub(now)), changed
}

// evict takes the room for one eviction in a node's zone. It returns how long there is none.
func (h *heartbeats) evict(name string, now time.Time) time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	b, ok := h.nodes[name]
	if !ok {
		return 0
	}
	z := h.zones[b.zone]
	if left := z.next.Sub(now); left > 0 {
		return left
	}
	z.next = now.Add(z.state.every())
	return 0
}

// in lists the nodes of a zone.
func (h *heartbeats) in(at string) (names []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for name, b := range h.nodes {
		if b.zone == at {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
