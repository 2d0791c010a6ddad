package podspec

import (
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	utilvalidation "k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/miniorch/miniorch/apiserver/registry/kind"
)

// placement checks what the scheduler reads.
func (c *podSpecCheck) placement(path *field.Path) field.ErrorList {
	errs := metavalidation.ValidateLabels(c.spec.NodeSelector, path.Child("nodeSelector"))
	errs = append(errs, validateTolerations(c.spec.Tolerations, path.Child("tolerations"))...)
	errs = append(errs, validateAffinities(c.spec.Affinity, path.Child("affinity"))...)
	errs = append(errs, validateSpread(c.spec.TopologySpreadConstraints, path.Child("topologySpreadConstraints"))...)
	gates := map[string]bool{}
	for i, g := range c.spec.SchedulingGates {
		at := path.Child("schedulingGates").Index(i)
		errs = append(errs, kind.Invalids(at, g.Name, utilvalidation.IsQualifiedName(g.Name))...)
		if gates[g.Name] {
			errs = append(errs, field.Duplicate(at, g.Name))
		}
		gates[g.Name] = true
	}
	if len(c.spec.SchedulingGates) > 0 && c.spec.NodeName != "" {
		errs = append(errs, field.Forbidden(path.Child("nodeName"), "cannot be set until all schedulingGates have been cleared"))
	}
	return errs
}

func validateTolerations(all []corev1.Toleration, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i, t := range all {
		at := path.Index(i)
		if t.Key != "" {
			errs = append(errs, metavalidation.ValidateLabelName(t.Key, at.Child("key"))...)
		} else if t.Operator != corev1.TolerationOpExists {
			errs = append(errs, field.Invalid(at.Child("operator"), t.Operator,
				"operator must be Exists when `key` is empty, which means \"match all values and all keys\""))
		}
		if t.TolerationSeconds != nil && t.Effect != corev1.TaintEffectNoExecute {
			errs = append(errs, field.Invalid(at.Child("effect"), t.Effect, "effect must be 'NoExecute' when `tolerationSeconds` is set"))
		}
		errs = append(errs, validateTolerationValue(t, at)...)
		if t.Effect != "" {
			errs = append(errs, kind.OneOf(t.Effect, at.Child("effect"),
				corev1.TaintEffectNoSchedule, corev1.TaintEffectPreferNoSchedule, corev1.TaintEffectNoExecute)...)
		}
	}
	return errs
}

func validateTolerationValue(t corev1.Toleration, path *field.Path) field.ErrorList {
	switch t.Operator {
	case corev1.TolerationOpEqual, "":
		return kind.Invalids(path.Child("value"), t.Value, utilvalidation.IsValidLabelValue(t.Value))
	case corev1.TolerationOpExists:
		if t.Value != "" {
			return field.ErrorList{field.Invalid(path.Child("operator"), t.Value, "value must be empty when `operator` is 'Exists'")}
		}
		return nil
	case corev1.TolerationOpLt, corev1.TolerationOpGt:
		if _, err := strconv.ParseInt(t.Value, 10, 64); err != nil {
			return field.ErrorList{field.Invalid(path.Child("value"), t.Value, "must be an integer when `operator` is 'Lt' or 'Gt'")}
		}
		return nil
	}
	return field.ErrorList{field.NotSupported(path.Child("operator"), t.Operator, []corev1.TolerationOperator{
		corev1.TolerationOpEqual, corev1.TolerationOpExists, corev1.TolerationOpGt, corev1.TolerationOpLt})}
}

func validateAffinities(a *corev1.Affinity, path *field.Path) field.ErrorList {
	if a == nil {
		return nil
	}
	var errs field.ErrorList
	if n := a.NodeAffinity; n != nil {
		errs = append(errs, validateNodeAffinity(n, path.Child("nodeAffinity"))...)
	}
	if p := a.PodAffinity; p != nil {
		errs = append(errs, validatePodAffinity(p.RequiredDuringSchedulingIgnoredDuringExecution,
			p.PreferredDuringSchedulingIgnoredDuringExecution, path.Child("podAffinity"))...)
	}
	if p := a.PodAntiAffinity; p != nil {
		errs = append(errs, validatePodAffinity(p.RequiredDuringSchedulingIgnoredDuringExecution,
			p.PreferredDuringSchedulingIgnoredDuringExecution, path.Child("podAntiAffinity"))...)
	}
	return errs
}

// Required is the field of rules that a node must meet, preferred that of rules it should.
const (
	Required  = "requiredDuringSchedulingIgnoredDuringExecution"
	preferred = "preferredDuringSchedulingIgnoredDuringExecution"
)

func validateNodeAffinity(n *corev1.NodeAffinity, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if r := n.RequiredDuringSchedulingIgnoredDuringExecution; r != nil {
		terms := path.Child(Required, "nodeSelectorTerms")
		if len(r.NodeSelectorTerms) == 0 {
			errs = append(errs, field.Required(terms, "must have at least one node selector term"))
		}
		for i := range r.NodeSelectorTerms {
			errs = append(errs, validateNodeTerm(&r.NodeSelectorTerms[i], terms.Index(i))...)
		}
	}
	for i := range n.PreferredDuringSchedulingIgnoredDuringExecution {
		p := &n.PreferredDuringSchedulingIgnoredDuringExecution[i]
		at := path.Child(preferred).Index(i)
		errs = append(errs, validateWeight(p.Weight, at.Child("weight"))...)
		errs = append(errs, validateNodeTerm(&p.Preference, at.Child("preference"))...)
	}
	return errs
}

func validateWeight(w int32, path *field.Path) field.ErrorList {
	if w < 1 || w > 100 {
		return field.ErrorList{field.Invalid(path, w, "must be in the range 1-100")}
	}
	return nil
}

func validateNodeTerm(t *corev1.NodeSelectorTerm, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i, r := range t.MatchExpressions {
		at := path.Child("matchExpressions").Index(i)
		errs = append(errs, validateNodeRequirement(r, at)...)
		errs = append(errs, metavalidation.ValidateLabelName(r.Key, at.Child("key"))...)
	}
	for i, r := range t.MatchFields {
		at := path.Child("matchFields").Index(i)
		if !slices.Contains([]corev1.NodeSelectorOperator{corev1.NodeSelectorOpIn, corev1.NodeSelectorOpNotIn}, r.Operator) {
			errs = append(errs, field.Invalid(at.Child("operator"), r.Operator, "not a valid selector operator"))
		} else if len(r.Values) != 1 {
			errs = append(errs, field.Required(at.Child("values"), "must be only one value when `operator` is 'In' or 'NotIn' for node field selector"))
		}
		if r.Key != metav1.ObjectNameField {
			errs = append(errs, field.Invalid(at.Child("key"), r.Key, "not a valid field selector key"))
		}
	}
	return errs
}

func validateNodeRequirement(r corev1.NodeSelectorRequirement, path *field.Path) field.ErrorList {
	values := path.Child("values")
	switch r.Operator {
	case corev1.NodeSelectorOpIn, corev1.NodeSelectorOpNotIn:
		if len(r.Values) == 0 {
			return field.ErrorList{field.Required(values, "must be specified when `operator` is 'In' or 'NotIn'")}
		}
	case corev1.NodeSelectorOpExists, corev1.NodeSelectorOpDoesNotExist:
		if len(r.Values) > 0 {
			return field.ErrorList{field.Forbidden(values, "may not be specified when `operator` is 'Exists' or 'DoesNotExist'")}
		}
	case corev1.NodeSelectorOpGt, corev1.NodeSelectorOpLt:
		if len(r.Values) != 1 {
			return field.ErrorList{field.Required(values, "must be specified single value when `operator` is 'Lt' or 'Gt'")}
		}
	default:
		return field.ErrorList{field.Invalid(path.Child("operator"), r.Operator, "not a valid selector operator")}
	}
	return nil
}

func validatePodAffinity(need []corev1.PodAffinityTerm, prefer []corev1.WeightedPodAffinityTerm, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i := range need {
		errs = append(errs, validatePodTerm(&need[i], path.Child(Required).Index(i))...)
	}
	for i := range prefer {
		at := path.Child(preferred).Index(i)
		errs = append(errs, validateWeight(prefer[i].Weight, at.Child("weight"))...)
		errs = append(errs, validatePodTerm(&prefer[i].PodAffinityTerm, at.Child("podAffinityTerm"))...)
	}
	return errs
}

func validatePodTerm(t *corev1.PodAffinityTerm, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	opts := metavalidation.LabelSelectorValidationOptions{}
	if t.LabelSelector != nil {
		errs = append(errs, metavalidation.ValidateLabelSelector(t.LabelSelector, opts, path.Child("labelSelector"))...)
	}
	if t.NamespaceSelector != nil {
		errs = append(errs, metavalidation.ValidateLabelSelector(t.NamespaceSelector, opts, path.Child("namespaceSelector"))...)
	}
	for i, ns := range t.Namespaces {
		errs = append(errs, kind.Invalids(path.Child("namespaces").Index(i), ns, utilvalidation.IsDNS1123Label(ns))...)
	}
	errs = append(errs, validateLabelKeys(t.MatchLabelKeys, t.LabelSelector, metav1.LabelSelectorOpIn, path.Child("matchLabelKeys"))...)
	errs = append(errs, validateLabelKeys(t.MismatchLabelKeys, t.LabelSelector, metav1.LabelSelectorOpNotIn, path.Child("mismatchLabelKeys"))...)
	for i, key := range t.MatchLabelKeys {
		if slices.Contains(t.MismatchLabelKeys, key) {
			errs = append(errs, field.Invalid(path.Child("matchLabelKeys").Index(i), key, "exists in both matchLabelKeys and mismatchLabelKeys"))
		}
	}
	return append(errs, validateTopologyKey(t.TopologyKey, path.Child("topologyKey"))...)
}

func validateTopologyKey(key string, path *field.Path) field.ErrorList {
	if key == "" {
		return field.ErrorList{field.Required(path, "can not be empty")}
	}
	return metavalidation.ValidateLabelName(key, path)
}

func validateSpread(all []corev1.TopologySpreadConstraint, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i, s := range all {
		at := path.Index(i)
		if s.MaxSkew <= 0 {
			errs = append(errs, field.Invalid(at.Child("maxSkew"), s.MaxSkew, "must be greater than zero"))
		}
		errs = append(errs, validateTopologyKey(s.TopologyKey, at.Child("topologyKey"))...)
		errs = append(errs, kind.RequiredOneOf(s.WhenUnsatisfiable, at.Child("whenUnsatisfiable"), corev1.DoNotSchedule, corev1.ScheduleAnyway)...)
		for _, before := range all[:i] {
			if before.TopologyKey == s.TopologyKey && before.WhenUnsatisfiable == s.WhenUnsatisfiable {
				errs = append(errs, field.Duplicate(at.Child("{topologyKey, whenUnsatisfiable}"),
					"{"+s.TopologyKey+", "+string(s.WhenUnsatisfiable)+"}"))
				break
			}
		}
		if d := s.MinDomains; d != nil && *d <= 0 {
			errs = append(errs, field.Invalid(at.Child("minDomains"), *d, "must be greater than zero"))
		} else if d != nil && s.WhenUnsatisfiable != corev1.DoNotSchedule {
			errs = append(errs, field.Invalid(at.Child("minDomains"), *d, "can only use minDomains if whenUnsatisfiable=DoNotSchedule"))
		}
		errs = append(errs, validateLabelKeys(s.MatchLabelKeys, s.LabelSelector, metav1.LabelSelectorOpIn, at.Child("matchLabelKeys"))...)
		errs = append(errs, validateInclusion(s.NodeAffinityPolicy, at.Child("nodeAffinityPolicy"))...)
		errs = append(errs, validateInclusion(s.NodeTaintsPolicy, at.Child("nodeTaintsPolicy"))...)
		if s.LabelSelector != nil {
			errs = append(errs, metavalidation.ValidateLabelSelector(s.LabelSelector,
				metavalidation.LabelSelectorValidationOptions{}, at.Child("labelSelector"))...)
		}
	}
	return errs
}

func validateInclusion(p *corev1.NodeInclusionPolicy, path *field.Path) field.ErrorList {
	if p == nil {
		return nil
	}
	return kind.OneOf(*p, path, corev1.NodeInclusionPolicyHonor, corev1.NodeInclusionPolicyIgnore)
}
