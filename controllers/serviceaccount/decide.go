package serviceaccount

import corev1 "k8s.io/api/core/v1"

// Plan is what is to be done in one namespace.
type Plan string

const (
	nothing Plan = "nothing"
	create  Plan = "create default"
)

// String prints the plan.
func (p Plan) String() string { return string(p) }

// decide wants the account wherever the namespace lives.
func decide(ns *corev1.Namespace, have bool) Plan {
	if ns == nil || ns.DeletionTimestamp != nil || ns.Status.Phase == corev1.NamespaceTerminating || have {
		return nothing
	}
	return create
}
