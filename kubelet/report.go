package kubelet

import (
	"context"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/miniorch/miniorch/kubelet/lifecycle"
	"github.com/miniorch/miniorch/pkg/client"
)

// report is what the API was told of a pod.
type report struct {
	told    corev1.PodStatus // the last status computed; events are about changes of it
	writing bool
	retryAt time.Time // after a failed write

	sent *corev1.PodStatus // the last status written with success,
	kept *corev1.PodStatus // and what the API made of it
}

// stored reports whether the API has status. What it made of an earlier write of the same
// status counts: writing again would change nothing.
func (r *report) stored(pod *corev1.Pod, status *corev1.PodStatus) bool {
	if equality.Semantic.DeepEqual(*status, pod.Status) {
		return true
	}
	return r.sent != nil && equality.Semantic.DeepEqual(*status, *r.sent) && equality.Semantic.DeepEqual(pod.Status, *r.kept)
}

// reportStatus writes the status if the API has another, one write at a time.
func (w *worker) reportStatus(ctx context.Context, status corev1.PodStatus, now time.Time) {
	for _, n := range lifecycle.Notices(w.pod, &w.report.told, &status) {
		kind := corev1.EventTypeNormal
		if n.Warning {
			kind = corev1.EventTypeWarning
		}
		w.containerEvent(w.pod, n.Container, kind, n.Reason, "%s", n.Message)
	}
	w.report.told = status
	if w.removed || w.report.writing || now.Before(w.report.retryAt) || w.report.stored(w.pod, &status) {
		return
	}
	w.report.writing = true
	pod := w.pod.DeepCopy()
	pod.Status = *status.DeepCopy()
	w.running.Go(func() {
		stored, err := w.writeStatus(ctx, pod)
		w.post(func() { w.wrote(&status, stored, err) })
	})
}

// writeStatus stores the status. After a conflict it returns the pod as it is now, for the
// status to be decided anew.
func (w *worker) writeStatus(ctx context.Context, pod *corev1.Pod) (*corev1.Pod, error) {
	pods := client.Of[*corev1.Pod](w.k.transport)
	ns, name, uid := pod.Namespace, pod.Name, pod.UID
	stored, err := pods.UpdateStatus(ctx, pod)
	if !apierrors.IsConflict(err) {
		return stored, err
	}
	live, getErr := pods.Get(ctx, ns, name)
	if getErr != nil || live.UID != uid {
		return nil, err
	}
	return live, err
}

func (w *worker) wrote(status *corev1.PodStatus, stored *corev1.Pod, err error) {
	w.report.writing = false
	if err == nil {
		w.report.sent, w.report.kept = status, &stored.Status
		w.report.retryAt = time.Time{}
		w.log.Debug("reported status", "phase", status.Phase)
		if status.Phase == corev1.PodRunning && w.pod.Status.Phase == corev1.PodPending && !w.since.IsZero() {
			w.k.metrics.starts.Observe(w.k.cfg.Clock.Since(w.since).Seconds())
		}
	} else if stored == nil || !apierrors.IsConflict(err) {
		w.report.retryAt = w.k.cfg.Clock.Now().Add(time.Second)
		if !apierrors.IsNotFound(err) {
			w.log.Warn("cannot report status", "err", err)
		}
	}
	if stored != nil && newer(stored, w.pod) {
		w.pod = stored
	}
}

// newer reports whether a is a later version of the object than b.
func newer(a, b *corev1.Pod) bool {
	x, err1 := strconv.ParseUint(a.ResourceVersion, 10, 64)
	y, err2 := strconv.ParseUint(b.ResourceVersion, 10, 64)
	return err1 != nil || err2 != nil || x > y
}

func sameMeta(a, b *corev1.Pod) bool {
	return equality.Semantic.DeepEqual(a.Labels, b.Labels) && equality.Semantic.DeepEqual(a.Annotations, b.Annotations)
}
