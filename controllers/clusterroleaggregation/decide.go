package clusterroleaggregation

import (
	"cmp"
	"fmt"
	"slices"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// Plan is the rules that a role is to have; nil: it has them.
type Plan struct {
	Rules []rbacv1.PolicyRule
	from  int
}

// String prints the plan.
func (p Plan) String() string {
	if p.Rules == nil {
		return "nothing"
	}
	return fmt.Sprintf("%d rules of %d roles", len(p.Rules), p.from)
}

// decide joins the rules of all other roles that the role selects, in the order of their names, each once.
func decide(role *rbacv1.ClusterRole, all []*rbacv1.ClusterRole) Plan {
	if role.AggregationRule == nil || role.DeletionTimestamp != nil {
		return Plan{}
	}
	plan := Plan{Rules: []rbacv1.PolicyRule{}}
	all = slices.SortedFunc(slices.Values(all), func(a, b *rbacv1.ClusterRole) int { return cmp.Compare(a.Name, b.Name) })
	for _, one := range all {
		if one.Name == role.Name || !selects(role.AggregationRule, one) {
			continue
		}
		plan.from++
		for _, rule := range one.Rules {
			if !slices.ContainsFunc(plan.Rules, func(r rbacv1.PolicyRule) bool { return equality.Semantic.DeepEqual(r, rule) }) {
				plan.Rules = append(plan.Rules, rule)
			}
		}
	}
	if equality.Semantic.DeepEqual(plan.Rules, role.Rules) {
		return Plan{}
	}
	return plan
}

// selects tells whether one of the selectors matches. One that cannot be read matches nothing.
func selects(rule *rbacv1.AggregationRule, role *rbacv1.ClusterRole) bool {
	return slices.ContainsFunc(rule.ClusterRoleSelectors, func(s metav1.LabelSelector) bool {
		selector, err := metav1.LabelSelectorAsSelector(&s)
		return err == nil && selector.Matches(labels.Set(role.Labels))
	})
}
