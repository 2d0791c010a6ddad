package servicecidr

import (
	"fmt"
	"iter"
	"net/netip"
	"slices"
	"strings"
	"time"

	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Finalizer keeps a range while addresses of it are in use.
const Finalizer = "networking.k8s.io/service-cidr-finalizer"

// grace is how long a range has been on its way out before it goes: every API server must have
// heard of it, or one could still give out an address.
const grace = 10 * time.Second

// Plan is what is to be done about one range.
type Plan struct {
	Finalizers *[]string         // nil: they are right
	Condition  *metav1.Condition // nil: it is right
	Wait       time.Duration     // look again then; 0: when something changes
}

func (p Plan) any() bool { return p.Finalizers != nil || p.Condition != nil || p.Wait > 0 }

// lets tells whether the plan lets the range go.
func (p Plan) lets(have *networkingv1.ServiceCIDR) bool {
	return p.Finalizers != nil && len(*p.Finalizers) < len(have.Finalizers)
}

// String prints the plan.
func (p Plan) String() string {
	var parts []string
	if p.Finalizers != nil {
		parts = append(parts, fmt.Sprintf("finalizers %v", *p.Finalizers))
	}
	if p.Condition != nil {
		parts = append(parts, fmt.Sprintf("%s=%s %s", p.Condition.Type, p.Condition.Status, p.Condition.Reason))
	}
	if p.Wait > 0 {
		parts = append(parts, "wait "+p.Wait.String())
	}
	if len(parts) == 0 {
		return "nothing"
	}
	return strings.Join(parts, ", ")
}

func (p Plan) conditions(have *networkingv1.ServiceCIDR) []metav1.Condition {
	all := slices.Clone(have.Status.Conditions)
	meta.SetStatusCondition(&all, *p.Condition)
	return all
}

// decide wants a live range to be protected and ready, and one that is being deleted to go when
// no address in use is covered by it alone.
func decide(have *networkingv1.ServiceCIDR, all []*networkingv1.ServiceCIDR, inUse iter.Seq[netip.Addr], now time.Time) Plan {
	if have.DeletionTimestamp == nil {
		var p Plan
		if !slices.Contains(have.Finalizers, Finalizer) {
			with := append(slices.Clone(have.Finalizers), Finalizer)
			p.Finalizers = &with
		}
		if !meta.IsStatusConditionTrue(have.Status.Conditions, networkingv1.ServiceCIDRConditionReady) {
			p.Condition = ready(metav1.ConditionTrue, "", "Kubernetes Service CIDR is ready", now)
		}
		return p
	}
	if !slices.Contains(have.Finalizers, Finalizer) {
		return Plan{} // others hold it
	}
	if is := meta.FindStatusCondition(have.Status.Conditions, networkingv1.ServiceCIDRConditionReady); is == nil || is.Reason != networkingv1.ServiceCIDRReasonTerminating {
		return Plan{Wait: grace, Condition: ready(metav1.ConditionFalse, networkingv1.ServiceCIDRReasonTerminating,
			"There are still IPAddresses referencing the ServiceCIDR, please remove them or create a new ServiceCIDR", now)}
	}
	if needed(have, all, inUse) {
		return Plan{}
	}
	if left := grace - now.Sub(have.DeletionTimestamp.Time); left > 0 {
		return Plan{Wait: left}
	}
	without := slices.DeleteFunc(slices.Clone(have.Finalizers), func(f string) bool { return f == Finalizer })
	return Plan{Finalizers: &without}
}

func ready(status metav1.ConditionStatus, reason, message string, now time.Time) *metav1.Condition {
	if reason == "" {
		reason = "Ready"
	}
	return &metav1.Condition{
		Type: networkingv1.ServiceCIDRConditionReady, Status: status, Reason: reason, Message: message, LastTransitionTime: metav1.NewTime(now),
	}
}

// needed tells whether an address in use is in this range and in no other that stays.
func needed(have *networkingv1.ServiceCIDR, all []*networkingv1.ServiceCIDR, inUse iter.Seq[netip.Addr]) bool {
	own := prefixes(have)
	var others []netip.Prefix
	for _, s := range all {
		if s.Name != have.Name && s.DeletionTimestamp == nil {
			others = append(others, prefixes(s)...)
		}
	}
	for ip := range inUse {
		if covers(own, ip) && !covers(others, ip) {
			return true
		}
	}
	return false
}

func prefixes(s *networkingv1.ServiceCIDR) []netip.Prefix {
	var all []netip.Prefix
	for _, text := range s.Spec.CIDRs {
		if p, err := netip.ParsePrefix(text); err == nil {
			all = append(all, p)
		}
	}
	return all
}

func covers(all []netip.Prefix, ip netip.Addr) bool {
	return slices.ContainsFunc(all, func(p netip.Prefix) bool { return p.Contains(ip) })
}
