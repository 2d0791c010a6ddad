package scheduler

import (
	"maps"

	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"

	"github.com/miniorch/miniorch/pkg/api"
	"github.com/miniorch/miniorch/pkg/reconcile"
	"github.com/miniorch/miniorch/scheduler/framework"
)

// news are the events since waiting pods were last looked at.
type news struct {
	list []reported
	of   map[string]bool // by the only plugin that one is for; "": for all
	many bool            // too many to remember: whoever waits for any is woken
}

// reported is an event, with the only plugin that it is for; empty: all.
type reported struct {
	framework.Event
	plugin string
}

// newsKept is how many events are remembered one by one.
const newsKept = 1000

func (n *news) add(r reported, q *queue) {
	switch {
	case len(q.refused) == 0 && len(q.gated[r.plugin]) == 0:
		return // nobody is there who could be helped
	case len(n.list) >= newsKept:
		n.many = true
		return
	case n.of == nil:
		n.of = make(map[string]bool)
	}
	n.list, n.of[r.plugin] = append(n.list, r), true
}

func (n *news) pod(was, now *framework.PodInfo, q *queue) {
	n.add(reported{Event: framework.Event{Kind: framework.PodEvent, OldPod: was, NewPod: now}}, q)
}

// forget is called when everybody has heard them.
func (n *news) forget() {
	clear(n.of)
	*n = news{list: n.list[:0], of: n.of}
}

// own reports whether one of the events is for a plugin alone.
func (n *news) own(plugin string) bool { return n.many || n.of[plugin] }

// helps reports whether any of the events may make a plugin pass the pod. A plugin that has no
// opinion is asked about nodes instead, except about what only it reports.
func (n *news) helps(fw *framework.Framework, pod *framework.PodInfo, plugin string) bool {
	if n.many {
		return true
	}
	for i := range n.list {
		r := &n.list[i]
		if r.plugin != "" && r.plugin != plugin {
			continue
		}
		if helps, known := fw.Helps(plugin, pod, r.Event); helps || !known && r.plugin == plugin {
			return true
		}
	}
	return false
}

// wakeWaiting looks for pods that events may have helped: those that fit on nodes which have
// more to give than before, and those whose refusers say so.
func (s *Scheduler) wakeWaiting() {
	if len(s.freed)+len(s.news.list) > 0 {
		s.queue.again(s.helped())
	}
	clear(s.freed)
	s.news.forget()
}

func (s *Scheduler) helped() map[*waiter]bool {
	woken := make(map[*waiter]bool)
	wake := func(plugin string, waiting map[*waiter]bool) {
		for w := range waiting {
			if !woken[w] && s.news.helps(w.fw, w.PodInfo, plugin) {
				woken[w] = true
			}
		}
	}
	for plugin, gated := range s.queue.gated {
		if s.news.own(plugin) {
			wake(plugin, gated)
		}
	}
	for plugin, refused := range s.queue.refused {
		if s.news.own(plugin) || s.news.own("") && s.profiles.hint(plugin) {
			wake(plugin, refused)
		}
	}
	for uid, n := range s.cache.nominated { // even if it does not fit yet: perhaps somebody else has to go
		if w := s.queue.all[uid]; w != nil && w.place == inParked && s.freed[n.node] {
			woken[w] = true
		}
	}
	if len(s.freed) == 0 || len(s.queue.alike) == 0 {
		return woken
	}
	nodes := s.cache.snapshot()
	for _, alike := range s.queue.alike {
		for w := range alike {
			if s.fitsFreed(w, nodes) {
				maps.Copy(woken, alike)
			}
			break // what is true of one is true of all
		}
	}
	return woken
}

// fitsFreed reports whether the pod fits on one of the nodes that have more to give, as far as the
// plugins say that look at one node at a time.
func (s *Scheduler) fitsFreed(w *waiter, nodes framework.Snapshot) bool {
	state := framework.NewCycleState()
	if !w.fw.PreFilter(state, w.PodInfo, nodes).OK() {
		return false
	}
	for name := range s.freed {
		if n := nodes.Get(name); n != nil && w.fw.Filter(state, w.PodInfo, n).OK() {
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
			if was != nil {
				s.freed[p.Spec.NodeName] = true
			}
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
