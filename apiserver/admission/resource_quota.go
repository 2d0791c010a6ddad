package admission

import (
	"context"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/miniorch/miniorch/pkg/api"
	"github.com/miniorch/miniorch/pkg/quota"
)

// ResourceQuota refuses what would take more than the quotas of its namespace allow. What it
// lets through is charged at once, in the quotas' status, each by one compare-and-swap: of
// many requests at a time no more pass than there is room for. What was charged for a write
// that then failed, and what is given back when objects go, is found by the quota controller,
// which counts again.
type ResourceQuota struct {
	Cluster Cluster
	Now     func() time.Time
}

// Name implements Plugin.
func (ResourceQuota) Name() string { return "ResourceQuota" }

// resizable are the kinds of which an update can take more than they had.
var resizable = []string{"services", "persistentvolumeclaims", "resourceclaims"}

// Validate implements Validator.
func (p ResourceQuota) Validate(ctx context.Context, r *Request) error {
	if !charges(r) {
		return nil
	}
	quotas, err := p.Cluster.List(ctx, api.ResourceFor[*corev1.ResourceQuota]().GVR(), r.Namespace)
	if err != nil || len(quotas) == 0 {
		return err
	}
	obj, ok := r.Object.(api.Object)
	if !ok {
		return nil
	}
	cost := p.cost(r, obj)
	var concerned []*corev1.ResourceQuota
	for _, q := range quotas {
		q, ok := q.(*corev1.ResourceQuota)
		if !ok || !quota.Matches(&q.Spec, obj) {
			continue
		}
		if needed, err := charged(r, q, obj, cost(q)); err != nil {
			return err
		} else if needed != nil {
			concerned = append(concerned, q)
		}
	}
	for _, q := range concerned { // none before all have room, as far as is known
		err := p.Cluster.UpdateStatus(ctx, api.ResourceFor[*corev1.ResourceQuota]().GVR(), q.Namespace, q.Name, r.DryRun, func(old api.Object) (api.Object, error) {
			now := old.(*corev1.ResourceQuota)
			used, err := charged(r, now, obj, cost(now))
			if err != nil || used == nil {
				return now.DeepCopy(), err
			}
			after := now.DeepCopy()
			after.Status.Used = used
			return after, nil
		})
		if err != nil && !apierrors.IsNotFound(err) {
			return err
		}
	}
	return nil
}

// charges tells whether a request can take anything of a quota.
func charges(r *Request) bool {
	if !r.Resource.Namespaced {
		return false
	}
	switch r.Operation {
	case Create:
		return r.Subresource == ""
	case Update:
		return r.Subresource == "" && slices.Contains(resizable, r.Resource.Name) || r.Subresource == "resize"
	}
	return false
}

// cost returns what the request takes of a quota more than the object had of it before.
func (p ResourceQuota) cost(r *Request, obj api.Object) func(q *corev1.ResourceQuota) corev1.ResourceList {
	now := p.Now()
	use := quota.Usage(r.Resource, obj, now)
	if r.Old == nil {
		return func(*corev1.ResourceQuota) corev1.ResourceList { return use }
	}
	more := quota.Subtract(use, quota.Usage(r.Resource, r.Old, now))
	return func(q *corev1.ResourceQuota) corev1.ResourceList {
		if !quota.Matches(&q.Spec, r.Old) { // it was not tracked by this quota until now
			return use
		}
		return more
	}
}

// charged returns a quota's usage with the cost added, nil if it costs nothing, or the refusal.
// Only what the quota's status knows is limited: a new quota limits as soon as the
// controller has counted what is there.
func charged(r *Request, q *corev1.ResourceQuota, obj api.Object, cost corev1.ResourceList) (corev1.ResourceList, error) {
	hard := q.Status.Hard
	cost = quota.Limited(cost, hard)
	if pod, ok := obj.(*corev1.Pod); ok {
		if open := quota.Unspecified(hard, pod); open != "" {
			return nil, Forbid(r, "failed quota: %s: %s", q.Name, open)
		}
	}
	exceeded, limit, used := corev1.ResourceList{}, corev1.ResourceList{}, corev1.ResourceList{}
	for name, more := range cost {
		if more.Sign() <= 0 {
			delete(cost, name)
			continue
		}
		sum, known := q.Status.Used[name]
		if !known {
			return nil, Forbid(r, "status unknown for quota: %s, resources: %s", q.Name, name)
		}
		sum = sum.DeepCopy()
		sum.Add(more)
		if most := hard[name]; sum.Cmp(most) > 0 {
			exceeded[name], limit[name], used[name] = more, most, q.Status.Used[name]
		}
	}
	switch {
	case len(exceeded) > 0:
		return nil, Forbid(r, "exceeded quota: %s, requested: %s, used: %s, limited: %s", q.Name, quota.Text(exceeded), quota.Text(used), quota.Text(limit))
	case len(cost) == 0:
		return nil, nil
	}
	return quota.Add(q.Status.Used, cost), nil
}
