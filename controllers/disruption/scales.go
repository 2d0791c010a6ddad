package disruption

import (
	"context"
	"fmt"
	"sync"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/miniorch/miniorch/pkg/api"
	"github.com/miniorch/miniorch/pkg/client"
)

// scales finds out how many pods the controllers of some pods want. Whatever has a scale
// subresource can be asked, also kinds that were added at run time.
type scales struct {
	transport client.Transport
	sets      *client.Informer[*appsv1.ReplicaSet]

	mu    sync.Mutex
	kinds map[schema.GroupKind]api.Resource // guarded by mu
}

var (
	replicaSet = appsv1.SchemeGroupVersion.WithKind("ReplicaSet").GroupKind()
	deployment = appsv1.SchemeGroupVersion.WithKind("Deployment").GroupKind()
)

// expected adds up what the pods' controllers want. unmanaged tells that a pod has none.
func (s *scales) expected(ctx context.Context, pods []*corev1.Pod) (total int32, unmanaged bool, err error) {
	asked := map[types.UID]bool{}
	for _, p := range pods {
		ref := metav1.GetControllerOf(p)
		if ref == nil {
			unmanaged = true
			continue
		}
		if asked[ref.UID] {
			continue
		}
		asked[ref.UID] = true
		top := s.top(p.Namespace, ref)
		if top.UID != ref.UID && asked[top.UID] { // another revision of the same Deployment
			continue
		}
		asked[top.UID] = true
		n, err := s.ask(ctx, p, top)
		if err != nil {
			return 0, unmanaged, err
		}
		total += n
	}
	return total, unmanaged, nil
}

// top returns a ReplicaSet's Deployment, which knows better: in the middle of a rollout the
// pods that are wanted are spread over several sets.
func (s *scales) top(ns string, ref *metav1.OwnerReference) *metav1.OwnerReference {
	if groupKind(ref) != replicaSet {
		return ref
	}
	rs, ok := s.sets.Get(ns, ref.Name)
	if !ok || rs.UID != ref.UID {
		return ref
	}
	if above := metav1.GetControllerOf(rs); above != nil && groupKind(above) == deployment {
		return above
	}
	return ref
}

func groupKind(ref *metav1.OwnerReference) schema.GroupKind {
	return schema.FromAPIVersionAndKind(ref.APIVersion, ref.Kind).GroupKind()
}

func (s *scales) ask(ctx context.Context, p *corev1.Pod, ref *metav1.OwnerReference) (int32, error) {
	r, err := s.resource(ctx, groupKind(ref))
	if err != nil {
		return 0, err
	}
	obj, err := s.transport.Get(ctx, client.Request{Resource: r, Namespace: p.Namespace, Name: ref.Name, Subresource: "scale"}, metav1.GetOptions{})
	if apierrors.IsNotFound(err) || apierrors.IsMethodNotSupported(err) {
		if _, there := client.Dynamic(s.transport, r).Get(ctx, p.Namespace, ref.Name); there == nil {
			return 0, fmt.Errorf("%s does not implement the scale subresource", r)
		}
		return 0, fmt.Errorf("found no controllers for pod %q", p.Name)
	}
	if err != nil {
		return 0, fmt.Errorf("reading the scale of %s %s: %w", ref.Kind, ref.Name, err)
	}
	scale, ok := obj.(*autoscalingv1.Scale)
	if !ok {
		return 0, fmt.Errorf("the scale of %s %s is a %T", ref.Kind, ref.Name, obj)
	}
	if scale.UID != "" && scale.UID != ref.UID {
		return 0, fmt.Errorf("found no controllers for pod %q", p.Name)
	}
	return scale.Spec.Replicas, nil
}

// resource finds where a kind is served; what is not known yet may have been added since.
func (s *scales) resource(ctx context.Context, kind schema.GroupKind) (api.Resource, error) {
	s.mu.Lock()
	r, ok := s.kinds[kind]
	s.mu.Unlock()
	if ok {
		return r, nil
	}
	all, err := s.transport.Resources(ctx)
	if err != nil {
		return r, fmt.Errorf("reading which resources are served: %w", err)
	}
	kinds := make(map[schema.GroupKind]api.Resource, len(all))
	for _, r := range all {
		kinds[r.GVK().GroupKind()] = r
	}
	s.mu.Lock()
	s.kinds = kinds
	s.mu.Unlock()
	if r, ok = kinds[kind]; !ok {
		return r, fmt.Errorf("the kind %s is not served", kind)
	}
	return r, nil
}
