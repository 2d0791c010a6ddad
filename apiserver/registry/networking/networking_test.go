package networking

import (
	"testing"
	"time"

	networkingv1 "k8s.io/api/networking/v1"

	"github.com/miniorch/miniorch/apiserver/registry/kindtest"
)

func TestValidateIngress(t *testing.T) {
	for _, c := range []struct {
		name, spec, reason string
		want               []string
	}{
		{"default backend", "{defaultBackend: {service: {name: a, port: {number: 80}}}}", "rules are not needed", nil},
		{"rules", "{rules: [{host: a.b, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: a, port: {name: http}}}}]}}, {host: '*.a.b'}]}", "a wildcard may be the first label", nil},
		{"resource", "{defaultBackend: {resource: {apiGroup: k8s.example.com, kind: Bucket, name: static}}}", "any kind can be a backend", nil},
		{"nothing", "{}", "it would do nothing", []string{"spec: Invalid value: null: either `defaultBackend` or `rules` must be specified"}},
		{"no backend", "{defaultBackend: {}}", "a backend names something", []string{"spec.defaultBackend: Required value"}},
		{"two backends", "{defaultBackend: {service: {name: a, port: {number: 1}}, resource: {kind: K, name: a}}}", "one of two", []string{"cannot set both resource and service backends"}},
		{"service", "{defaultBackend: {service: {name: 9, port: {number: 1, name: a}}}}", "services have names of DNS labels",
			[]string{"spec.defaultBackend.service.name: Invalid value: \"9\"", "spec.defaultBackend.service: Invalid value: \"\": cannot set both port name & port number"}},
		{"no port", "{defaultBackend: {service: {name: a}}}", "which one?", []string{"spec.defaultBackend.service: Required value: port name or number is required"}},
		{"hosts", "{rules: [{host: 10.0.0.1}, {host: 'a.*'}, {host: 'A'}]}", "names of DNS only",
			[]string{"spec.rules[0].host: Invalid value: \"10.0.0.1\": must be a DNS name, not an IP address", "spec.rules[1].host: Invalid value", "spec.rules[2].host: Invalid value"}},
		{"paths", `{rules: [{http: {paths: [{path: a, pathType: Exact, backend: {service: {name: a, port: {number: 1}}}},
  {path: /a//b/../c%2f, pathType: Prefix, backend: {service: {name: a, port: {number: 1}}}}, {backend: {}},
  {path: '/a/..', pathType: Exact, backend: {service: {name: a, port: {number: 1}}}},
  {pathType: Regex, backend: {service: {name: a, port: {number: 1}}}}, {pathType: ImplementationSpecific, backend: {service: {name: a, port: {number: 70000}}}}]}}]}`,
			"what a path means must be plain",
			[]string{"paths[0].path: Invalid value: \"a\": must be an absolute path", "must not contain '//'", "must not contain '/../'", "must not contain '%2f'",
				"paths[2].pathType: Required value: pathType must be specified", "paths[3].path: Invalid value: \"/a/..\": cannot end with '/..'",
				"paths[4].pathType: Unsupported value: \"Regex\"", "paths[5].backend.service.port.number: Invalid value: 70000"}},
		{"no paths", "{rules: [{http: {paths: []}}]}", "http without paths is nothing", []string{"spec.rules[0].http.paths: Required value"}},
		{"tls", "{defaultBackend: {service: {name: a, port: {number: 1}}}, tls: [{hosts: [a, '*.b.c', '*'], secretName: A}]}", "hosts and a secret",
			[]string{"spec.tls[0].hosts[2]: Invalid value", "spec.tls[0].secretName: Invalid value"}},
		{"class", "{ingressClassName: A, defaultBackend: {service: {name: a, port: {number: 1}}}}", "a class is an object", []string{"spec.ingressClassName: Invalid value: \"A\""}},
	} {
		t.Run(c.name, func(t *testing.T) {
			kindtest.WantErrors(t, validateIngress(kindtest.From[networkingv1.Ingress](t, "spec: "+c.spec)), c.want...)
		})
	}
	both := kindtest.From[networkingv1.Ingress](t, "{metadata: {annotations: {kubernetes.io/ingress.class: a}}, spec: {ingressClassName: a, defaultBackend: {service: {name: a, port: {number: 1}}}}}")
	kindtest.WantErrors(t, validateIngress(both), "metadata.annotations.kubernetes.io/ingress.class: Invalid value: \"a\": can not be set when the class field is also set")
	status := kindtest.From[networkingv1.Ingress](t, "status: {loadBalancer: {ingress: [{ip: 10.0.0.1}, {hostname: a.b}, {ip: x}, {hostname: 10.0.0.1}]}}")
	kindtest.WantErrors(t, validateIngressStatus(status, nil), "ingress[2].ip: Invalid value", "ingress[3].hostname: Invalid value: \"10.0.0.1\": must be a DNS name")
}

func TestIngressClasses(t *testing.T) {
	for _, c := range []struct {
		name, spec string
		want       []string
	}{
		{"good", "{controller: a.b/c, parameters: {apiGroup: a.b, kind: K, name: n}}", nil},
		{"namespaced", "{controller: a.b/c, parameters: {kind: K, name: n, scope: Namespace, namespace: x}}", nil},
		{"nobody", "{}", []string{"spec.controller: Required value"}},
		{"no path", "{controller: ab}", []string{"spec.controller: Invalid value: \"ab\": must be a domain-prefixed path"}},
		{"no namespace", "{controller: a.b/c, parameters: {kind: K, name: n, scope: Namespace}}", []string{"spec.parameters.namespace: Required value: `parameters.scope` is set to 'Namespace'"}},
		{"namespace", "{controller: a.b/c, parameters: {kind: K, name: n, namespace: x}}", []string{"spec.parameters.namespace: Forbidden: `parameters.scope` is set to 'Cluster'"}},
		{"scope", "{controller: a.b/c, parameters: {scope: Galaxy}}", []string{"spec.parameters.kind: Required", "spec.parameters.name: Required", "spec.parameters.scope: Unsupported value: \"Galaxy\""}},
	} {
		t.Run(c.name, func(t *testing.T) {
			class := kindtest.From[networkingv1.IngressClass](t, "spec: "+c.spec)
			defaultIngressClass(class)
			kindtest.WantErrors(t, validateIngressClass(class), c.want...)
		})
	}
	one, two := kindtest.From[networkingv1.IngressClass](t, "spec: {controller: a.b/c}"), kindtest.From[networkingv1.IngressClass](t, "spec: {controller: a.b/d}")
	kindtest.WantErrors(t, validateIngressClassUpdate(one, two), "spec.controller: Invalid value: \"a.b/c\": field is immutable")
}

func TestNetworkPolicies(t *testing.T) {
	for _, c := range []struct {
		name, spec, reason string
		want               []string
	}{
		{"empty", "{podSelector: {}}", "all pods, nothing comes in", nil},
		{"good", "{podSelector: {}, ingress: [{ports: [{port: 80, endPort: 90}, {port: http}], from: [{podSelector: {}, namespaceSelector: {}}, {ipBlock: {cidr: 10.0.0.0/8, except: [10.1.0.0/16]}}]}]}", "all sorts of peers", nil},
		{"ports", "{podSelector: {}, egress: [{ports: [{endPort: 1}, {port: http, endPort: 1}, {port: 80, endPort: 79}, {port: 0, protocol: X}]}]}", "ranges have a first number",
			[]string{"ports[0].endPort: Required value: may not be specified when `port` is not specified", "ports[1].endPort: Invalid value: 1: may not be specified when `port` is non-numeric",
				"ports[2].endPort: Invalid value: 79: must be greater than or equal to `port`", "ports[3].protocol: Unsupported value: \"X\"", "ports[3].port: Invalid value: 0"}},
		{"peers", "{podSelector: {}, ingress: [{from: [{}, {podSelector: {}, ipBlock: {cidr: 10.0.0.0/8}}, {ipBlock: {}}, {ipBlock: {cidr: 10.0.0.0/8, except: [10.0.0.0/8, 11.0.0.0/16, x]}}]}]}", "a peer is something",
			[]string{"from[0]: Required value: must specify a peer", "from[1]: Forbidden: may not specify both ipBlock and another peer", "from[2].ipBlock.cidr: Required value",
				"except[0]: Invalid value: \"10.0.0.0/8\": must be a strict subset of `cidr`", "except[1]: Invalid value: \"11.0.0.0/16\": must be a strict subset", "except[2]: Invalid value: \"x\""}},
		{"types", "{podSelector: {}, policyTypes: [Sideways]}", "in or out", []string{"spec.policyTypes[0]: Unsupported value: \"Sideways\""}},
		{"three types", "{podSelector: {}, policyTypes: [Ingress, Egress, Ingress]}", "there are two", []string{"may not specify more than two policyTypes"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := kindtest.From[networkingv1.NetworkPolicy](t, "spec: "+c.spec)
			defaultNetworkPolicy(p)
			kindtest.WantErrors(t, validateNetworkPolicy(p), c.want...)
		})
	}
	p := kindtest.From[networkingv1.NetworkPolicy](t, "spec: {egress: [{ports: [{port: 53}]}]}")
	defaultNetworkPolicy(p)
	if got := p.Spec.PolicyTypes; len(got) != 2 || got[1] != networkingv1.PolicyTypeEgress || *p.Spec.Egress[0].Ports[0].Protocol != "TCP" {
		t.Errorf("defaults: %+v", p.Spec)
	}
}

func TestServiceCIDRs(t *testing.T) {
	for _, c := range []struct {
		name, cidrs string
		want        []string
	}{
		{"good", "[10.1.0.0/16]", nil},
		{"two families", "[10.1.0.0/16, '2001:db8::/64']", nil},
		{"none", "[]", []string{"spec.cidrs: Required value: at least one CIDR required"}},
		{"three", "[10.1.0.0/16, 10.2.0.0/16, 10.3.0.0/16]", []string{"spec.cidrs: Invalid value: [\"10.1.0.0/16\",\"10.2.0.0/16\",\"10.3.0.0/16\"]: may only hold up to 2 values"}},
		{"one family twice", "[10.1.0.0/16, 10.2.0.0/16]", []string{"may specify no more than one IP for each IP family"}},
		{"host bits", "[10.1.0.1/16]", []string{"spec.cidrs[0]: Invalid value: \"10.1.0.1/16\""}},
		{"nonsense", "[a]", []string{"spec.cidrs[0]: Invalid value: \"a\""}},
	} {
		t.Run(c.name, func(t *testing.T) {
			kindtest.WantErrors(t, validateServiceCIDR(kindtest.From[networkingv1.ServiceCIDR](t, "spec: {cidrs: "+c.cidrs+"}")), c.want...)
		})
	}
	kindtest.WantErrors(t, validateServiceCIDRUpdate([]string{"10.1.0.0/16", "2001:db8::/64"}, []string{"10.1.0.0/16"}))
	kindtest.WantErrors(t, validateServiceCIDRUpdate([]string{"10.2.0.0/16"}, []string{"10.1.0.0/16"}), "spec.cidrs: Invalid value: [\"10.2.0.0/16\"]: field is immutable")
}

func TestIPAddresses(t *testing.T) {
	for name, good := range map[string]bool{"10.0.0.1": true, "2001:db8::1": true, "2001:DB8::1": false, "010.0.0.1": false, "::ffff:10.0.0.1": false, "fe80::1%eth0": false, "a": false} {
		if msgs := validateAddressName(name, false); (len(msgs) == 0) != good {
			t.Errorf("%s: %v", name, msgs)
		}
	}
	a := kindtest.From[networkingv1.IPAddress](t, "spec: {parentRef: {resource: services, namespace: ns, name: a}}")
	kindtest.WantErrors(t, validateParent(a.Spec.ParentRef, nil))
	kindtest.WantErrors(t, validateParent(nil, nil), "Required value")
	kindtest.WantErrors(t, validateParent(&networkingv1.ParentReference{Group: "A", Resource: "a/b"}, nil), "group: Invalid value", "resource: Invalid value", "name: Required")
	kindtest.WantErrors(t, validateIPAddressUpdate(&networkingv1.IPAddress{}, a), "spec.parentRef: Invalid value: null: field is immutable")
}

func TestColumns(t *testing.T) {
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	ingress := kindtest.From[networkingv1.Ingress](t, `{metadata: {name: i, creationTimestamp: '2029-12-31T23:59:00Z'},
  spec: {ingressClassName: c, tls: [{}], rules: [{host: a}, {}, {host: b}, {host: d}, {host: e}]}, status: {loadBalancer: {ingress: [{ip: 1.2.3.4}, {hostname: h}]}}}`)
	if got, want := kindtest.Row(ingressColumns(), ingress, now, true), "i | c | a,*,b + 2 more... | 1.2.3.4,h | 80, 443 | 60s"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got, want := kindtest.Row(ingressColumns(), &networkingv1.Ingress{}, now, true), " | <none> | * |  | 80 | <unknown>"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	group := "g"
	if got := printParameters(&networkingv1.IngressClassParametersReference{APIGroup: &group, Kind: "K", Name: "n"}); got != "K.g/n" {
		t.Errorf("parameters: %q", got)
	}
	if got := printParent(&networkingv1.ParentReference{Resource: "services", Namespace: "ns", Name: "a"}); got != "services/ns/a" {
		t.Errorf("parent: %q", got)
	}
}
