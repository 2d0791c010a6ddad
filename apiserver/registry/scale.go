package registry

import (
	"fmt"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/miniorch/miniorch/apiserver/resource"
	"github.com/miniorch/miniorch/pkg/api"
)

// scalable is what the scale subresource reads of an object and where it writes.
type scalable struct {
	desired  *int32
	replicas int32
	selector *metav1.LabelSelector
	set      func(replicas int32)
}

// scaleOf is the "scale" subresource of a kind that runs replicas of a pod.
func scaleOf[T api.Object](look func(obj T) scalable) resource.Subresource {
	return resource.Subresource{
		Name: "scale", Group: "autoscaling", Version: "v1", Kind: "Scale",
		Verbs:   []string{"get", "patch", "update"},
		NewBody: func() runtime.Object { return &autoscalingv1.Scale{} },
		Project: func(obj api.Object) (runtime.Object, error) {
			return projectScale(obj, look(obj.(T)))
		},
		Inject: func(obj api.Object, body runtime.Object) error {
			scale, ok := body.(*autoscalingv1.Scale)
			if !ok {
				return fmt.Errorf("scaling %s: the body is a %T, not an autoscaling/v1 Scale", obj.GetName(), body)
			}
			look(obj.(T)).set(scale.Spec.Replicas)
			return nil
		},
	}
}

func projectScale(obj api.Object, s scalable) (runtime.Object, error) {
	selector, err := metav1.LabelSelectorAsSelector(s.selector)
	if err != nil {
		return nil, fmt.Errorf("reading the selector of %s: %w", obj.GetName(), err)
	}
	scale := &autoscalingv1.Scale{
		TypeMeta: metav1.TypeMeta{APIVersion: "autoscaling/v1", Kind: "Scale"},
		ObjectMeta: metav1.ObjectMeta{
			Name:              obj.GetName(),
			Namespace:         obj.GetNamespace(),
			UID:               obj.GetUID(),
			ResourceVersion:   obj.GetResourceVersion(),
			CreationTimestamp: obj.GetCreationTimestamp(),
		},
		Status: autoscalingv1.ScaleStatus{Replicas: s.replicas, Selector: selector.String()},
	}
	if s.desired != nil {
		scale.Spec.Replicas = *s.desired
	}
	return scale, nil
}
