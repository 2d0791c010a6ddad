package podspec

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// MergeLabelKeys writes down, when a pod is made, which of its own labels its selectors mean: a pod's
// labels may change, and what it was scheduled by stays.
func MergeLabelKeys(p *corev1.Pod) {
	if a := p.Spec.Affinity; a != nil {
		if a.PodAffinity != nil {
			mergeTerms(p.Labels, a.PodAffinity.RequiredDuringSchedulingIgnoredDuringExecution, a.PodAffinity.PreferredDuringSchedulingIgnoredDuringExecution)
		}
		if a.PodAntiAffinity != nil {
			mergeTerms(p.Labels, a.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution, a.PodAntiAffinity.PreferredDuringSchedulingIgnoredDuringExecution)
		}
	}
	for i := range p.Spec.TopologySpreadConstraints {
		s := &p.Spec.TopologySpreadConstraints[i]
		mergeKeys(p.Labels, s.LabelSelector, s.MatchLabelKeys, metav1.LabelSelectorOpIn)
	}
}

func mergeTerms(of map[string]string, need []corev1.PodAffinityTerm, prefer []corev1.WeightedPodAffinityTerm) {
	for i := range need {
		mergeTerm(of, &need[i])
	}
	for i := range prefer {
		mergeTerm(of, &prefer[i].PodAffinityTerm)
	}
}

func mergeTerm(of map[string]string, t *corev1.PodAffinityTerm) {
	mergeKeys(of, t.LabelSelector, t.MatchLabelKeys, metav1.LabelSelectorOpIn)
	mergeKeys(of, t.LabelSelector, t.MismatchLabelKeys, metav1.LabelSelectorOpNotIn)
}

func mergeKeys(of map[string]string, s *metav1.LabelSelector, keys []string, op metav1.LabelSelectorOperator) {
	if s == nil {
		return // validation says so
	}
	for _, key := range keys {
		if value, ok := of[key]; ok && !selects(s, key) {
			s.MatchExpressions = append(s.MatchExpressions, metav1.LabelSelectorRequirement{Key: key, Operator: op, Values: []string{value}})
		}
	}
}

// selects tells whether a selector says anything of a label.
func selects(s *metav1.LabelSelector, key string) bool {
	_, ok := s.MatchLabels[key]
	return ok || slices.ContainsFunc(s.MatchExpressions, func(r metav1.LabelSelectorRequirement) bool { return r.Key == key })
}

// validateLabelKeys checks the keys of a pod's own labels that a selector is to be completed with. That one
// has been written into it is no mistake.
func validateLabelKeys(keys []string, s *metav1.LabelSelector, op metav1.LabelSelectorOperator, path *field.Path) field.ErrorList {
	switch {
	case len(keys) == 0:
		return nil
	case s == nil:
		return field.ErrorList{field.Forbidden(path, "must not be specified when labelSelector is not set")}
	}
	var errs field.ErrorList
	for i, key := range keys {
		errs = append(errs, metavalidation.ValidateLabelName(key, path.Index(i))...)
		merged := slices.ContainsFunc(s.MatchExpressions, func(r metav1.LabelSelectorRequirement) bool {
			return r.Key == key && r.Operator == op && len(r.Values) == 1
		})
		if selects(s, key) && !merged {
			errs = append(errs, field.Invalid(path.Index(i), key, "exists in both matchLabelKeys and labelSelector"))
		}
	}
	return errs
}
