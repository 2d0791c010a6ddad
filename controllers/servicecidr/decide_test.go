package servicecidr

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

var now = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)

// cidr is a range, and what has been done about it: "f" it has the finalizer, "r" it is ready, "t" it is known
// to be on its way out, "d" it has been deleted a second ago, "D" an hour ago.
func cidr(name, of, done string) *networkingv1.ServiceCIDR {
	c := &networkingv1.ServiceCIDR{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: networkingv1.ServiceCIDRSpec{CIDRs: []string{of}}}
	for _, what := range done {
		switch what {
		case 'f':
			c.Finalizers = append(c.Finalizers, Finalizer)
		case 'r':
			c.Status.Conditions = []metav1.Condition{*ready(metav1.ConditionTrue, "", "", now)}
		case 't':
			c.Status.Conditions = []metav1.Condition{*ready(metav1.ConditionFalse, networkingv1.ServiceCIDRReasonTerminating, "", now)}
		case 'd', 'D':
			at := metav1.NewTime(now.Add(-time.Second))
			if what == 'D' {
				at = metav1.NewTime(now.Add(-time.Hour))
			}
			c.DeletionTimestamp = &at
		}
	}
	return c
}

func TestDecide(t *testing.T) {
	for _, c := range []struct {
		name, reason string
		have         *networkingv1.ServiceCIDR
		other        *networkingv1.ServiceCIDR
		inUse        []string
		want         string
	}{
		{"new", "it is protected before it is used", cidr("a", "10.1.0.0/16", ""), nil, nil, "finalizers [networking.k8s.io/service-cidr-finalizer], Ready=True Ready"},
		{"settled", "nothing changes", cidr("a", "10.1.0.0/16", "fr"), nil, []string{"10.1.0.5"}, "nothing"},
		{"deleted", "first everybody must hear of it", cidr("a", "10.1.0.0/16", "frd"), nil, nil, "Ready=False Terminating, wait 10s"},
		{"in use", "a service has an address of it", cidr("a", "10.1.0.0/16", "ftD"), nil, []string{"10.2.0.1", "10.1.0.5"}, "nothing"},
		{"too early", "a server may not have heard", cidr("a", "10.1.0.0/16", "ftd"), nil, []string{"10.2.0.1"}, "wait 9s"},
		{"free", "nobody has an address of it", cidr("a", "10.1.0.0/16", "ftD"), nil, []string{"10.2.0.1"}, "finalizers []"},
		{"covered", "another range has the address too", cidr("a", "10.1.0.0/16", "ftD"), cidr("b", "10.1.0.0/24", "fr"), []string{"10.1.0.5"}, "finalizers []"},
		{"covered by one that goes", "it will not for long", cidr("a", "10.1.0.0/16", "ftD"), cidr("b", "10.1.0.0/24", "ftD"), []string{"10.1.0.5"}, "nothing"},
		{"half covered", "the rest needs it", cidr("a", "10.1.0.0/16", "ftD"), cidr("b", "10.1.0.0/24", "fr"), []string{"10.1.0.5", "10.1.9.5"}, "nothing"},
		{"others' finalizers", "they are others' to take off", cidr("a", "10.1.0.0/16", "tD"), nil, nil, "nothing"},
	} {
		t.Run(c.name, func(t *testing.T) {
			all := []*networkingv1.ServiceCIDR{c.have}
			if c.other != nil {
				all = append(all, c.other)
			}
			var ips []netip.Addr
			for _, text := range c.inUse {
				ips = append(ips, netip.MustParseAddr(text))
			}
			if got := decide(c.have, all, slices.Values(ips), now).String(); got != c.want {
				t.Errorf("%s: %q, want %q", c.reason, got, c.want)
			}
		})
	}
}
