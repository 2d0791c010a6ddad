package admission

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	nodev1 "k8s.io/api/node/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

var runtimeClasses = nodev1.SchemeGroupVersion.WithResource("runtimeclasses")

// RuntimeClass gives a pod what its runtime class says: what it costs beyond its containers, and
// the nodes that have the runtime.
type RuntimeClass struct{ Read Reader }

// Name implements Plugin.
func (RuntimeClass) Name() string { return "RuntimeClass" }

// Admit implements Mutator.
func (p RuntimeClass) Admit(ctx context.Context, r *Request) error {
	pod, ok := r.Object.(*corev1.Pod)
	if !ok || r.Operation != Create || r.Subresource != "" {
		return nil
	}
	class, err := p.classOf(ctx, r, pod)
	if err != nil || class == nil {
		return err
	}
	if class.Overhead != nil && len(pod.Spec.Overhead) == 0 {
		pod.Spec.Overhead = class.Overhead.PodFixed.DeepCopy()
	}
	if class.Scheduling == nil {
		return nil
	}
	for key, value := range class.Scheduling.NodeSelector {
		if is, there := pod.Spec.NodeSelector[key]; there && is != value {
			return Forbid(r, "conflict: runtimeClass.scheduling.nodeSelector[%s] = %s; pod.spec.nodeSelector[%s] = %s", key, value, key, is)
		}
		if pod.Spec.NodeSelector == nil {
			pod.Spec.NodeSelector = map[string]string{}
		}
		pod.Spec.NodeSelector[key] = value
	}
	for _, t := range class.Scheduling.Tolerations {
		if !hasToleration(pod.Spec.Tolerations, t) {
			pod.Spec.Tolerations = append(pod.Spec.Tolerations, t)
		}
	}
	return nil
}

func hasToleration(all []corev1.Toleration, t corev1.Toleration) bool {
	for i := range all {
		if equality.Semantic.DeepEqual(all[i], t) {
			return true
		}
	}
	return false
}

// Validate implements Validator: nobody but the class says what a pod costs.
func (p RuntimeClass) Validate(ctx context.Context, r *Request) error {
	pod, ok := r.Object.(*corev1.Pod)
	if !ok || r.Operation != Create || r.Subresource != "" {
		return nil
	}
	class, err := p.classOf(ctx, r, pod)
	if err != nil {
		return err
	}
	switch {
	case class != nil && class.Overhead != nil:
		if !equality.Semantic.DeepEqual(class.Overhead.PodFixed, pod.Spec.Overhead) {
			return Forbid(r, "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead")
		}
	case len(pod.Spec.Overhead) > 0:
		return Forbid(r, "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead")
	}
	return nil
}

// classOf finds the pod's runtime class, nil if it asks for none.
func (p RuntimeClass) classOf(ctx context.Context, r *Request, pod *corev1.Pod) (*nodev1.RuntimeClass, error) {
	if pod.Spec.RuntimeClassName == nil || *pod.Spec.RuntimeClassName == "" {
		return nil, nil
	}
	name := *pod.Spec.RuntimeClassName
	obj, err := p.Read.Get(ctx, runtimeClasses, "", name)
	if apierrors.IsNotFound(err) {
		return nil, Forbid(r, "pod rejected: RuntimeClass %q not found", name)
	}
	if err != nil {
		return nil, fmt.Errorf("looking up runtime class %s: %w", name, err)
	}
	return obj.(*nodev1.RuntimeClass), nil
}
