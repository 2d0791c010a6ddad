package daemonset

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/miniorch/miniorch/pkg/api"
)

// tend plans what one node needs, the rollout aside.
func (s *step) tend(n *corev1.Node) {
	pods, is := s.on[n.Name], s.fits[n.Name]
	switch {
	case is == unfit:
		for _, p := range pods {
			s.remove(p, "not for this node")
		}
		return
	case is == fit && len(pods) == 0:
		s.create(n.Name)
		return
	}
	var running []*corev1.Pod
	for _, p := range pods {
		switch {
		case p.DeletionTimestamp != nil:
		case p.Status.Phase == corev1.PodFailed:
			if wait := s.Wait(s.Set.UID, n.Name, s.Now); wait > 0 {
				s.again(wait) // it fails again and again; it also keeps its place until then
				continue
			}
			s.remove(p, "it has failed")
		case p.Status.Phase == corev1.PodSucceeded:
			s.remove(p, "it has ended")
		default:
			running = append(running, p)
		}
	}
	s.removeSurplus(running)
}

// removeSurplus leaves one pod on a node; in a rollout that first adds and then removes, one of each
// template until the new one is available.
func (s *step) removeSurplus(running []*corev1.Pod) {
	surge, _ := s.limits()
	if surge == 0 {
		for _, p := range running[min(1, len(running)):] {
			s.remove(p, "one is enough")
		}
		return
	}
	old, updated := s.split(running)
	for _, group := range [][]*corev1.Pod{old, updated} {
		for _, p := range group[min(1, len(group)):] {
			s.remove(p, "one is enough")
		}
	}
	if len(old) > 0 && len(updated) > 0 && (!api.IsPodReady(old[0]) || s.isAvailable(updated[0])) {
		s.remove(old[0], "another revision")
	}
}

func (s *step) split(pods []*corev1.Pod) (old, updated []*corev1.Pod) {
	for _, p := range pods {
		if s.isUpdated(p) {
			updated = append(updated, p)
		} else {
			old = append(old, p)
		}
	}
	return old, updated
}

// removeHomeless drops pods that wait for a node that is gone. Those that were on it are
// removed by others.
func (s *step) removeHomeless() {
	there := map[string]bool{}
	for _, n := range s.Nodes {
		there[n.Name] = true
	}
	for _, p := range s.Pods {
		if p.Spec.NodeName == "" && !there[targetOf(p)] {
			s.remove(p, "its node is gone")
		}
	}
}

// limits returns how many nodes may have two pods and how many none, in a rollout.
func (s *step) limits() (surge, unavailable int) {
	r := s.Set.Spec.UpdateStrategy.RollingUpdate
	if r == nil {
		return 0, 1
	}
	share := func(v *intstr.IntOrString) int {
		if v == nil {
			return 0
		}
		n, err := intstr.GetScaledValueFromIntOrPercent(v, len(s.wanted), true)
		if err != nil { // refused by the API server
			return 0
		}
		return n
	}
	surge, unavailable = share(r.MaxSurge), share(r.MaxUnavailable)
	if surge == 0 && unavailable == 0 { // a share of no nodes
		unavailable = 1
	}
	return surge, unavailable
}
