package deployment

import (
	"context"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/miniorch/miniorch/controllers/control"
	"github.com/miniorch/miniorch/pkg/api"
)

// leads tells at which revision each Service that the Deployment names is pointed.
func (c *Controller) leads(d *appsv1.Deployment) map[string]string {
	out := map[string]string{}
	for _, key := range []string{api.AnnotationActiveService, api.AnnotationPreviewService} {
		if svc, ok := c.services.Get(d.Namespace, d.Annotations[key]); ok {
			out[svc.Name] = svc.Spec.Selector[api.LabelPodTemplateHash]
		}
	}
	return out
}

// lead points Services at revisions: their selectors get the hash beside what they select by. A
// Service that selects nothing is left alone: it would select what is none of its business.
func (c *Controller) lead(ctx context.Context, d *appsv1.Deployment, routes []Route) error {
	for _, r := range routes {
		svc, ok := c.services.Get(d.Namespace, r.Service)
		if !ok || len(svc.Spec.Selector) == 0 {
			continue
		}
		changed := svc.DeepCopy()
		if r.Hash == "" {
			delete(changed.Spec.Selector, api.LabelPodTemplateHash)
		} else {
			changed.Spec.Selector[api.LabelPodTemplateHash] = r.Hash
		}
		if _, err := c.service.Update(ctx, changed); err != nil {
			return control.IgnoreGone(fmt.Errorf("pointing Service %q at revision %q: %w", r.Service, r.Hash, err))
		}
		c.cfg.Eventf(d, corev1.EventTypeNormal, "ServiceSwitched", "Service %s leads to pods with template hash %q", r.Service, r.Hash)
	}
	return nil
}

// report tells users what happened in a rollout by steps.
func (c *Controller) report(d *appsv1.Deployment, plan Plan) {
	kind, reason := corev1.EventTypeNormal, "RolloutStep"
	if plan.Stage.Reason == reasonAborted {
		kind, reason = corev1.EventTypeWarning, "RolloutAborted"
	}
	for _, line := range plan.News {
		c.cfg.Eventf(d, kind, reason, "%s", line)
	}
}
