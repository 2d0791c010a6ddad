package job

import (
	"context"
	"fmt"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/miniorch/miniorch/controllers/ownership"
	"github.com/miniorch/miniorch/pkg/reconcile"
)

// strays lets go of pods that wait to be counted though there is nobody to count them: their job
// is gone, or was made to leave them behind.
type strays struct {
	*Controller
	loop *reconcile.Loop
}

func newStrays(c *Controller) *strays {
	s := &strays{Controller: c}
	s.loop = reconcile.New("job-strays", s, c.cfg.Loop(2))
	reconcile.Watch(s.loop, c.pods, func(_, p *corev1.Pod) []reconcile.Key {
		if p == nil || !tracked(p) {
			return nil
		}
		if key, ok := ownership.OwnerOf(kind, p); ok {
			if j, there := c.jobs.Get(key.Namespace, key.Name); there && metav1.IsControlledBy(p, j) {
				return nil
			}
		}
		return []reconcile.Key{{Namespace: p.Namespace, Name: p.Name}}
	})
	return s
}

// Release is the plan for a stray.
type Release struct{ Why string }

// String prints the plan.
func (r Release) String() string { return "release: " + r.Why }

// Reconcile looks at one pod.
func (s *strays) Reconcile(ctx context.Context, key reconcile.Key) (reconcile.Result, error) {
	p, ok := s.pods.Get(key.Namespace, key.Name)
	if !ok || !tracked(p) {
		return reconcile.Result{}, nil
	}
	why, err := s.whyStray(ctx, p)
	if err != nil || why == "" {
		return reconcile.Result{}, err
	}
	return reconcile.Result{}, s.cfg.Apply("job", p, nil, Release{why}, func() error {
		return ownership.TakeOff(ctx, s.pod, p, batchv1.JobTrackingFinalizer)
	})
}

// whyStray says why nobody counts a pod; empty: somebody does. An absent job is confirmed.
func (s *strays) whyStray(ctx context.Context, p *corev1.Pod) (string, error) {
	ref := metav1.GetControllerOfNoCopy(p)
	if ref == nil {
		if p.DeletionTimestamp == nil && len(s.adopters(p)) > 0 {
			return "", nil // it will be adopted
		}
		return "nobody controls it", nil
	}
	key, ours := ownership.OwnerOf(kind, p)
	if !ours {
		return "its controller is no job", nil
	}
	j, err := s.job.Get(ctx, key.Namespace, key.Name)
	switch {
	case apierrors.IsNotFound(err):
		return "its job is gone", nil
	case err != nil:
		return "", fmt.Errorf("confirming that job %q is gone: %w", key.Name, err)
	case j.UID != ref.UID:
		return "its job was replaced by another of the name", nil
	}
	return "", nil
}
