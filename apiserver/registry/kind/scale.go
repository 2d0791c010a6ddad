package kind

import (
	"fmt"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/miniorch/miniorch/apiserver/resource"
	"github.com/miniorch/miniorch/pkg/api"
)

// Scalable is what the scale subresource reads of an object and where it writes.
type Scalable struct {
	Desired  *int32
	Replicas int32
	Selector *metav1.LabelSelector
	Set      func(replicas int32)
}

// ScaleOf is the "scale" subresource of a kind that runs replicas of a pod.
func ScaleOf[T api.Object](look func(obj T) Scalable) resource.Subresource {
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
			look(obj.(T)).Set(scale.Spec.Replicas)
			return nil
		},
	}
}

func projectScale(obj api.Object, s Scalable) (runtime.Object, error) {
	selector, err := metav1.LabelSelectorAsSelector(s.Selector)
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
		Status: autoscalingv1.ScaleStatus{Replicas: s.Replicas, Selector: selector.String()},
	}
	if s.Desired != nil {
		scale.Spec.Replicas = *s.Desired
	}
	return scale, nil
}
