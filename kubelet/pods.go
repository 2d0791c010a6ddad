package kubelet

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/miniorch/miniorch/kubelet/container"
	"github.com/miniorch/miniorch/kubelet/lifecycle"
	"github.com/miniorch/miniorch/pkg/api"
)

// roster is the pods that have a worker. The goroutine of runPods owns pods; the workers
// themselves are looked up from elsewhere, too.
type roster struct {
	pods map[types.UID]*entry
	done chan types.UID // workers that have ended

	mu      sync.Mutex
	workers map[types.UID]*worker // guarded by mu
}

// entry is a pod as admission sees it.
type entry struct {
	pod      *corev1.Pod
	rejected bool
	removed  bool // gone from the API: what it still holds is on its way back
}

func newRoster() *roster {
	return &roster{pods: map[types.UID]*entry{}, done: make(chan types.UID), workers: map[types.UID]*worker{}}
}

func (r *roster) worker(uid types.UID) *worker {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.workers[uid]
}

func (r *roster) len() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.workers)
}

// runPods keeps one worker per pod until ctx ends.
func (k *Kubelet) runPods(ctx context.Context) error {
	var workers sync.WaitGroup
	defer workers.Wait()
	if !k.ready(ctx) {
		return nil
	}
	start := func(w *worker) {
		k.roster.mu.Lock()
		k.roster.workers[w.uid] = w
		k.roster.mu.Unlock()
		workers.Go(func() {
			w.run(ctx)
			select {
			case k.roster.done <- w.uid:
			case <-ctx.Done():
			}
		})
	}
	held := k.leftovers(ctx)
	k.takeChanges(ctx, held, start)
	k.startOrphans(held, start)
	resync := k.cfg.Clock.NewTicker(k.cfg.Resync)
	defer resync.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-k.changes:
			k.takeChanges(ctx, nil, start)
		case uid := <-k.roster.done:
			k.retire(uid)
		case <-resync.C():
			k.resync(ctx)
		}
	}
}

// ready waits until both sides are known: what should run, and what does.
func (k *Kubelet) ready(ctx context.Context) bool {
	if k.pods.WaitForSync(ctx) != nil || k.services.WaitForSync(ctx) != nil {
		return false
	}
	select {
	case <-k.seen.loaded:
		return true
	case <-ctx.Done():
		return false
	}
}

// takeChanges passes on what the informer told. held names pods that hold something from an
// earlier life of the agent.
func (k *Kubelet) takeChanges(ctx context.Context, held map[types.UID]bool, start func(*worker)) {
	k.mu.Lock()
	changes := k.queue
	k.queue = nil
	k.mu.Unlock()
	for _, c := range changes {
		if c.old != nil && (c.pod == nil || c.pod.UID != c.old.UID) {
			k.removed(c.old)
		}
		if c.pod != nil {
			k.changed(ctx, c.pod, held, start)
		}
	}
	k.wakeDeferred()
}

func (k *Kubelet) removed(pod *corev1.Pod) {
	if e := k.roster.pods[pod.UID]; e != nil {
		e.removed = true
	}
	if w := k.roster.worker(pod.UID); w != nil {
		w.post(func() {
			w.removed = true
			if newer(pod, w.pod) { // its last word on the grace period
				w.pod = pod
			}
		})
	}
}

func (k *Kubelet) changed(ctx context.Context, pod *corev1.Pod, held map[types.UID]bool, start func(*worker)) {
	if e := k.roster.pods[pod.UID]; e != nil {
		e.pod = pod
		if w := k.roster.worker(pod.UID); w != nil {
			w.post(func() { w.update(ctx, pod) })
		}
		return
	}
	w := newWorker(k, pod)
	w.held = held[pod.UID]
	e := &entry{pod: pod}
	if w.rejected = k.admit(pod); w.rejected != nil {
		e.rejected = true
		w.event(pod, corev1.EventTypeWarning, w.rejected.Reason, "%s", w.rejected.Message)
	}
	k.roster.pods[pod.UID] = e
	start(w)
}

// admit decides whether this node takes a pod that is new to it. Pods that it has taken
// before are never refused later. Pods that were deleted by force, without waiting for us,
// do not count: whoever bound the new one did not know of them either.
func (k *Kubelet) admit(pod *corev1.Pod) *lifecycle.Rejection {
	if pod.Status.StartTime != nil || pod.DeletionTimestamp != nil || api.IsPodTerminal(pod) || len(k.seen.of(pod.UID)) > 0 {
		return nil
	}
	var others []*corev1.Pod
	for _, e := range k.roster.pods {
		if !e.rejected && !e.removed && !api.IsPodTerminal(e.pod) {
			others = append(others, e.pod)
		}
	}
	node := k.node.Object()
	if len(node.Status.Allocatable) == 0 {
		known := node.DeepCopy()
		known.Status.Allocatable = k.node.Allocatable()
		node = known
	}
	return lifecycle.Admit(pod, others, node)
}

// retire forgets a pod whose worker has ended: nothing of it is left but its logs.
func (k *Kubelet) retire(uid types.UID) {
	w := k.roster.worker(uid)
	k.roster.mu.Lock()
	delete(k.roster.workers, uid)
	k.roster.mu.Unlock()
	delete(k.roster.pods, uid)
	if w != nil {
		if err := os.RemoveAll(k.logDir(w.pod)); err != nil {
			k.cfg.Logger.Warn("cannot remove the logs of a pod", "pod", w.pod.Namespace+"/"+w.pod.Name, "err", err)
		}
	}
}

// resync reads everything anew and has every worker look again: a safety net, never the
// mechanism.
func (k *Kubelet) resync(ctx context.Context) {
	if err := k.relist(ctx); err != nil && ctx.Err() == nil {
		k.cfg.Logger.Warn("cannot resync", "err", err)
	}
	k.roster.mu.Lock()
	defer k.roster.mu.Unlock()
	for _, w := range k.roster.workers {
		w.poke()
	}
}

// leftovers finds out which pods hold anything from an earlier life of the agent.
func (k *Kubelet) leftovers(ctx context.Context) map[types.UID]bool {
	held := map[types.UID]bool{}
	for _, uid := range k.seen.pods() {
		held[uid] = true
	}
	networks, err := k.parts.Network.Sandboxes(ctx)
	if err != nil {
		k.cfg.Logger.Warn("cannot list sandboxes", "err", err)
	}
	volumes, err := k.parts.Volumes.Pods(ctx)
	if err != nil {
		k.cfg.Logger.Warn("cannot list volumes", "err", err)
	}
	for _, uid := range slices.Concat(networks, volumes) {
		held[uid] = true
	}
	return held
}

// startOrphans gives a worker to what belongs to no pod of the API any more, so that it is
// taken away, and removes logs that nobody can ask for.
func (k *Kubelet) startOrphans(held map[types.UID]bool, start func(*worker)) {
	for uid := range held {
		if k.roster.worker(uid) != nil {
			continue
		}
		w := newWorker(k, orphan(uid, k.seen.of(uid)))
		w.removed, w.held = true, true
		w.log.Info("cleaning up after a pod that the API does not have")
		start(w)
	}
	dirs, err := os.ReadDir(k.cfg.LogDir)
	if err != nil && !os.IsNotExist(err) {
		k.cfg.Logger.Warn("cannot list logs", "err", err)
	}
	for _, d := range dirs {
		parts := strings.Split(d.Name(), "_")
		if len(parts) == 3 && k.roster.worker(types.UID(parts[2])) == nil {
			if err := os.RemoveAll(filepath.Join(k.cfg.LogDir, d.Name())); err != nil {
				k.cfg.Logger.Warn("cannot remove old logs", "dir", d.Name(), "err", err)
			}
		}
	}
}

// orphan returns what can be told of a pod from its containers' labels.
func orphan(uid types.UID, containers []container.Container) *corev1.Pod {
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{UID: uid, Name: "unknown", Namespace: "unknown"}}
	for _, c := range containers {
		pod.Namespace, pod.Name = c.PodNamespace, c.PodName
		if s, err := strconv.ParseInt(c.Labels[lifecycle.LabelGrace], 10, 64); err == nil {
			pod.Spec.TerminationGracePeriodSeconds = &s
		}
	}
	return pod
}
