package scheduler

import (
	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/types"

	"github.com/miniorch/miniorch/pkg/api"
	"github.com/miniorch/miniorch/pkg/reconcile"
)

// onNode keeps the view of a node. Only a change that could let a waiting pod fit wakes any.
func (s *Scheduler) onNode(old, n *corev1.Node) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n == nil {
		s.cache.removeNode(old.Name)
		return
	}
	if old != nil && !matters(old, n) {
		return
	}
	s.cache.setNode(n)
	s.freed[n.Name] = true
	s.signal()
}

// matters reports whether plugins could answer otherwise for the new version of a node.
// Heartbeats and images do not matter.
func matters(old, n *corev1.Node) bool {
	same := apiequality.Semantic.DeepEqual
	return !same(&old.Spec, &n.Spec) || !same(old.Labels, n.Labels) || !same(old.Status.Allocatable, n.Status.Allocatable)
}

// onPod keeps the view of a pod, wherever in its life it is.
func (s *Scheduler) onPod(old, p *corev1.Pod) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case p == nil:
		s.gone(old.UID)
	case p.Spec.NodeName != "" && !api.IsPodTerminal(p):
		s.queue.remove(p.UID)
		delete(s.verdicts, p.UID)
		if s.cache.setPod(p) {
			s.freed[p.Spec.NodeName] = true
			s.signal()
		}
	case s.waits(p):
		if !s.cache.has(p.UID) { // else it has a node already, the API just does not know
			s.queue.set(p)
			s.tellGated(p)
			s.signal()
		}
	default:
		s.gone(p.UID)
	}
}

// waits reports whether it is for us to find a node for the pod.
func (s *Scheduler) waits(p *corev1.Pod) bool {
	return p.Spec.NodeName == "" && p.DeletionTimestamp == nil && !api.IsPodTerminal(p) &&
		p.Spec.SchedulerName == s.fw.SchedulerName()
}

func (s *Scheduler) gone(uid types.UID) {
	s.queue.remove(uid)
	delete(s.verdicts, uid)
	if node, ok := s.cache.removePod(uid); ok {
		s.freed[node] = true
		s.signal()
	}
}

// tellGated says of a pod with scheduling gates that it waits for them. Our own API server
// says so at creation; others may not.
func (s *Scheduler) tellGated(p *corev1.Pod) {
	if len(p.Spec.SchedulingGates) == 0 {
		return
	}
	s.verdicts[p.UID] = verdict{
		reason:  corev1.PodReasonSchedulingGated,
		message: "Scheduling is blocked due to non-empty scheduling gates",
	}
	s.status.Enqueue(reconcile.Key{Namespace: p.Namespace, Name: p.Name})
}
