package rest

//lint:file-ignore SA1019 old clients still send orphanDependents.

import (
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/miniorch/miniorch/apiserver/resource"
	"github.com/miniorch/miniorch/pkg/api"
)

// This file is the pure part of deletion: what a delete request does to an object, and
// when an object that is being deleted goes for good.

// decideDelete works out what becomes of obj, a copy that it may change: remove, put (it
// is being deleted from now on) or keep (nothing new is asked for).
func decideDelete(d *resource.Descriptor, obj api.Object, opts metav1.DeleteOptions, now metav1.Time) changeKind {
	if ns, ok := obj.(*corev1.Namespace); ok {
		return decideNamespaceDelete(ns, d, opts, now)
	}
	graceful, pending := markGraceful(d, obj, opts.GracePeriodSeconds, now)
	if pending {
		return keep
	}
	finalizersChanged := setPropagation(d, obj, opts)
	switch {
	case len(obj.GetFinalizers()) > 0:
		if !graceful {
			return decideHeld(obj, finalizersChanged, now)
		}
		return put
	case graceful && *obj.GetDeletionGracePeriodSeconds() > 0:
		return put
	}
	return remove
}

// markGraceful marks an object whose kind is deleted gracefully. pending means that its
// deletion has begun and that nothing sooner is asked for. Not graceful: it can go at once.
func markGraceful(d *resource.Descriptor, obj api.Object, asked *int64, now metav1.Time) (graceful, pending bool) {
	if d.GracePeriod == nil {
		return false, false
	}
	if asked != nil && *asked < 0 {
		asked = ptr.To[int64](1) // less than no time is a second
	}
	begun, granted := obj.GetDeletionTimestamp(), obj.GetDeletionGracePeriodSeconds()
	if begun == nil {
		seconds := d.GracePeriod(obj, asked)
		end := metav1.NewTime(now.Add(time.Duration(seconds) * time.Second))
		obj.SetDeletionTimestamp(&end)
		obj.SetDeletionGracePeriodSeconds(&seconds)
		bumpGeneration(obj)
		return true, false
	}
	if granted == nil {
		return false, false
	}
	if asked == nil || *asked >= *granted {
		return false, true
	}
	seconds := *asked
	end := metav1.NewTime(begun.Add(time.Duration(seconds-*granted) * time.Second))
	obj.SetDeletionTimestamp(&end)
	obj.SetDeletionGracePeriodSeconds(&seconds)
	return true, false
}

// decideHeld marks an object that only its finalizers still hold.
func decideHeld(obj api.Object, finalizersChanged bool, now metav1.Time) changeKind {
	zero := int64(0)
	begun, granted := obj.GetDeletionTimestamp(), obj.GetDeletionGracePeriodSeconds()
	if begun != nil && !begun.After(now.Time) && granted != nil && *granted == 0 && !finalizersChanged {
		return keep
	}
	if begun == nil {
		bumpGeneration(obj)
	}
	if begun == nil || begun.After(now.Time) {
		obj.SetDeletionTimestamp(&now)
	}
	obj.SetDeletionGracePeriodSeconds(&zero)
	return put
}

// bumpGeneration: being deleted is a change of what is desired.
func bumpGeneration(obj api.Object) {
	if obj.GetGeneration() > 0 {
		obj.SetGeneration(obj.GetGeneration() + 1)
	}
}

// setPropagation puts the finalizers on obj through which the garbage collector learns what
// to do with its dependents, and reports whether that changed them.
func setPropagation(d *resource.Descriptor, obj api.Object, opts metav1.DeleteOptions) bool {
	before := obj.GetFinalizers()
	var after []string
	for _, f := range before {
		if f != metav1.FinalizerOrphanDependents && f != metav1.FinalizerDeleteDependents {
			after = append(after, f)
		}
	}
	switch propagation(d, before, opts) {
	case metav1.DeletePropagationOrphan:
		after = append(after, metav1.FinalizerOrphanDependents)
	case metav1.DeletePropagationForeground:
		after = append(after, metav1.FinalizerDeleteDependents)
	}
	if sameSet(before, after) {
		return false
	}
	obj.SetFinalizers(after)
	return true
}

// propagation: what the request says, else what an earlier one said, else what the kind does.
func propagation(d *resource.Descriptor, finalizers []string, opts metav1.DeleteOptions) metav1.DeletionPropagation {
	switch {
	case opts.OrphanDependents != nil && *opts.OrphanDependents:
		return metav1.DeletePropagationOrphan
	case opts.OrphanDependents != nil:
		return metav1.DeletePropagationBackground
	case opts.PropagationPolicy != nil:
		return *opts.PropagationPolicy
	case slices.Contains(finalizers, metav1.FinalizerOrphanDependents):
		return metav1.DeletePropagationOrphan
	case slices.Contains(finalizers, metav1.FinalizerDeleteDependents):
		return metav1.DeletePropagationForeground
	case d.DefaultPropagation != "":
		return d.DefaultPropagation
	}
	return metav1.DeletePropagationBackground
}

func sameSet(a, b []string) bool {
	if len(a) != len(b) {
		return false
	}
	for _, f := range a {
		if !slices.Contains(b, f) {
			return false
		}
	}
	return true
}

// decideNamespaceDelete: a namespace is Terminating until its content is gone, which its
// spec.finalizers tell.
func decideNamespaceDelete(ns *corev1.Namespace, d *resource.Descriptor, opts metav1.DeleteOptions, now metav1.Time) changeKind {
	begun := ns.DeletionTimestamp != nil
	changed := setPropagation(d, ns, opts)
	if !begun {
		ns.DeletionTimestamp = &now
		bumpGeneration(ns)
	}
	if ns.Status.Phase != corev1.NamespaceTerminating {
		ns.Status.Phase = corev1.NamespaceTerminating
		changed = true
	}
	switch {
	case finished(ns):
		return remove
	case begun && !changed:
		return keep
	}
	return put
}

// finished reports whether nothing holds an object any longer that is being deleted.
func finished(obj api.Object) bool {
	if obj.GetDeletionTimestamp() == nil || len(obj.GetFinalizers()) > 0 {
		return false
	}
	if ns, ok := obj.(*corev1.Namespace); ok {
		return len(ns.Spec.Finalizers) == 0
	}
	granted := obj.GetDeletionGracePeriodSeconds()
	return granted == nil || *granted == 0
}
