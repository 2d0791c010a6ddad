package nodelifecycle

import (
	"sync"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/miniorch/miniorch/pkg/api"
)

// heartbeats remembers when each node was last heard of, by our own clock: what counts is
// that a node's timestamps change, not what they say, so that clocks need not agree.
type heartbeats struct {
	mu    sync.Mutex
	nodes map[string]*beat // guarded by mu
	sick  int              // guarded by mu: nodes that are not healthy
}

type beat struct {
	seen      time.Time
	lease     time.Time
	status    time.Time
	unhealthy bool
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

// node notes a Node's own heartbeat.
func (h *heartbeats) node(n *corev1.Node, now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	b, ok := h.nodes[n.Name]
	if !ok {
		b = &beat{seen: now}
		h.nodes[n.Name] = b
	}
	ready := api.NodeCondition(n, corev1.NodeReady)
	if ready != nil && !b.status.Equal(ready.LastHeartbeatTime.Time) {
		b.status, b.seen = ready.LastHeartbeatTime.Time, now
	}
}

func (h *heartbeats) forget(name string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if b, ok := h.nodes[name]; ok && b.unhealthy {
		h.sick--
	}
	delete(h.nodes, name)
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

// judge notes whether a node is healthy and returns what that makes of the cluster.
func (h *heartbeats) judge(name string, unhealthy bool) outage {
	h.mu.Lock()
	defer h.mu.Unlock()
	if b, ok := h.nodes[name]; ok && b.unhealthy != unhealthy {
		b.unhealthy = unhealthy
		if unhealthy {
			h.sick++
		} else {
			h.sick--
		}
	}
	return assess(len(h.nodes), h.sick)
}
