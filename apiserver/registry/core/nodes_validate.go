package core

import (
	"net/netip"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	utilvalidation "k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/miniorch/miniorch/apiserver/alike"
	"github.com/miniorch/miniorch/apiserver/registry/kind"
	"github.com/miniorch/miniorch/apiserver/registry/podspec"
)

// defaultNode lets pods have all that the node has, unless it says less, and keeps the
// old podCIDR and the first of the list the same.
func defaultNode(n *corev1.Node) {
	kind.TidyQuantities(n.Status.Capacity, n.Status.Allocatable)
	if n.Status.Allocatable == nil && n.Status.Capacity != nil {
		n.Status.Allocatable = n.Status.Capacity.DeepCopy()
	}
	switch {
	case n.Spec.PodCIDR != "" && len(n.Spec.PodCIDRs) == 0:
		n.Spec.PodCIDRs = []string{n.Spec.PodCIDR}
	case n.Spec.PodCIDR == "" && len(n.Spec.PodCIDRs) > 0:
		n.Spec.PodCIDR = n.Spec.PodCIDRs[0]
	}
}

func validateNode(n *corev1.Node) field.ErrorList {
	errs := validateTaints(n.Spec.Taints, field.NewPath("spec", "taints"))
	errs = append(errs, validatePodCIDRs(&n.Spec, field.NewPath("spec"))...)
	return append(errs, validateNodeStatus(&n.Status, field.NewPath("status"))...)
}

func validateTaints(taints []corev1.Taint, path *field.Path) field.ErrorList {
	type key struct {
		key    string
		effect corev1.TaintEffect
	}
	var errs field.ErrorList
	seen := map[key]bool{}
	for i, t := range taints {
		at := path.Index(i)
		errs = append(errs, metavalidation.ValidateLabelName(t.Key, at.Child("key"))...)
		errs = append(errs, kind.Invalids(at.Child("value"), t.Value, utilvalidation.IsValidLabelValue(t.Value))...)
		errs = append(errs, kind.RequiredOneOf(t.Effect, at.Child("effect"),
			corev1.TaintEffectNoSchedule, corev1.TaintEffectPreferNoSchedule, corev1.TaintEffectNoExecute)...)
		if seen[key{t.Key, t.Effect}] {
			twice := field.Duplicate(at, t)
			twice.Detail = "taints must be unique by key and effect pair"
			errs = append(errs, twice)
		}
		seen[key{t.Key, t.Effect}] = true
	}
	return errs
}

func validatePodCIDRs(spec *corev1.NodeSpec, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	at := path.Child("podCIDRs")
	if len(spec.PodCIDRs) > 0 && spec.PodCIDR != spec.PodCIDRs[0] {
		errs = append(errs, field.Invalid(at.Index(0), spec.PodCIDRs[0], "must match `podCIDR`"))
	}
	for i, cidr := range spec.PodCIDRs {
		errs = append(errs, utilvalidation.IsValidCIDRForLegacyField(at.Index(i), cidr, false, nil)...)
	}
	if len(spec.PodCIDRs) > 1 && len(errs) == 0 {
		a, errA := netip.ParsePrefix(spec.PodCIDRs[0])
		b, errB := netip.ParsePrefix(spec.PodCIDRs[1])
		if len(spec.PodCIDRs) > 2 || errA != nil || errB != nil || a.Addr().Is4() == b.Addr().Is4() {
			errs = append(errs, field.Invalid(at, spec.PodCIDRs, "may specify no more than one CIDR for each IP family"))
		}
	}
	return errs
}

func validateNodeStatus(s *corev1.NodeStatus, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	for _, l := range []struct {
		name string
		list corev1.ResourceList
	}{{"capacity", s.Capacity}, {"allocatable", s.Allocatable}} {
		for _, name := range kind.SortedNames(l.list) {
			at := path.Child(l.name).Key(string(name))
			errs = append(errs, kind.Invalids(at, name, utilvalidation.IsQualifiedName(string(name)))...)
			errs = append(errs, podspec.ValidateQuantity(name, l.list[name], at)...)
		}
	}
	seen := map[corev1.NodeAddress]bool{}
	for i, a := range s.Addresses {
		if seen[a] {
			errs = append(errs, field.Duplicate(path.Child("addresses").Index(i), a))
		}
		seen[a] = true
	}
	return errs
}

// validateNodeUpdate keeps what routes and volumes depend on: addresses of pods and the
// provider's name are given once.
func validateNodeUpdate(n, old *corev1.Node) field.ErrorList {
	var errs field.ErrorList
	path := field.NewPath("spec")
	if len(old.Spec.PodCIDRs) > 0 && !equality.Semantic.DeepEqual(n.Spec.PodCIDRs, old.Spec.PodCIDRs) {
		errs = append(errs, field.Forbidden(path.Child("podCIDRs"), "node updates may not change podCIDR except from \"\" to valid"))
	}
	if old.Spec.ProviderID != "" && n.Spec.ProviderID != old.Spec.ProviderID {
		errs = append(errs, field.Forbidden(path.Child("providerID"), "node updates may not change providerID except from \"\" to valid"))
	}
	rest := n.Spec.DeepCopy()
	rest.PodCIDR, rest.PodCIDRs, rest.ProviderID = old.Spec.PodCIDR, old.Spec.PodCIDRs, old.Spec.ProviderID
	rest.Taints, rest.Unschedulable = old.Spec.Taints, old.Spec.Unschedulable
	if !alike.Equal(rest, &old.Spec) {
		errs = append(errs, field.Forbidden(path, "node updates may only change labels, taints, or capacity"))
	}
	return errs
}

func validateNodeStatusUpdate(n, _ *corev1.Node) field.ErrorList {
	return validateNodeStatus(&n.Status, field.NewPath("status"))
}

// warnNode names what no agent here acts upon.
func warnNode(n, _ *corev1.Node, _ bool) []string {
	//lint:ignore SA1019 a removed field is still a field that clients can send.
	if n.Spec.ConfigSource == nil {
		return nil
	}
	return []string{kind.Unserved(field.NewPath("spec", "configSource"), "the agent takes its configuration from its own flags")}
}
