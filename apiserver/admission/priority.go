package admission

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/utils/ptr"

	"github.com/miniorch/miniorch/apiserver/registry/scheduling"
)

var priorityClasses = schedulingv1.SchemeGroupVersion.WithResource("priorityclasses")

// Priority turns a pod's priorityClassName into a number and a preemption policy, which the
// scheduler reads. It sees to it that at most one PriorityClass is the default one, and that
// the built-in ones stay.
type Priority struct{ Read Reader }

// Name implements Plugin.
func (Priority) Name() string { return "Priority" }

// Admit implements Mutator.
func (p Priority) Admit(ctx context.Context, r *Request) error {
	pod, ok := r.Object.(*corev1.Pod)
	if !ok || r.Subresource != "" {
		return nil
	}
	switch r.Operation {
	case Create:
		return p.resolve(ctx, r, pod)
	case Update:
		// A writer that does not know the fields must not clear them.
		if old, ok := r.Old.(*corev1.Pod); ok {
			if pod.Spec.Priority == nil {
				pod.Spec.Priority = old.Spec.Priority
			}
			if pod.Spec.PreemptionPolicy == nil {
				pod.Spec.PreemptionPolicy = old.Spec.PreemptionPolicy
			}
		}
	}
	return nil
}

func (p Priority) resolve(ctx context.Context, r *Request, pod *corev1.Pod) error {
	class, err := p.classOf(ctx, r, pod)
	if err != nil {
		return err
	}
	policy := ptr.Deref(class.PreemptionPolicy, corev1.PreemptLowerPriority)
	if pod.Spec.Priority != nil && *pod.Spec.Priority != class.Value {
		return Forbid(r, "the integer value of priority (%d) must not be provided in pod spec; priority admission controller computed %d from the given PriorityClass name",
			*pod.Spec.Priority, class.Value)
	}
	if pod.Spec.PreemptionPolicy != nil && *pod.Spec.PreemptionPolicy != policy {
		return Forbid(r, "the string value of PreemptionPolicy (%s) must not be provided in pod spec; priority admission controller computed %s from the given PriorityClass name",
			*pod.Spec.PreemptionPolicy, policy)
	}
	pod.Spec.PriorityClassName, pod.Spec.Priority, pod.Spec.PreemptionPolicy = class.Name, &class.Value, &policy
	return nil
}

// classOf returns a copy of the class that the pod names, or of the default one. Without any
// it is a class without a name.
func (p Priority) classOf(ctx context.Context, r *Request, pod *corev1.Pod) (schedulingv1.PriorityClass, error) {
	name := pod.Spec.PriorityClassName
	if name == "" {
		return p.defaultClass(ctx)
	}
	for _, b := range scheduling.Builtin() {
		if b.Name == name {
			return *b, nil // also before they are stored
		}
	}
	obj, err := p.Read.Get(ctx, priorityClasses, "", name)
	if apierrors.IsNotFound(err) {
		return schedulingv1.PriorityClass{}, Forbid(r, "no PriorityClass with name %v was found", name)
	}
	if err != nil {
		return schedulingv1.PriorityClass{}, fmt.Errorf("reading PriorityClass %q: %w", name, err)
	}
	return *obj.(*schedulingv1.PriorityClass), nil
}

// defaultClass returns the class of pods that name none: of several, which two masters may
// have let in at once, the lowest.
func (p Priority) defaultClass(ctx context.Context) (schedulingv1.PriorityClass, error) {
	var found schedulingv1.PriorityClass
	all, err := p.Read.List(ctx, priorityClasses, "")
	if err != nil {
		return found, fmt.Errorf("listing PriorityClasses: %w", err)
	}
	for _, obj := range all {
		if c := obj.(*schedulingv1.PriorityClass); c.GlobalDefault && (found.Name == "" || c.Value < found.Value) {
			found = *c
		}
	}
	return found, nil
}

// Validate implements Validator.
func (p Priority) Validate(ctx context.Context, r *Request) error {
	if !r.Is(schedulingv1.GroupName, "priorityclasses") {
		return nil
	}
	if r.Operation == Delete {
		return keepBuiltin(r)
	}
	class, ok := r.Object.(*schedulingv1.PriorityClass)
	if !ok || !class.GlobalDefault {
		return nil
	}
	other, err := p.defaultClass(ctx)
	if err != nil {
		return err
	}
	if other.Name != "" && other.Name != class.Name {
		return Forbid(r, "PriorityClass %v is already marked as default. Only one default can exist", other.Name)
	}
	return nil
}

func keepBuiltin(r *Request) error {
	for _, b := range scheduling.Builtin() {
		if b.Name == r.Name {
			return Forbid(r, "this is a system priority class and cannot be deleted")
		}
	}
	return nil
}
