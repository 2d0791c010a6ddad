package scheduler

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/miniorch/miniorch/scheduler/config"
	"github.com/miniorch/miniorch/scheduler/framework"
)

// maxExtenderScore is the best score that an extender gives.
const maxExtenderScore = 10

// extenders are asked in their order.
type extenders []*extender

func newExtenders(c *config.Configuration) (extenders, error) {
	if c == nil {
		return nil, nil
	}
	var all extenders
	for i, one := range c.Extenders {
		at := field.NewPath("extenders").Index(i)
		e, err := newExtender(one)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", at, err)
		}
		all = append(all, e)
	}
	return all, nil
}

// ignored returns the resources that only extenders look at.
func ignored(c *config.Configuration) (names []string) {
	if c == nil {
		return nil
	}
	for _, e := range c.Extenders {
		for _, r := range e.ManagedResources {
			if r.IgnoredByScheduler {
				names = append(names, r.Name)
			}
		}
	}
	return names
}

// of returns those whose business the pod is.
func (all extenders) of(pod *corev1.Pod) (some extenders) {
	for _, e := range all {
		if e.interested(pod) {
			some = append(some, e)
		}
	}
	return some
}

// binder returns who binds the pod instead of the plugins, nil if nobody does.
func (all extenders) binder(pod *corev1.Pod) *extender {
	for _, e := range all {
		if e.BindVerb != "" && e.interested(pod) {
			return e
		}
	}
	return nil
}

// opinion is what extenders say of nodes, by name.
type opinion struct {
	refused map[string]*framework.Status
	bonus   map[string]int64
}

// ask asks about nodes, one extender after the other. One that fails ends it, unless it may be
// ignored; then skipped is told.
func (all extenders) ask(ctx context.Context, pod *corev1.Pod, nodes []*framework.NodeInfo, skipped func(error)) (opinion, error) {
	o := opinion{make(map[string]*framework.Status), make(map[string]int64)}
	for _, e := range all {
		if e.FilterVerb == "" || len(nodes) == 0 {
			continue
		}
		refused, err := e.filter(ctx, pod, nodes)
		if err != nil && e.Ignorable {
			skipped(err)
			continue
		}
		if err != nil {
			return o, err
		}
		var left []*framework.NodeInfo
		for _, n := range nodes {
			if s := refused[n.Name]; s != nil {
				o.refused[n.Name] = s
			} else {
				left = append(left, n)
			}
		}
		nodes = left
	}
	for _, e := range all {
		if e.PrioritizeVerb == "" || len(nodes) == 0 {
			continue
		}
		scores, err := e.prioritize(ctx, pod, nodes)
		if err != nil { // scores are wishes
			skipped(err)
			continue
		}
		for name, score := range scores {
			o.bonus[name] += score * e.Weight * framework.MaxScore / maxExtenderScore
		}
	}
	return o, nil
}

// preempt reports whether any of them has a say in preemption.
func (all extenders) preempt() bool {
	return slices.ContainsFunc(all, func(e *extender) bool { return e.PreemptVerb != "" })
}

// decideAsking decides with the extenders' say.
func (s *Scheduler) decideAsking(ctx context.Context, w *waiter, some extenders) (*Decision, error) {
	c := s.mind.weigh(w.fw, w.PodInfo, "", s.cache.snapshot())
	c.spread()
	var nodes []*framework.NodeInfo
	for _, i := range c.left {
		nodes = append(nodes, c.nodes.At(int(i)))
	}
	var o opinion
	var err error
	s.unlocked(w, func() { o, err = some.ask(ctx, w.Pod, nodes, s.skipped(w)) })
	if !s.same(w) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	c.heed(o)
	c.prefer(s.cache.nominated[w.Pod.UID].node)
	d := c.decide(w.PodInfo, s.cfg.Rand)
	d.opinion = &o
	return d, nil
}

// unlocked asks others about a pod. The lock is not held meanwhile: what happens is met by the next
// decision, as it is after any decision, but for what happens to the pod itself: see same.
func (s *Scheduler) unlocked(w *waiter, ask func()) {
	s.asking = w.Pod.UID
	s.mu.Unlock()
	ask()
	s.mu.Lock()
	s.asking = ""
}

// skipped tells that a decision was made without an extender.
func (s *Scheduler) skipped(w *waiter) func(error) {
	return func(err error) { s.log.Warn("going on without an extender", "pod", w.Name(), "error", err) }
}

// same reports whether a pod that was popped still waits as it did. If it changed, it is in the
// queue again; if it is gone, it is forgotten.
func (s *Scheduler) same(w *waiter) bool {
	now, ok := s.pods.Get(w.Pod.Namespace, w.Pod.Name)
	if !ok || now.UID != w.Pod.UID || !s.waits(now) {
		s.forget(w.Pod.UID)
		return false
	}
	if affects(w.Pod, now) {
		w.PodInfo = framework.NewPodInfo(now)
		s.queue.all[now.UID] = w
		s.queue.admit(w)
		return false
	}
	return true
}

// spread lists the nodes that passed one by one, whoever was asked.
func (c *candidates) spread() {
	if c.wide || !c.refused.OK() {
		return
	}
	c.wide = true
	c.surveyed, c.turned = make([]*framework.Status, c.nodes.Len()), 0
	c.left = append(c.left[:0], c.list()...)
	c.sum()
}

// heed takes out the nodes that extenders refused, scores the others anew and adds what extenders
// think of them.
func (c *candidates) heed(o opinion) {
	if !c.refused.OK() {
		return
	}
	left := c.left[:0]
	for _, i := range c.left {
		if s := o.refused[c.nodes.At(int(i)).Name]; s != nil {
			c.surveyed[i] = s
			c.turned++
			continue
		}
		left = append(left, i)
	}
	c.left = left
	c.sum()
	for at, i := range c.left {
		c.sums[at] += o.bonus[c.nodes.At(int(i)).Name]
	}
}

// prefer leaves only one node if it is among those that are left: room was made for the pod there.
func (c *candidates) prefer(node string) {
	if at := slices.IndexFunc(c.left, func(i int32) bool { return c.nodes.At(int(i)).Name == node }); at >= 0 {
		c.left, c.sums = c.left[at:at+1], c.sums[at:at+1]
	}
}
