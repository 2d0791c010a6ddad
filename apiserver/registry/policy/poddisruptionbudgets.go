package policy

import (
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/miniorch/miniorch/apiserver/registry/kind"
	"github.com/miniorch/miniorch/apiserver/resource"
)

func podDisruptionBudgets() resource.Descriptor {
	return kind.Describe(kind.Of[*policyv1.PodDisruptionBudget]{
		Singular:      "poddisruptionbudget",
		ShortNames:    []string{"pdb"},
		New:           func() *policyv1.PodDisruptionBudget { return &policyv1.PodDisruptionBudget{} },
		NewList:       func() runtime.Object { return &policyv1.PodDisruptionBudgetList{} },
		PrepareCreate: prepareCreate,
		PrepareUpdate: prepareUpdate,
		Validate:      validateBudget,
		Warnings:      warnBudget,
		Columns:       budgetColumns(),
		Subresources: []resource.Subresource{
			kind.StatusOf(func(b, old *policyv1.PodDisruptionBudget) { b.Spec = old.Spec }, validateBudgetStatus),
		},
	})
}

func budgetColumns() []kind.Column[*policyv1.PodDisruptionBudget] {
	type budget = *policyv1.PodDisruptionBudget
	amount := func(v *intstr.IntOrString) string {
		if v == nil {
			return "N/A"
		}
		return v.String()
	}
	return []kind.Column[budget]{
		kind.NameColumn[budget](),
		kind.TextColumn("Min Available", "How many pods must stay available.", func(b budget) string { return amount(b.Spec.MinAvailable) }),
		kind.TextColumn("Max Unavailable", "How many pods may be unavailable.", func(b budget) string { return amount(b.Spec.MaxUnavailable) }),
		kind.CountColumn("Allowed Disruptions", "How many pods may be evicted now.", func(b budget) int64 { return int64(b.Status.DisruptionsAllowed) }),
		kind.AgeColumn[budget](),
	}
}

func prepareCreate(b *policyv1.PodDisruptionBudget) {
	b.Status = policyv1.PodDisruptionBudgetStatus{}
	b.Generation = 1
}

func prepareUpdate(b, old *policyv1.PodDisruptionBudget) {
	b.Status = old.Status
	b.Generation = old.Generation
	if !equality.Semantic.DeepEqual(b.Spec, old.Spec) {
		b.Generation++
	}
}

func validateBudget(b *policyv1.PodDisruptionBudget) field.ErrorList {
	var errs field.ErrorList
	spec, path := &b.Spec, field.NewPath("spec")
	if spec.MinAvailable != nil && spec.MaxUnavailable != nil {
		errs = append(errs, field.Invalid(path, *spec, "minAvailable and maxUnavailable cannot be both set"))
	}
	errs = append(errs, validateShare(spec.MinAvailable, path.Child("minAvailable"))...)
	errs = append(errs, validateShare(spec.MaxUnavailable, path.Child("maxUnavailable"))...)
	if p := spec.UnhealthyPodEvictionPolicy; p != nil {
		errs = append(errs, kind.OneOf(*p, path.Child("unhealthyPodEvictionPolicy"), policyv1.IfHealthyBudget, policyv1.AlwaysAllow)...)
	}
	return append(errs, metavalidation.ValidateLabelSelector(spec.Selector, metavalidation.LabelSelectorValidationOptions{}, path.Child("selector"))...)
}

// validateShare checks a number of pods, or a part of them of at most 100 %.
func validateShare(v *intstr.IntOrString, path *field.Path) field.ErrorList {
	if v == nil {
		return nil
	}
	errs := kind.ValidateIntOrPercent(*v, path)
	if len(errs) == 0 && v.Type == intstr.String && kind.AmountOf(*v) > 100 {
		errs = append(errs, field.Invalid(path, v.String(), "must not be greater than 100%"))
	}
	return errs
}

func validateBudgetStatus(b, _ *policyv1.PodDisruptionBudget) field.ErrorList {
	path, s := field.NewPath("status"), &b.Status
	errs := metavalidation.ValidateConditions(s.Conditions, path.Child("conditions"))
	for _, c := range []struct {
		name  string
		value int32
	}{
		{"disruptionsAllowed", s.DisruptionsAllowed}, {"currentHealthy", s.CurrentHealthy},
		{"desiredHealthy", s.DesiredHealthy}, {"expectedPods", s.ExpectedPods},
	} {
		errs = append(errs, kind.NotNegative(c.value, path.Child(c.name))...)
	}
	return errs
}

// warnBudget says what a selector without terms means: unlike nearly everywhere else, all pods.
func warnBudget(b, old *policyv1.PodDisruptionBudget, isUpdate bool) []string {
	s := b.Spec.Selector
	if s == nil || len(s.MatchLabels)+len(s.MatchExpressions) > 0 || isUpdate && equality.Semantic.DeepEqual(old.Spec.Selector, s) {
		return nil
	}
	return []string{"spec.selector: an empty selector selects every pod of the namespace"}
}
