package rest_test

import (
	"context"
	"strconv"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/miniorch/miniorch/apiserver/resource"
	"github.com/miniorch/miniorch/pkg/api"
)

// The kinds of these tests: small descriptors that each use one part of the engine, so that
// the tests say nothing about the strategy of the built-in kinds.

func plain[T api.Object](newObject func() T) resource.Descriptor {
	return resource.Descriptor{
		Resource:                 api.ResourceFor[T](),
		New:                      func() api.Object { return newObject() },
		AllowUnconditionalUpdate: true,
	}
}

func kinds() []resource.Descriptor {
	configMaps := plain(func() *corev1.ConfigMap { return &corev1.ConfigMap{} })
	configMaps.Validate = func(_ context.Context, obj api.Object) field.ErrorList {
		if _, bad := obj.(*corev1.ConfigMap).Data["bad"]; bad {
			return field.ErrorList{field.Invalid(field.NewPath("data").Key("bad"), "", "is bad")}
		}
		return nil
	}
	leases := plain(func() *coordinationv1.Lease { return &coordinationv1.Lease{} })
	leases.AllowCreateOnUpdate, leases.AllowUnconditionalUpdate = true, false
	services := plain(func() *corev1.Service { return &corev1.Service{} })
	services.Default = func(obj api.Object) {
		svc := obj.(*corev1.Service)
		if svc.Spec.Type == "" {
			svc.Spec.Type = corev1.ServiceTypeClusterIP
		}
	}
	return []resource.Descriptor{
		namespaceKind(), podKind(), configMaps, leases, services, deploymentKind(), eventKind(), eventViewKind(),
		accountKind(),
		plain(func() *corev1.Node { return &corev1.Node{} }),
	}
}

func accountKind() resource.Descriptor {
	d := plain(func() *corev1.ServiceAccount { return &corev1.ServiceAccount{} })
	d.Subresources = []resource.Subresource{{Name: "token", Group: "authentication.k8s.io", Version: "v1", Kind: "TokenRequest", Verbs: []string{"create"}}}
	return d
}

func namespaceKind() resource.Descriptor {
	d := plain(func() *corev1.Namespace { return &corev1.Namespace{} })
	d.PrepareCreate = func(_ context.Context, obj api.Object) {
		ns := obj.(*corev1.Namespace)
		ns.Spec.Finalizers = []corev1.FinalizerName{corev1.FinalizerKubernetes}
		ns.Status.Phase = corev1.NamespaceActive
	}
	d.PrepareUpdate = func(_ context.Context, obj, old api.Object) {
		obj.(*corev1.Namespace).Spec, obj.(*corev1.Namespace).Status = old.(*corev1.Namespace).Spec, old.(*corev1.Namespace).Status
	}
	d.Subresources = []resource.Subresource{{
		Name: "finalize", Verbs: []string{"update"},
		PrepareUpdate: func(_ context.Context, obj, old api.Object) {
			obj.(*corev1.Namespace).Status = old.(*corev1.Namespace).Status
		},
	}}
	return d
}

func podKind() resource.Descriptor {
	d := plain(func() *corev1.Pod { return &corev1.Pod{} })
	d.FieldNames = []string{"spec.nodeName", "status.phase"}
	d.Fields = func(obj api.Object) fields.Set {
		pod := obj.(*corev1.Pod)
		return fields.Set{"spec.nodeName": pod.Spec.NodeName, "status.phase": string(pod.Status.Phase)}
	}
	d.PrepareCreate = func(_ context.Context, obj api.Object) {
		obj.(*corev1.Pod).Status = corev1.PodStatus{Phase: corev1.PodPending}
	}
	d.PrepareUpdate = func(_ context.Context, obj, old api.Object) { obj.(*corev1.Pod).Status = old.(*corev1.Pod).Status }
	d.GracePeriod = func(obj api.Object, asked *int64) int64 {
		switch pod := obj.(*corev1.Pod); {
		case pod.Spec.NodeName == "":
			return 0
		case asked != nil:
			return *asked
		}
		return 30
	}
	d.Subresources = []resource.Subresource{
		{Name: "status", Verbs: []string{"get", "update", "patch"}, PrepareUpdate: func(_ context.Context, obj, old api.Object) {
			obj.(*corev1.Pod).Spec = old.(*corev1.Pod).Spec
		}},
		{Name: "binding", Kind: "Binding", Verbs: []string{"create"}},
	}
	return d
}

func deploymentKind() resource.Descriptor {
	d := plain(func() *appsv1.Deployment { return &appsv1.Deployment{} })
	d.PrepareCreate = func(_ context.Context, obj api.Object) { obj.SetGeneration(1) }
	d.PrepareUpdate = func(_ context.Context, obj, old api.Object) {
		if !equality.Semantic.DeepEqual(obj.(*appsv1.Deployment).Spec, old.(*appsv1.Deployment).Spec) {
			obj.SetGeneration(old.GetGeneration() + 1)
		}
	}
	d.Subresources = []resource.Subresource{{
		Name: "scale", Group: "autoscaling", Version: "v1", Kind: "Scale", Verbs: []string{"get", "update", "patch"},
		NewBody: func() runtime.Object { return &autoscalingv1.Scale{} },
		Project: func(obj api.Object) (runtime.Object, error) {
			deployment := obj.(*appsv1.Deployment)
			return &autoscalingv1.Scale{
				ObjectMeta: metav1.ObjectMeta{Name: deployment.Name, Namespace: deployment.Namespace, UID: deployment.UID, ResourceVersion: deployment.ResourceVersion},
				Spec:       autoscalingv1.ScaleSpec{Replicas: *deployment.Spec.Replicas},
			}, nil
		},
		Inject: func(obj api.Object, body runtime.Object) error {
			replicas := body.(*autoscalingv1.Scale).Spec.Replicas
			obj.(*appsv1.Deployment).Spec.Replicas = &replicas
			return nil
		},
	}}
	return d
}

func eventKind() resource.Descriptor {
	d := plain(func() *corev1.Event { return &corev1.Event{} })
	d.TTL = func(api.Object) time.Duration { return time.Hour }
	return d
}

func eventViewKind() resource.Descriptor {
	d := plain(func() *eventsv1.Event { return &eventsv1.Event{} })
	d.View = &resource.View{
		Of: api.ResourceFor[*corev1.Event](),
		To: func(obj api.Object) (api.Object, error) {
			e := obj.(*eventsv1.Event)
			return &corev1.Event{ObjectMeta: e.ObjectMeta, Message: e.Note, Reason: e.Reason}, nil
		},
		From: func(obj api.Object) (api.Object, error) {
			e := obj.(*corev1.Event)
			return &eventsv1.Event{ObjectMeta: e.ObjectMeta, Note: e.Message, Reason: e.Reason}, nil
		},
	}
	return d
}

func configMap(name string, data ...string) *corev1.ConfigMap {
	cm := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default"}}
	for i := 0; i+1 < len(data); i += 2 {
		if cm.Data == nil {
			cm.Data = map[string]string{}
		}
		cm.Data[data[i]] = data[i+1]
	}
	return cm
}

func pod(name, node string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default"},
		Spec:       corev1.PodSpec{NodeName: node, Containers: []corev1.Container{{Name: "c", Image: "i"}}},
	}
}

func revision(rv string) int64 {
	n, err := strconv.ParseInt(rv, 10, 64)
	if err != nil {
		panic(err)
	}
	return n
}
