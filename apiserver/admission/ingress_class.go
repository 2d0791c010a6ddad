package admission

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	networkingv1 "k8s.io/api/networking/v1"
)

var ingressClasses = networkingv1.SchemeGroupVersion.WithResource("ingressclasses")

// ingressClassAnnotation is how an Ingress named its class before there was a field.
const ingressClassAnnotation = "kubernetes.io/ingress.class"

// DefaultIngressClass gives an Ingress that names no class the default one. If several are
// marked so, the newest counts.
type DefaultIngressClass struct{ Read Reader }

// Name implements Plugin.
func (DefaultIngressClass) Name() string { return "DefaultIngressClass" }

// Admit implements Mutator.
func (p DefaultIngressClass) Admit(ctx context.Context, r *Request) error {
	ingress, ok := r.Object.(*networkingv1.Ingress)
	if !ok || r.Operation != Create || r.Subresource != "" || ingress.Spec.IngressClassName != nil {
		return nil
	}
	if _, named := ingress.Annotations[ingressClassAnnotation]; named {
		return nil
	}
	all, err := p.Read.List(ctx, ingressClasses, "")
	if err != nil {
		return fmt.Errorf("listing ingress classes: %w", err)
	}
	var defaults []*networkingv1.IngressClass
	for _, obj := range all {
		if c := obj.(*networkingv1.IngressClass); c.Annotations[networkingv1.AnnotationIsDefaultIngressClass] == "true" {
			defaults = append(defaults, c)
		}
	}
	if len(defaults) == 0 {
		return nil
	}
	newest := slices.MinFunc(defaults, func(a, b *networkingv1.IngressClass) int {
		return cmp.Or(b.CreationTimestamp.Compare(a.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name))
	})
	ingress.Spec.IngressClassName = &newest.Name
	return nil
}
