package scheduler

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"

	"github.com/miniorch/miniorch/pkg/api"
	"github.com/miniorch/miniorch/pkg/reconcile"
	"github.com/miniorch/miniorch/scheduler/framework"
)

// news are the events since parked pods were last looked at.
type news struct {
	list []reported
	many bool // too many to remember: whoever waits for any is woken
}

// reported is an event, with the only plugin that it is for; empty: all.
type reported struct {
	framework.Event
	plugin string
}

// newsKept is how many events are remembered one by one.
const newsKept = 1000

func (n *news) add(r reported, q *queue) {
	if len(q.refused)+q.gated == 0 {
		return // nobody is there who could be helped
	}
	if len(n.list) >= newsKept {
		n.many = true
		return
	}
	n.list = append(n.list, r)
}

func (n *news) pod(was, now *framework.PodInfo, q *queue) {
	n.add(reported{Event: framework.Event{Kind: framework.PodEvent, OldPod: was, NewPod: now}}, q)
}

// helps reports whether any of the events may make one of the plugins pass the pod. A plugin
// that has no opinion is asked about nodes instead, except about what only it reports.
func (n *news) helps(fw *framework.Framework, pod *framework.PodInfo, plugins []string) bool {
	if n.many {
		return true
	}
	for i := range n.list {
		r := &n.list[i]
		for _, name := range plugins {
			if r.plugin != "" && r.plugin != name {
				continue
			}
			if helps, known := fw.Helps(name, pod, r.Event); helps || !known && r.plugin == name {
				return true
			}
		}
	}
	return false
}

// wakeParked looks for pods that events may have helped: those that fit on nodes which have
// more to give than before, and those whose refusers say so.
func (s *Scheduler) wakeParked() {
	if len(s.freed)+len(s.news.list) > 0 {
		s.wakeHelped()
	}
	clear(s.freed)
	s.news = news{list: s.news.list[:0]}
}

func (s *Scheduler) wakeHelped() {
	if len(s.news.list) > 0 {
		s.queue.ungate(func(w *waiter) bool { return s.news.helps(w.fw, w.PodInfo, []string{w.gate.Plugin}) })
	}
	if len(s.queue.parked.list) == 0 {
		return
	}
	nodes := s.cache.snapshot()
	fits := make(map[string]bool) // by profile and signature
	s.queue.wakeUp(func(w *waiter) bool {
		if s.news.helps(w.fw, w.PodInfo, w.refusers) {
			return true
		}
		if len(s.freed) == 0 || !slices.ContainsFunc(w.refusers, w.fw.LooksAtOneNode) && len(w.refusers) > 0 {
			return false
		}
		key := w.fw.SchedulerName() + "\x00" + w.signature
		answer, known := fits[key]
		if w.signature == "" || !known {
			answer = s.fitsFreed(w, nodes)
			fits[key] = answer
		}
		return answer
	})
}

// fitsFreed reports whether the pod fits on one of the nodes that have more to give.
func (s *Scheduler) fitsFreed(w *waiter, nodes framework.Snapshot) bool {
	for name := range s.freed {
		if n := nodes.Get(name); n != nil && w.fw.Fits(w.PodInfo, n, nodes) {
			return true
		}
	}
	return false
}

// onEvent takes what a plugin reports about kinds of its own.
func (s *Scheduler) onEvent(plugin string, e framework.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.news.add(reported{Event: e, plugin: plugin}, s.queue)
	s.signal()
}

// onNamespace keeps the labels that namespace selectors of pod affinity terms look at.
func (s *Scheduler) onNamespace(old, n *corev1.Namespace) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case n == nil:
		s.cache.setNamespace(old.Name, nil)
	case old == nil || !apiequality.Semantic.DeepEqual(old.Labels, n.Labels):
		s.cache.setNamespace(n.Name, known(n.Labels))
	}
}

// known returns labels as a set that is never nil.
func known(l map[string]string) labels.Set {
	if l == nil {
		return labels.Set{}
	}
	return l
}

// onNode keeps the view of a node. Only a change that could let a waiting pod fit wakes any.
func (s *Scheduler) onNode(old, n *corev1.Node) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n != nil && old != nil && !matters(old, n) {
		return
	}
	if n == nil {
		s.cache.removeNode(old.Name)
	} else {
		s.cache.setNode(n)
		s.freed[n.Name] = true
	}
	s.news.add(reported{Event: nodeEvent(old, n)}, s.queue)
	s.signal()
}

func nodeEvent(old, n *corev1.Node) framework.Event {
	e := framework.Event{Kind: framework.NodeEvent}
	if old != nil {
		e.Old = old
	}
	if n != nil {
		e.New = n
	}
	return e
}

// matters reports whether plugins could answer otherwise for the new version of a node.
// Heartbeats do not matter.
func matters(old, n *corev1.Node) bool {
	same := apiequality.Semantic.DeepEqual
	return !same(&old.Spec, &n.Spec) || !same(old.Labels, n.Labels) || !same(old.Annotations, n.Annotations) ||
		!same(old.Status.Allocatable, n.Status.Allocatable) || !same(old.Status.Images, n.Status.Images)
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
		s.forget(p.UID)
		if was, now := s.cache.setPod(p); was != nil || now != nil {
			s.news.pod(was, now, s.queue)
			s.freed[p.Spec.NodeName] = was != nil || s.freed[p.Spec.NodeName]
			s.signal()
		}
	case s.waits(p):
		if p.UID == s.asking {
			return // whoever asks looks again
		}
		if !s.cache.has(p.UID) { // else it has a node already, the API just does not know
			w := s.queue.set(p)
			s.takeNomination(w)
			s.tellGated(w)
			s.signal()
		}
	default:
		s.gone(p.UID)
	}
}

// waits reports whether it is for us to find a node for the pod.
func (s *Scheduler) waits(p *corev1.Pod) bool {
	return p.Spec.NodeName == "" && p.DeletionTimestamp == nil && !api.IsPodTerminal(p) && s.profiles.of(p) != nil
}

func (s *Scheduler) gone(uid types.UID) {
	s.queue.remove(uid)
	s.forget(uid)
	if p := s.cache.removePod(uid); p != nil {
		s.left(p)
		s.signal()
	}
}

// forget drops what is remembered of a pod that waited.
func (s *Scheduler) forget(uid types.UID) {
	delete(s.verdicts, uid)
	if n, ok := s.cache.nominated[uid]; ok {
		s.cache.nominate(n.info, "")
		s.freed[n.node] = true
	}
}

// left takes note that a pod is no longer where it was.
func (s *Scheduler) left(p *placed) {
	s.freed[p.node] = true
	s.news.pod(p.info, nil, s.queue)
}

// tellGated says of a pod that is held back what it waits for. Our own API server says so of
// scheduling gates at creation; others may not.
func (s *Scheduler) tellGated(w *waiter) {
	if w.place != inGated {
		return
	}
	s.verdicts[w.Pod.UID] = verdict{reason: corev1.PodReasonSchedulingGated, message: w.gate.Error().Error()}
	s.status.Enqueue(reconcile.Key{Namespace: w.Pod.Namespace, Name: w.Pod.Name})
}
