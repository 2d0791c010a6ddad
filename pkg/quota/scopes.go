package quota

import (
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/miniorch/miniorch/pkg/api"
)

// Matches tells whether a quota tracks the object: all its scopes must select it. A quota with
// scopes tracks nothing but pods, or claims if the scope is about those.
func Matches(spec *corev1.ResourceQuotaSpec, obj api.Object) bool {
	for _, s := range requirements(spec) {
		if !selects(s, obj) {
			return false
		}
	}
	return true
}

// requirements lists the scopes of both forms; those of the short form ask that they hold.
func requirements(spec *corev1.ResourceQuotaSpec) []corev1.ScopedResourceSelectorRequirement {
	var all []corev1.ScopedResourceSelectorRequirement
	for _, s := range spec.Scopes {
		all = append(all, corev1.ScopedResourceSelectorRequirement{ScopeName: s, Operator: corev1.ScopeSelectorOpExists})
	}
	if spec.ScopeSelector != nil {
		all = append(all, spec.ScopeSelector.MatchExpressions...)
	}
	return all
}

func selects(s corev1.ScopedResourceSelectorRequirement, obj api.Object) bool {
	if s.ScopeName == corev1.ResourceQuotaScopeVolumeAttributesClass {
		claim, ok := obj.(*corev1.PersistentVolumeClaim)
		return ok && anyHas(s, volumeAttributesClasses(claim))
	}
	pod, ok := obj.(*corev1.Pod)
	if !ok {
		return false
	}
	switch s.ScopeName {
	case corev1.ResourceQuotaScopeTerminating:
		return isTerminating(pod)
	case corev1.ResourceQuotaScopeNotTerminating:
		return !isTerminating(pod)
	case corev1.ResourceQuotaScopeBestEffort:
		return api.PodQOS(pod) == corev1.PodQOSBestEffort
	case corev1.ResourceQuotaScopeNotBestEffort:
		return api.PodQOS(pod) != corev1.PodQOSBestEffort
	case corev1.ResourceQuotaScopeCrossNamespacePodAffinity:
		return looksAbroad(pod)
	case corev1.ResourceQuotaScopePriorityClass:
		if pod.Spec.PriorityClassName == "" {
			return anyHas(s, nil)
		}
		return anyHas(s, []string{pod.Spec.PriorityClassName})
	}
	return false
}

// anyHas applies a requirement's operator to the values that an object has.
func anyHas(s corev1.ScopedResourceSelectorRequirement, values []string) bool {
	among := slices.ContainsFunc(values, func(v string) bool { return slices.Contains(s.Values, v) })
	switch s.Operator {
	case corev1.ScopeSelectorOpIn:
		return among
	case corev1.ScopeSelectorOpNotIn:
		return !among
	case corev1.ScopeSelectorOpExists:
		return len(values) > 0
	case corev1.ScopeSelectorOpDoesNotExist:
		return len(values) == 0
	}
	return false
}

func isTerminating(p *corev1.Pod) bool { return p.Spec.ActiveDeadlineSeconds != nil }

// volumeAttributesClasses are those that a claim has, wants or is being moved to.
func volumeAttributesClasses(c *corev1.PersistentVolumeClaim) (names []string) {
	candidates := []*string{c.Spec.VolumeAttributesClassName, c.Status.CurrentVolumeAttributesClassName}
	if m := c.Status.ModifyVolumeStatus; m != nil {
		candidates = append(candidates, &m.TargetVolumeAttributesClassName)
	}
	for _, n := range candidates {
		if n != nil && *n != "" {
			names = append(names, *n)
		}
	}
	return names
}

// looksAbroad tells whether a pod's affinity is about pods of other namespaces.
func looksAbroad(p *corev1.Pod) bool {
	return slices.ContainsFunc(podAffinityTerms(p.Spec.Affinity), func(t corev1.PodAffinityTerm) bool {
		return len(t.Namespaces) > 0 || t.NamespaceSelector != nil
	})
}

func podAffinityTerms(a *corev1.Affinity) (terms []corev1.PodAffinityTerm) {
	if a == nil {
		return nil
	}
	var preferred []corev1.WeightedPodAffinityTerm
	if with := a.PodAffinity; with != nil {
		terms = append(terms, with.RequiredDuringSchedulingIgnoredDuringExecution...)
		preferred = append(preferred, with.PreferredDuringSchedulingIgnoredDuringExecution...)
	}
	if without := a.PodAntiAffinity; without != nil {
		terms = append(terms, without.RequiredDuringSchedulingIgnoredDuringExecution...)
		preferred = append(preferred, without.PreferredDuringSchedulingIgnoredDuringExecution...)
	}
	for _, w := range preferred {
		terms = append(terms, w.PodAffinityTerm)
	}
	return terms
}
