package networking

import (
	"fmt"
	"strings"
	"time"

	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/miniorch/miniorch/apiserver/registry/kind"
	"github.com/miniorch/miniorch/apiserver/resource"
)

// classAnnotation is how an Ingress named its class before the field was there.
const classAnnotation = "kubernetes.io/ingress.class"

func ingresses() resource.Descriptor {
	return kind.Describe(kind.Of[*networkingv1.Ingress]{
		Singular:   "ingress",
		ShortNames: []string{"ing"},
		New:        func() *networkingv1.Ingress { return &networkingv1.Ingress{} },
		NewList:    func() runtime.Object { return &networkingv1.IngressList{} },
		PrepareCreate: func(i *networkingv1.Ingress) {
			i.Status = networkingv1.IngressStatus{}
			i.Generation = 1
		},
		PrepareUpdate: func(i, old *networkingv1.Ingress) {
			i.Status = old.Status
			if !equality.Semantic.DeepEqual(i.Spec, old.Spec) {
				i.Generation = old.Generation + 1
			}
		},
		Validate:            validateIngress,
		Warnings:            warnIngress,
		UnconditionalUpdate: true,
		Columns:             ingressColumns(),
		Subresources: []resource.Subresource{
			kind.StatusOf(func(i, old *networkingv1.Ingress) { i.Spec = old.Spec }, validateIngressStatus),
		},
	})
}

func ingressColumns() []kind.Column[*networkingv1.Ingress] {
	type ingress = *networkingv1.Ingress
	return []kind.Column[ingress]{
		kind.NameColumn[ingress](),
		kind.TextColumn("Class", "The class whose controller serves it.", func(i ingress) string {
			if i.Spec.IngressClassName == nil {
				return kind.None
			}
			return *i.Spec.IngressClassName
		}),
		kind.TextColumn("Hosts", "The hosts that its rules are for.", printHosts),
		kind.TextColumn("Address", "Where it is reached.", printIngressAddress),
		kind.TextColumn("Ports", "The ports on which it is reached.", func(i ingress) string {
			if len(i.Spec.TLS) > 0 {
				return "80, 443"
			}
			return "80"
		}),
		kind.AgeColumn[ingress](),
	}
}

func printHosts(i *networkingv1.Ingress) string {
	var hosts []string
	for _, r := range i.Spec.Rules {
		if r.Host == "" {
			r.Host = "*"
		}
		hosts = append(hosts, r.Host)
	}
	if len(hosts) == 0 {
		return "*"
	}
	return kind.FirstFew(hosts)
}

func printIngressAddress(i *networkingv1.Ingress) string {
	var all []string
	for _, in := range i.Status.LoadBalancer.Ingress {
		switch {
		case in.IP != "":
			all = append(all, in.IP)
		case in.Hostname != "":
			all = append(all, in.Hostname)
		}
	}
	return strings.Join(all, ",")
}

// warnIngress says what nobody acts upon any more.
func warnIngress(i, _ *networkingv1.Ingress, isUpdate bool) []string {
	if _, old := i.Annotations[classAnnotation]; old && !isUpdate {
		return []string{fmt.Sprintf("annotation %q is deprecated, please use 'spec.ingressClassName' instead", classAnnotation)}
	}
	return nil
}

func ingressClasses() resource.Descriptor {
	type class = *networkingv1.IngressClass
	return kind.Describe(kind.Of[class]{
		Singular:      "ingressclass",
		New:           func() class { return &networkingv1.IngressClass{} },
		NewList:       func() runtime.Object { return &networkingv1.IngressClassList{} },
		Defaults:      defaultIngressClass,
		PrepareCreate: func(c class) { c.Generation = 1 },
		PrepareUpdate: func(c, old class) {
			if !equality.Semantic.DeepEqual(c.Spec, old.Spec) {
				c.Generation = old.Generation + 1
			}
		},
		Validate:            validateIngressClass,
		ValidateUpdate:      validateIngressClassUpdate,
		UnconditionalUpdate: true,
		Columns: []kind.Column[class]{
			kind.NameColumn[class](),
			kind.TextColumn("Controller", "Who serves the Ingresses of this class.", func(c class) string { return c.Spec.Controller }),
			{Name: "Parameters", Type: "string", Description: "What configures the controller for this class.",
				Value: func(c class, _ time.Time) any { return printParameters(c.Spec.Parameters) }},
			kind.AgeColumn[class](),
		},
	})
}

func printParameters(p *networkingv1.IngressClassParametersReference) string {
	if p == nil {
		return kind.None
	}
	if p.APIGroup == nil {
		return p.Kind + "/" + p.Name
	}
	return p.Kind + "." + *p.APIGroup + "/" + p.Name
}

func defaultIngressClass(c *networkingv1.IngressClass) {
	if p := c.Spec.Parameters; p != nil {
		kind.SetDefault(&p.Scope, networkingv1.IngressClassParametersReferenceScopeCluster)
	}
}
