package rootca

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	// Name is the ConfigMap's name in every namespace.
	Name = "kube-root-ca.crt"
	key  = "ca.crt"

	describedBy = "kubernetes.io/description"
	description = "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints " +
		"such as the internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes clusters."
)

// Plan is what is to be done in one namespace: at most one field is set.
type Plan struct {
	Create, Update *corev1.ConfigMap
}

// String prints the plan.
func (p Plan) String() string {
	switch {
	case p.Create != nil:
		return "publish"
	case p.Update != nil:
		return "restore"
	}
	return "nothing"
}

// decide wants the bundle, and nothing else, in every live namespace.
func decide(ns *corev1.Namespace, have *corev1.ConfigMap, bundle string) Plan {
	if ns == nil || ns.DeletionTimestamp != nil || ns.Status.Phase == corev1.NamespaceTerminating {
		return Plan{}
	}
	data := map[string]string{key: bundle}
	switch {
	case have == nil:
		return Plan{Create: &corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{Namespace: ns.Name, Name: Name, Annotations: map[string]string{describedBy: description}},
			Data:       data,
		}}
	case len(have.Data) == 1 && have.Data[key] == bundle && len(have.BinaryData) == 0:
		return Plan{}
	}
	changed := have.DeepCopy()
	changed.Data, changed.BinaryData = data, nil
	return Plan{Update: changed}
}
