package statefulset

import (
	"fmt"
	"maps"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/miniorch/miniorch/controllers/ownership"
	"github.com/miniorch/miniorch/pkg/api"
)

var podKind = corev1.SchemeGroupVersion.WithKind("Pod")

func claimName(set *appsv1.StatefulSet, template string, ordinal int) string {
	return fmt.Sprintf("%s-%s-%d", template, set.Name, ordinal)
}

// claimNames are the claims of all ordinals that should be there and of all pods that are.
func claimNames(set *appsv1.StatefulSet, pods []*corev1.Pod) []string {
	if len(set.Spec.VolumeClaimTemplates) == 0 {
		return nil
	}
	ordinals := map[int]bool{}
	for n := range desired(set) {
		ordinals[start(set)+n] = true
	}
	for _, p := range pods {
		if n, ok := ordinalOf(set, p.Name); ok {
			ordinals[n] = true
		}
	}
	var names []string
	for i := range set.Spec.VolumeClaimTemplates {
		for n := range ordinals {
			names = append(names, claimName(set, set.Spec.VolumeClaimTemplates[i].Name, n))
		}
	}
	return names
}

// newClaim makes the claim of an ordinal from its template.
func newClaim(set *appsv1.StatefulSet, template *corev1.PersistentVolumeClaim, ordinal int) *corev1.PersistentVolumeClaim {
	t := template.DeepCopy()
	labels := maps.Clone(t.Labels)
	if labels == nil {
		labels = map[string]string{}
	}
	maps.Copy(labels, set.Spec.Selector.MatchLabels)
	c := &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: set.Namespace, Name: claimName(set, t.Name, ordinal),
			Labels: labels, Annotations: t.Annotations, Finalizers: t.Finalizers,
		},
		Spec: t.Spec,
	}
	c.OwnerReferences = claimOwners(set, nil, c, false)
	return c
}

// claimOwners returns whom a claim goes with, by the set's retention policy: with the set if it
// is to go when that does, with the pod if it is to go when the set shrinks and the pod is one of
// those that are too many. A claim that somebody else controls stays his.
func claimOwners(set *appsv1.StatefulSet, p *corev1.Pod, c *corev1.PersistentVolumeClaim, condemned bool) []metav1.OwnerReference {
	policy := set.Spec.PersistentVolumeClaimRetentionPolicy
	if policy == nil {
		return c.OwnerReferences
	}
	if ref := metav1.GetControllerOfNoCopy(c); ref != nil && ref.UID != set.UID && (p == nil || ref.UID != p.UID) {
		return c.OwnerReferences
	}
	const goes = appsv1.DeletePersistentVolumeClaimRetentionPolicyType
	withPod := policy.WhenScaled == goes && condemned
	owners := withOwner(c.OwnerReferences, set, kind, policy.WhenDeleted == goes && !withPod)
	if p != nil {
		owners = withOwner(owners, p, podKind, withPod)
	}
	return owners
}

// withOwner adds or removes one owner.
func withOwner(owners []metav1.OwnerReference, owner api.Object, kind schema.GroupVersionKind, wanted bool) []metav1.OwnerReference {
	is := func(ref metav1.OwnerReference) bool { return ref.UID == owner.GetUID() }
	switch has := slices.ContainsFunc(owners, is); {
	case has && !wanted:
		return slices.DeleteFunc(slices.Clone(owners), is)
	case !has && wanted:
		return append(slices.Clone(owners), ownership.Reference(owner, kind))
	}
	return owners
}

// isLeaving tells whether a claim is about to go: it was told to, or it goes with a former pod of
// the name. A new pod must not start with it.
func isLeaving(c *corev1.PersistentVolumeClaim, pod string) bool {
	return c.DeletionTimestamp != nil || slices.ContainsFunc(c.OwnerReferences, func(ref metav1.OwnerReference) bool {
		return ref.Kind == podKind.Kind && ref.Name == pod
	})
}

// claimsFor plans the claims of a pod that is to be created. ok is false if it must wait for
// one to go.
func (s *step) claimsFor(ordinal int) (ok bool) {
	for i := range s.Set.Spec.VolumeClaimTemplates {
		t := &s.Set.Spec.VolumeClaimTemplates[i]
		if c := s.Claims[claimName(s.Set, t.Name, ordinal)]; c != nil && isLeaving(c, podName(s.Set, ordinal)) {
			return false
		}
	}
	s.missingClaims(ordinal)
	return true
}

// missingClaims plans those of an ordinal's claims that are not there.
func (s *step) missingClaims(ordinal int) {
	for i := range s.Set.Spec.VolumeClaimTemplates {
		t := &s.Set.Spec.VolumeClaimTemplates[i]
		if s.Claims[claimName(s.Set, t.Name, ordinal)] == nil {
			s.plan.NewClaims = append(s.plan.NewClaims, newClaim(s.Set, t, ordinal))
		}
	}
}

// handClaims plans the change of whom the claims of a pod go with.
func (s *step) handClaims(p *corev1.Pod, ordinal int, condemned bool) {
	for i := range s.Set.Spec.VolumeClaimTemplates {
		c := s.Claims[claimName(s.Set, s.Set.Spec.VolumeClaimTemplates[i].Name, ordinal)]
		if c == nil || c.DeletionTimestamp != nil {
			continue
		}
		if owners := claimOwners(s.Set, p, c, condemned); !equality.Semantic.DeepEqual(owners, c.OwnerReferences) {
			changed := c.DeepCopy()
			changed.OwnerReferences = owners
			s.plan.HandClaims = append(s.plan.HandClaims, changed)
		}
	}
}
