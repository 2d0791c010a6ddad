package garbagecollector

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"github.com/miniorch/miniorch/controllers/control"
	"github.com/miniorch/miniorch/pkg/api"
	"github.com/miniorch/miniorch/pkg/client"
	"github.com/miniorch/miniorch/pkg/decision"
)

// apply carries the plan out and puts it on record. Every write is preceded by a live read
// of what is written to, and fenced by the UID and resourceVersion that it returned.
func (c *Controller) apply(ctx context.Context, it item, plan Plan) error {
	if plan.Empty() {
		return nil
	}
	live, err := c.read(ctx, it.identity)
	if err != nil || live == nil {
		return err
	}
	return c.cfg.Apply("garbagecollector", live, ownerRefs(it), plan, func() error {
		for _, d := range plan.Release {
			if err := c.release(ctx, d, it.UID); err != nil {
				return err
			}
		}
		switch {
		case plan.Unfinish != "":
			finalizers := slices.DeleteFunc(slices.Clone(live.GetFinalizers()), func(f string) bool { return f == plan.Unfinish })
			return c.patch(ctx, it.identity, live, map[string]any{"finalizers": finalizers})
		case !sameOwners(live.GetOwnerReferences(), refs(it)):
			return apierrors.NewConflict(it.Resource.GroupResource(), it.Name, errStale)
		case len(plan.Disown) > 0:
			return c.patch(ctx, it.identity, live, map[string]any{"ownerReferences": without(live.GetOwnerReferences(), plan.Disown...)})
		case plan.Unblock:
			if err := c.patch(ctx, it.identity, live, map[string]any{"ownerReferences": unblocked(live.GetOwnerReferences())}); err != nil {
				return err
			}
			if live, err = c.read(ctx, it.identity); err != nil || live == nil {
				return err
			}
		}
		return c.delete(ctx, it.identity, live, plan.Delete)
	})
}

var errStale = errors.New("its owners have changed since they were looked at")

// read returns the object as it is, nil if it is gone or another one has its name.
func (c *Controller) read(ctx context.Context, id identity) (api.Object, error) {
	obj, err := client.Dynamic(c.transport, id.Resource).Get(ctx, id.Namespace, id.Name)
	switch {
	case apierrors.IsNotFound(err):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("reading it: %w", err)
	case obj.GetUID() != id.UID:
		return nil, nil
	}
	return obj, nil
}

// release takes an owner that goes off one of its dependents.
func (c *Controller) release(ctx context.Context, d dependent, owner types.UID) error {
	live, err := c.read(ctx, d.identity)
	if err != nil || live == nil {
		return err
	}
	left := without(live.GetOwnerReferences(), owner)
	if len(left) == len(live.GetOwnerReferences()) {
		return nil
	}
	return c.patch(ctx, d.identity, live, map[string]any{"ownerReferences": left})
}

// patch changes fields of the metadata, if the object is still as it was read.
func (c *Controller) patch(ctx context.Context, id identity, live api.Object, fields map[string]any) error {
	fields["uid"], fields["resourceVersion"] = live.GetUID(), live.GetResourceVersion()
	body, err := json.Marshal(map[string]any{"metadata": fields})
	if err != nil {
		return fmt.Errorf("encoding a patch: %w", err)
	}
	_, err = client.Dynamic(c.transport, id.Resource).Patch(ctx, id.Namespace, id.Name, types.MergePatchType, body, "")
	return control.IgnoreGone(err)
}

func (c *Controller) delete(ctx context.Context, id identity, live api.Object, how metav1.DeletionPropagation) error {
	return control.IgnoreGone(client.Dynamic(c.transport, id.Resource).Delete(ctx, id.Namespace, id.Name, metav1.DeleteOptions{
		Preconditions:     &metav1.Preconditions{UID: ptr.To(live.GetUID()), ResourceVersion: ptr.To(live.GetResourceVersion())},
		PropagationPolicy: &how,
	}))
}

func without(all []metav1.OwnerReference, uids ...types.UID) []metav1.OwnerReference {
	out := []metav1.OwnerReference{}
	for _, ref := range all {
		if !slices.Contains(uids, ref.UID) {
			out = append(out, ref)
		}
	}
	return out
}

func unblocked(all []metav1.OwnerReference) []metav1.OwnerReference {
	out := slices.Clone(all)
	for i := range out {
		out[i].BlockOwnerDeletion = ptr.To(false)
	}
	return out
}

func refs(it item) []metav1.OwnerReference {
	out := make([]metav1.OwnerReference, len(it.Owners))
	for i, o := range it.Owners {
		out[i] = o.Ref
	}
	return out
}

// ownerRefs names the owners for the decision record.
func ownerRefs(it item) []decision.Ref {
	out := make([]decision.Ref, len(it.Owners))
	for i, o := range it.Owners {
		out[i] = decision.Ref{Resource: o.Ref.Kind, Namespace: it.Namespace, Name: o.Ref.Name, UID: o.Ref.UID}
	}
	return out
}
