package networking

import (
	"net/netip"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
	utilvalidation "k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/miniorch/miniorch/apiserver/registry/kind"
	"github.com/miniorch/miniorch/apiserver/resource"
)

func networkPolicies() resource.Descriptor {
	type policy = *networkingv1.NetworkPolicy
	return kind.Describe(kind.Of[policy]{
		Singular:      "networkpolicy",
		ShortNames:    []string{"netpol"},
		New:           func() policy { return &networkingv1.NetworkPolicy{} },
		NewList:       func() runtime.Object { return &networkingv1.NetworkPolicyList{} },
		Defaults:      defaultNetworkPolicy,
		PrepareCreate: func(p policy) { p.Generation = 1 },
		PrepareUpdate: func(p, old policy) {
			if !equality.Semantic.DeepEqual(p.Spec, old.Spec) {
				p.Generation = old.Generation + 1
			}
		},
		Validate: validateNetworkPolicy,
		Warnings: func(_, _ policy, isUpdate bool) []string {
			if isUpdate {
				return nil
			}
			return []string{"network policies are stored and not enforced by this cluster: all traffic goes through"}
		},
		UnconditionalUpdate: true,
		Columns: []kind.Column[policy]{
			kind.NameColumn[policy](),
			kind.TextColumn("Pod-Selector", "Which pods it is about.", func(p policy) string { return metav1.FormatLabelSelector(&p.Spec.PodSelector) }),
			kind.AgeColumn[policy](),
		},
	})
}

// defaultNetworkPolicy says which directions a policy is about: always what comes in, and
// what goes out if it has rules for that.
func defaultNetworkPolicy(p *networkingv1.NetworkPolicy) {
	for i := range p.Spec.Ingress {
		defaultPolicyPorts(p.Spec.Ingress[i].Ports)
	}
	for i := range p.Spec.Egress {
		defaultPolicyPorts(p.Spec.Egress[i].Ports)
	}
	if len(p.Spec.PolicyTypes) == 0 {
		p.Spec.PolicyTypes = []networkingv1.PolicyType{networkingv1.PolicyTypeIngress}
		if len(p.Spec.Egress) > 0 {
			p.Spec.PolicyTypes = append(p.Spec.PolicyTypes, networkingv1.PolicyTypeEgress)
		}
	}
}

func defaultPolicyPorts(ports []networkingv1.NetworkPolicyPort) {
	for i := range ports {
		kind.SetDefault(&ports[i].Protocol, corev1.ProtocolTCP)
	}
}

func validateNetworkPolicy(p *networkingv1.NetworkPolicy) field.ErrorList {
	path := field.NewPath("spec")
	errs := validatePolicySelector(&p.Spec.PodSelector, path.Child("podSelector"))
	for i, r := range p.Spec.Ingress {
		at := path.Child("ingress").Index(i)
		errs = append(errs, validatePolicyPorts(r.Ports, at.Child("ports"))...)
		errs = append(errs, validatePeers(r.From, at.Child("from"))...)
	}
	for i, r := range p.Spec.Egress {
		at := path.Child("egress").Index(i)
		errs = append(errs, validatePolicyPorts(r.Ports, at.Child("ports"))...)
		errs = append(errs, validatePeers(r.To, at.Child("to"))...)
	}
	at := path.Child("policyTypes")
	if len(p.Spec.PolicyTypes) > 2 {
		return append(errs, field.Invalid(at, p.Spec.PolicyTypes, "may not specify more than two policyTypes"))
	}
	for i, t := range p.Spec.PolicyTypes {
		errs = append(errs, kind.OneOf(t, at.Index(i), networkingv1.PolicyTypeEgress, networkingv1.PolicyTypeIngress)...)
	}
	return errs
}

func validatePolicySelector(s *metav1.LabelSelector, path *field.Path) field.ErrorList {
	return metavalidation.ValidateLabelSelector(s, metavalidation.LabelSelectorValidationOptions{}, path)
}

func validatePolicyPorts(ports []networkingv1.NetworkPolicyPort, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i, p := range ports {
		at := path.Index(i)
		if p.Protocol != nil {
			errs = append(errs, kind.OneOf(*p.Protocol, at.Child("protocol"), corev1.ProtocolSCTP, corev1.ProtocolTCP, corev1.ProtocolUDP)...)
		}
		if p.Port != nil {
			errs = append(errs, kind.ValidatePortOrName(*p.Port, at.Child("port"))...)
		}
		if p.EndPort != nil {
			errs = append(errs, validateEndPort(*p.EndPort, p.Port, at.Child("endPort"))...)
		}
	}
	return errs
}

func validateEndPort(end int32, port *intstr.IntOrString, path *field.Path) field.ErrorList {
	switch {
	case port == nil:
		return field.ErrorList{field.Required(path, "may not be specified when `port` is not specified")}
	case port.Type == intstr.String:
		return field.ErrorList{field.Invalid(path, end, "may not be specified when `port` is non-numeric")}
	case end < port.IntVal:
		return field.ErrorList{field.Invalid(path, end, "must be greater than or equal to `port`")}
	}
	return kind.ValidPort(end, path)
}

func validatePeers(peers []networkingv1.NetworkPolicyPeer, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i, p := range peers {
		at := path.Index(i)
		if p.PodSelector != nil {
			errs = append(errs, validatePolicySelector(p.PodSelector, at.Child("podSelector"))...)
		}
		if p.NamespaceSelector != nil {
			errs = append(errs, validatePolicySelector(p.NamespaceSelector, at.Child("namespaceSelector"))...)
		}
		switch selects := p.PodSelector != nil || p.NamespaceSelector != nil; {
		case p.IPBlock != nil && selects:
			errs = append(errs, field.Forbidden(at, "may not specify both ipBlock and another peer"))
		case p.IPBlock != nil:
			errs = append(errs, validateIPBlock(p.IPBlock, at.Child("ipBlock"))...)
		case !selects:
			errs = append(errs, field.Required(at, "must specify a peer"))
		}
	}
	return errs
}

func validateIPBlock(b *networkingv1.IPBlock, path *field.Path) field.ErrorList {
	at := path.Child("cidr")
	if b.CIDR == "" {
		return field.ErrorList{field.Required(at, "")}
	}
	errs := utilvalidation.IsValidCIDRForLegacyField(at, b.CIDR, false, nil)
	outer, err := netip.ParsePrefix(b.CIDR)
	if err != nil {
		return errs
	}
	for i, text := range b.Except {
		at := path.Child("except").Index(i)
		errs = append(errs, utilvalidation.IsValidCIDRForLegacyField(at, text, false, nil)...)
		inner, err := netip.ParsePrefix(text)
		if err == nil && (inner.Bits() <= outer.Bits() || !outer.Contains(inner.Addr())) {
			errs = append(errs, field.Invalid(at, text, "must be a strict subset of `cidr`"))
		}
	}
	return errs
}
