package daemonset

import (
	corev1 "k8s.io/api/core/v1"

	"github.com/miniorch/miniorch/pkg/api"
)

// roll takes one step of the rollout: down and up again, or up and then down.
func (s *step) roll() {
	if surge, unavailable := s.limits(); surge > 0 {
		s.addThenRemove(surge)
	} else {
		s.removeThenAdd(unavailable)
	}
}

// onNode returns the old and the new pod of a node that neither ended nor go.
func (s *step) onNode(n *corev1.Node) (old, updated *corev1.Pod) {
	for _, p := range s.on[n.Name] {
		switch {
		case !api.IsPodActive(p) || s.goes[p]:
		case s.isUpdated(p):
			updated = p
		default:
			old = p
		}
	}
	return old, updated
}

// removeThenAdd removes old pods as long as no more nodes than that are without an available pod.
// Old pods that are not available go at once: nothing is lost with them.
func (s *step) removeThenAdd(most int) {
	missed := 0
	var candidates []*corev1.Pod
	for _, n := range s.wanted {
		switch old, updated := s.onNode(n); {
		case updated != nil && s.isAvailable(updated):
		case old == nil || updated != nil:
			missed++
		case !s.isAvailable(old):
			missed++
			s.remove(old, "another revision")
		default:
			candidates = append(candidates, old)
		}
	}
	for _, p := range candidates[:max(0, min(most-missed, len(candidates)))] {
		s.remove(p, "another revision")
	}
}

// addThenRemove adds new pods beside old ones on as many nodes as that at a time. Old pods go when
// the new one of their node is available; see removeSurplus.
func (s *step) addThenRemove(most int) {
	doubled := 0
	var candidates []string
	for _, n := range s.wanted {
		switch old, updated := s.onNode(n); {
		case old == nil:
		case updated != nil:
			doubled++
		case !s.isAvailable(old):
			s.create(n.Name)
		default:
			candidates = append(candidates, n.Name)
		}
	}
	for _, name := range candidates[:max(0, min(most-doubled, len(candidates)))] {
		s.create(name)
	}
}
