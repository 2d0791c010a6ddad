package dns

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func ptr[T any](v T) *T { return &v }

// world is a Source made of plain lists.
type world struct {
	services []*corev1.Service
	slices   []*discoveryv1.EndpointSlice
}

func (w world) Service(ns, name string) (*corev1.Service, bool) {
	for _, s := range w.services {
		if s.Namespace == ns && s.Name == name {
			return s, true
		}
	}
	return nil, false
}

func (w world) Slices(ns, service string) (found []*discoveryv1.EndpointSlice) {
	for _, s := range w.slices {
		if s.Namespace == ns && s.Labels[discoveryv1.LabelServiceName] == service {
			found = append(found, s)
		}
	}
	return found
}

func (w world) HasNamespace(ns string) bool {
	return slices.ContainsFunc(w.services, func(s *corev1.Service) bool { return s.Namespace == ns })
}

func (w world) ServiceByIP(ip string) (*corev1.Service, bool) {
	for _, s := range w.services {
		if s.Spec.ClusterIP == ip {
			return s, true
		}
	}
	return nil, false
}

func (w world) SlicesByIP(ip string) (found []*discoveryv1.EndpointSlice) {
	for _, s := range w.slices {
		if slices.ContainsFunc(s.Endpoints, func(e discoveryv1.Endpoint) bool { return slices.Contains(e.Addresses, ip) }) {
			found = append(found, s)
		}
	}
	return found
}

func testWorld() world {
	service := func(ns, name string, spec corev1.ServiceSpec) *corev1.Service {
		return &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name}, Spec: spec}
	}
	http := []corev1.ServicePort{{Name: "http", Port: 80, Protocol: corev1.ProtocolTCP}, {Name: "dns", Port: 53, Protocol: corev1.ProtocolUDP}}
	return world{
		services: []*corev1.Service{
			service("default", "web", corev1.ServiceSpec{ClusterIP: "10.96.0.20", Ports: http}),
			service("default", "db", corev1.ServiceSpec{ClusterIP: corev1.ClusterIPNone, Ports: http}),
			service("default", "empty", corev1.ServiceSpec{ClusterIP: corev1.ClusterIPNone, Ports: http}),
			service("default", "away", corev1.ServiceSpec{Type: corev1.ServiceTypeExternalName, ExternalName: "example.org"}),
			service("default", "further", corev1.ServiceSpec{Type: corev1.ServiceTypeExternalName, ExternalName: "away.default.svc.cluster.local"}),
			service("default", "loop", corev1.ServiceSpec{Type: corev1.ServiceTypeExternalName, ExternalName: "loop.default.svc.cluster.local"}),
		},
		slices: []*discoveryv1.EndpointSlice{{
			ObjectMeta:  metav1.ObjectMeta{Namespace: "default", Name: "db-1", Labels: map[string]string{discoveryv1.LabelServiceName: "db"}},
			AddressType: discoveryv1.AddressTypeIPv4,
			Ports:       []discoveryv1.EndpointPort{{Name: ptr("http"), Port: ptr(int32(8080)), Protocol: ptr(corev1.ProtocolTCP)}},
			Endpoints: []discoveryv1.Endpoint{
				{Addresses: []string{"10.244.0.5"}, Hostname: ptr("db-0"), Conditions: discoveryv1.EndpointConditions{Ready: ptr(true)}},
				{Addresses: []string{"10.244.0.6"}, Conditions: discoveryv1.EndpointConditions{Ready: ptr(true)}},
				{Addresses: []string{"10.244.0.7"}, Hostname: ptr("db-2"), Conditions: discoveryv1.EndpointConditions{Ready: ptr(false)}},
			},
		}},
	}
}

func TestZone(t *testing.T) {
	z := zone{domain: "cluster.local.", source: testWorld(), pods: netip.MustParsePrefix("10.244.0.0/16")}
	const svc = ".default.svc.cluster.local."
	cases := []struct {
		reason, name, qtype string
		want                []string // zone lines; "NXDOMAIN" alone if there is no such name
	}{
		{"a Service is its ClusterIP", "web" + svc, "A", []string{"web" + svc + "\t5\tIN\tA\t10.96.0.20"}},
		{"no IPv6 here: the name exists, without such a record", "web" + svc, "AAAA", nil},
		{"a headless Service is its ready endpoints", "db" + svc, "A", []string{"db" + svc + "\t5\tIN\tA\t10.244.0.5", "db" + svc + "\t5\tIN\tA\t10.244.0.6"}},
		{"a headless Service without endpoints is not there", "empty" + svc, "A", []string{"NXDOMAIN"}},
		{"an endpoint by its host name", "db-0.db" + svc, "A", []string{"db-0.db" + svc + "\t5\tIN\tA\t10.244.0.5"}},
		{"an endpoint without host name, by its address", "10-244-0-6.db" + svc, "A", []string{"10-244-0-6.db" + svc + "\t5\tIN\tA\t10.244.0.6"}},
		{"an endpoint that is not ready has no name", "db-2.db" + svc, "A", []string{"NXDOMAIN"}},
		{"endpoints have names below headless Services only", "10-244-0-6.web" + svc, "A", []string{"NXDOMAIN"}},
		{"a named port", "_http._tcp.web" + svc, "SRV", []string{"_http._tcp.web" + svc + "\t5\tIN\tSRV\t0 100 80 web" + svc}},
		{"a named UDP port", "_dns._udp.web" + svc, "SRV", []string{"_dns._udp.web" + svc + "\t5\tIN\tSRV\t0 100 53 web" + svc}},
		{"a named port of another protocol", "_http._udp.web" + svc, "SRV", []string{"NXDOMAIN"}},
		{"a headless Service's ports are its endpoints'", "_http._tcp.db" + svc, "SRV", []string{
			"_http._tcp.db" + svc + "\t5\tIN\tSRV\t0 100 8080 10-244-0-6.db" + svc, "_http._tcp.db" + svc + "\t5\tIN\tSRV\t0 100 8080 db-0.db" + svc}},
		{"a port's name has no address", "_http._tcp.web" + svc, "A", nil},
		{"between a Service and its ports there is nothing", "_tcp.web" + svc, "SRV", nil},
		{"ExternalName", "away" + svc, "CNAME", []string{"away" + svc + "\t5\tIN\tCNAME\texample.org."}},
		{"nothing is below ExternalName", "x.away" + svc, "A", []string{"NXDOMAIN"}},
		{"no such Service", "nobody" + svc, "A", []string{"NXDOMAIN"}},
		{"no such namespace", "web.nowhere.svc.cluster.local.", "A", []string{"NXDOMAIN"}},
		{"a namespace with Services exists", "default.svc.cluster.local.", "A", nil},
		{"an empty namespace does not", "nowhere.svc.cluster.local.", "A", []string{"NXDOMAIN"}},
		{"the zone exists", "cluster.local.", "A", nil},
		{"so does svc below it", "svc.cluster.local.", "A", nil},
		{"a search list tries this first", "example.org.svc.cluster.local.", "A", []string{"NXDOMAIN"}},
		{"too deep", "a.b._http._tcp.web" + svc, "SRV", []string{"NXDOMAIN"}},
		{"a pod by its address", "10-244-0-5.default.pod.cluster.local.", "A", []string{"10-244-0-5.default.pod.cluster.local.\t5\tIN\tA\t10.244.0.5"}},
		{"it has no other record", "10-244-0-5.default.pod.cluster.local.", "AAAA", nil},
		{"an address that no pod can have", "192-0-2-1.default.pod.cluster.local.", "A", []string{"NXDOMAIN"}},
		{"no address at all", "web.default.pod.cluster.local.", "A", []string{"NXDOMAIN"}},
		{"nothing is below a pod", "a.10-244-0-5.default.pod.cluster.local.", "A", []string{"NXDOMAIN"}},
		{"above pods' names there is nothing", "default.pod.cluster.local.", "A", nil},
		{"the schema's version", "dns-version.cluster.local.", "TXT", []string{"dns-version.cluster.local.\t5\tIN\tTXT\t\"1.1.0\""}},
	}
	for _, c := range cases {
		if got := lines(z.lookup(c.name, dns.StringToType[c.qtype])); !slices.Equal(got, c.want) {
			t.Errorf("%s: %s %s is\n%s\nwant\n%s", c.reason, c.name, c.qtype, strings.Join(got, "\n"), strings.Join(c.want, "\n"))
		}
	}
}

func lines(a answer) []string {
	if a.rcode == dns.RcodeNameError {
		return []string{"NXDOMAIN"}
	}
	var all []string
	for _, rr := range a.records {
		all = append(all, rr.String())
	}
	slices.Sort(all)
	return all
}

func TestReverse(t *testing.T) {
	z := zone{domain: "cluster.local.", source: testWorld()}
	cases := []struct{ reason, ip, want string }{
		{"a ClusterIP", "10.96.0.20", "web.default.svc.cluster.local."},
		{"an endpoint with a host name", "10.244.0.5", "db-0.db.default.svc.cluster.local."},
		{"an endpoint without one has no name of its own", "10.244.0.6", "NXDOMAIN"},
		{"nobody's", "10.244.0.200", "NXDOMAIN"},
	}
	for _, c := range cases {
		name, err := dns.ReverseAddr(c.ip)
		if err != nil {
			t.Fatal(err)
		}
		got := strings.Join(lines(z.reverse(name, netip.MustParseAddr(c.ip), dns.TypePTR)), " ")
		if !strings.HasSuffix(got, c.want) {
			t.Errorf("%s: %s is %q, want %q", c.reason, c.ip, got, c.want)
		}
	}
}
