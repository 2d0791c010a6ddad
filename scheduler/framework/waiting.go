package framework

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
)

// waitingPods holds the pods for which a Permit plugin said Wait.
type waitingPods struct {
	mu   sync.Mutex
	pods map[types.UID]*waitingPod // guarded by mu
}

type waitingPod struct {
	pending map[string]bool // plugins that have not allowed it yet; guarded by waitingPods.mu
	refusal *Status         // guarded by waitingPods.mu
	decided chan struct{}   // closed when pending is empty or refusal is set
}

func (w *waitingPods) add(uid types.UID, plugins []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	p := &waitingPod{pending: make(map[string]bool), decided: make(chan struct{})}
	for _, name := range plugins {
		p.pending[name] = true
	}
	if w.pods == nil {
		w.pods = make(map[types.UID]*waitingPod)
	}
	w.pods[uid] = p
}

// Allow lets a waiting pod pass, as far as one Permit plugin is concerned. Pods that do not
// wait are ignored.
func (f *Framework) Allow(uid types.UID, plugin string) {
	f.waiting.mu.Lock()
	defer f.waiting.mu.Unlock()
	if p := f.waiting.pods[uid]; p != nil && p.pending[plugin] {
		if delete(p.pending, plugin); len(p.pending) == 0 && p.refusal == nil {
			close(p.decided)
		}
	}
}

// Reject refuses a waiting pod in the name of one Permit plugin.
func (f *Framework) Reject(uid types.UID, plugin, reason string) {
	f.waiting.mu.Lock()
	defer f.waiting.mu.Unlock()
	if p := f.waiting.pods[uid]; p != nil && len(p.pending) > 0 && p.refusal == nil {
		p.refusal = Refuse(reason).By(plugin)
		close(p.decided)
	}
}

// Awaits returns the Permit plugins for which a pod waits.
func (f *Framework) Awaits(uid types.UID) []string {
	f.waiting.mu.Lock()
	defer f.waiting.mu.Unlock()
	if p := f.waiting.pods[uid]; p != nil {
		return slices.Sorted(maps.Keys(p.pending))
	}
	return nil
}

// Await blocks until a pod for which Permit said Wait is allowed (nil) or refused, by a plugin
// or because nobody spoke within timeout.
func (f *Framework) Await(ctx context.Context, c clock.Clock, uid types.UID, timeout time.Duration) *Status {
	f.waiting.mu.Lock()
	p := f.waiting.pods[uid]
	f.waiting.mu.Unlock()
	if p == nil {
		return nil
	}
	defer func() {
		f.waiting.mu.Lock()
		defer f.waiting.mu.Unlock()
		delete(f.waiting.pods, uid)
	}()
	t := c.NewTimer(timeout)
	defer t.Stop()
	select {
	case <-p.decided:
		f.waiting.mu.Lock()
		defer f.waiting.mu.Unlock()
		return p.refusal
	case <-t.C():
		return Refuse("pod was not permitted in time")
	case <-ctx.Done():
		return Fail(ctx.Err())
	}
}
