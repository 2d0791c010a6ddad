package tainteviction

import (
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// since remembers from when on nodes have their NoExecute taints. A taint's own TimeAdded
// counts if it has one, so that a restart grants no pod a second time; else the moment at which
// it was first seen.
type since struct {
	mu    sync.Mutex
	nodes map[string]map[taintID]time.Time // guarded by mu; the maps inside are never changed
}

// set notes a node's taints and tells whether they are others than before.
func (s *since) set(node string, taints []corev1.Taint, now time.Time) (changed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.nodes[node]
	all := map[taintID]time.Time{}
	for _, t := range taints {
		if t.Effect != corev1.TaintEffectNoExecute {
			continue
		}
		id := idOf(t)
		first, known := old[id]
		changed = changed || !known
		switch {
		case t.TimeAdded != nil && t.TimeAdded.Time.Before(now):
			all[id] = t.TimeAdded.Time
		case known:
			all[id] = first
		default:
			all[id] = now
		}
	}
	changed = changed || len(all) != len(old)
	if len(all) == 0 {
		delete(s.nodes, node)
	} else {
		s.nodes[node] = all
	}
	return changed
}

// of returns when each NoExecute taint came to a node.
func (s *since) of(node string) map[taintID]time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.nodes[node]
}
