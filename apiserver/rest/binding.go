package rest

import (
	"context"
	"fmt"
	"maps"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/miniorch/miniorch/apiserver/admission"
	"github.com/miniorch/miniorch/apiserver/storage/watchcache"
	"github.com/miniorch/miniorch/pkg/api"
)

// CreateSubresource posts body to an object's subresource: pods/binding, pods/eviction,
// serviceaccounts/token. It returns the answer's body; for a binding or an eviction that is
// the body itself, which the HTTP front answers with a Status of success.
func (s *Store) CreateSubresource(ctx context.Context, ns, name, subresource string, body api.Object, opts metav1.CreateOptions) (api.Object, error) {
	if err := checkOptions("CreateOptions", metavalidation.ValidateCreateOptions(&opts)); err != nil {
		return nil, err
	}
	if err := s.notVirtual("create"); err != nil {
		return nil, err
	}
	if _, err := s.subresource(subresource, "create"); err != nil {
		return nil, err
	}
	if err := s.checkName(ns, name); err != nil {
		return nil, err
	}
	if err := s.settleNamespace(ns, body); err != nil {
		return nil, err
	}
	if body.GetName() == "" {
		body.SetName(name)
	}
	if err := requireName(body, name); err != nil {
		return nil, err
	}
	if err := s.waitReady(ctx); err != nil {
		return nil, err
	}
	switch {
	case s.desc.GroupResource() == corev1.Resource("pods") && subresource == "binding":
		return s.bind(ctx, ns, name, body, isDryRun(opts.DryRun))
	case s.desc.GroupResource() == corev1.Resource("pods") && subresource == "eviction":
		return s.evict(ctx, ns, name, body, isDryRun(opts.DryRun))
	case s.desc.GroupResource() == corev1.Resource("serviceaccounts") && subresource == "token":
		return s.issueToken(ctx, ns, name, body, isDryRun(opts.DryRun))
	}
	return nil, apierrors.NewMethodNotSupported(s.desc.GroupResource(), "create "+subresource)
}

// bind assigns a pod to a node, once: node, annotations and the PodScheduled
// condition in one write.
func (s *Store) bind(ctx context.Context, ns, name string, body api.Object, dryRun bool) (api.Object, error) {
	binding, ok := body.(*corev1.Binding)
	if !ok {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("not a Binding object: %T", body))
	}
	if errs := checkBinding(binding); len(errs) > 0 {
		return nil, apierrors.NewInvalid(corev1.SchemeGroupVersion.WithKind("Binding").GroupKind(), name, errs)
	}
	_, _, _, err := s.mutate(ctx, s.key(ns, name), dryRun, func(current *watchcache.Item) (change, error) {
		if current == nil {
			return change{}, s.notFound(name)
		}
		old := current.Object.(*corev1.Pod)
		req := s.request(ctx, admission.Create, ns, name, "binding", binding, old, dryRun)
		if err := s.reg.admission.Admit(ctx, req); err != nil {
			return change{}, err
		}
		if err := s.reg.admission.Validate(ctx, req); err != nil {
			return change{}, err
		}
		pod, err := s.bound(old, binding)
		return change{kind: put, obj: pod}, err
	})
	return binding, err
}

func checkBinding(b *corev1.Binding) field.ErrorList {
	var errs field.ErrorList
	target := field.NewPath("target")
	if b.Target.Kind != "" && b.Target.Kind != "Node" {
		errs = append(errs, field.NotSupported(target.Child("kind"), b.Target.Kind, []string{"Node", "<empty>"}))
	}
	if b.Target.Name == "" {
		errs = append(errs, field.Required(target.Child("name"), ""))
	}
	return errs
}

// bound returns the pod as it is once it is bound, or why it cannot be.
func (s *Store) bound(old *corev1.Pod, b *corev1.Binding) (*corev1.Pod, error) {
	switch {
	case b.UID != "" && b.UID != old.UID:
		return nil, s.wrongUID(old, b.UID)
	case b.ResourceVersion != "" && b.ResourceVersion != old.ResourceVersion:
		return nil, s.conflict(old.Name, errModified)
	case old.DeletionTimestamp != nil:
		return nil, s.conflict(old.Name, fmt.Errorf("pod %s is being deleted, cannot be assigned to a host", old.Name))
	case old.Spec.NodeName != "":
		return nil, s.conflict(old.Name, fmt.Errorf("pod %s is already assigned to node %q", old.Name, old.Spec.NodeName))
	case len(old.Spec.SchedulingGates) > 0:
		return nil, s.conflict(old.Name, fmt.Errorf("pod %s has non-empty .spec.schedulingGates", old.Name))
	}
	pod := old.DeepCopy()
	pod.Spec.NodeName = b.Target.Name
	if len(b.Annotations) > 0 {
		if pod.Annotations == nil {
			pod.Annotations = map[string]string{}
		}
		maps.Copy(pod.Annotations, b.Annotations)
	}
	setScheduled(pod, s.now())
	return pod, nil
}

func setScheduled(pod *corev1.Pod, now metav1.Time) {
	condition := corev1.PodCondition{
		Type: corev1.PodScheduled, Status: corev1.ConditionTrue, LastTransitionTime: now, ObservedGeneration: pod.Generation,
	}
	for i, c := range pod.Status.Conditions {
		if c.Type == corev1.PodScheduled {
			if c.Status == condition.Status {
				condition.LastTransitionTime = c.LastTransitionTime
			}
			pod.Status.Conditions[i] = condition
			return
		}
	}
	pod.Status.Conditions = append(pod.Status.Conditions, condition)
}
