package core

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/miniorch/miniorch/apiserver/registry/kindtest"
)

func service(t testing.TB, spec string) *corev1.Service {
	t.Helper()
	s := kindtest.From[corev1.Service](t, "metadata: {name: s, namespace: default}\nspec: {"+spec+"}")
	defaultService(s)
	return s
}

func TestDefaultService(t *testing.T) {
	for _, c := range []struct{ name, given, want, reason string }{
		{"plain", "ports: [{port: 80}], selector: {a: b}",
			"ports: [{port: 80, protocol: TCP, targetPort: 80}], selector: {a: b}, type: ClusterIP, sessionAffinity: None, internalTrafficPolicy: Cluster, ipFamilyPolicy: SingleStack, ipFamilies: [IPv4]",
			"what nobody says is the usual"},
		{"named target", "ports: [{port: 80, targetPort: http}], clusterIP: 10.96.0.7",
			"ports: [{port: 80, protocol: TCP, targetPort: http}], clusterIP: 10.96.0.7, clusterIPs: [10.96.0.7], type: ClusterIP, sessionAffinity: None, internalTrafficPolicy: Cluster, ipFamilyPolicy: SingleStack, ipFamilies: [IPv4]",
			"what is given stays, in both its fields"},
		{"sticky", "type: NodePort, sessionAffinity: ClientIP, ports: [{port: 80}]",
			"type: NodePort, ports: [{port: 80, protocol: TCP, targetPort: 80}], sessionAffinity: ClientIP, sessionAffinityConfig: {clientIP: {timeoutSeconds: 10800}}, internalTrafficPolicy: Cluster, externalTrafficPolicy: Cluster, ipFamilyPolicy: SingleStack, ipFamilies: [IPv4]",
			"three hours, and traffic from outside"},
		{"external name", "type: ExternalName, externalName: a.example",
			"type: ExternalName, externalName: a.example, sessionAffinity: None", "it has no addresses"},
		{"load balancer", "type: LoadBalancer, ports: [{port: 80}]",
			"type: LoadBalancer, ports: [{port: 80, protocol: TCP, targetPort: 80}], sessionAffinity: None, internalTrafficPolicy: Cluster, externalTrafficPolicy: Cluster, allocateLoadBalancerNodePorts: true, ipFamilyPolicy: SingleStack, ipFamilies: [IPv4]",
			"it has node ports"},
		{"headless without selector", "clusterIP: None", "clusterIP: None, clusterIPs: [None], type: ClusterIP, sessionAffinity: None, internalTrafficPolicy: Cluster, ipFamilyPolicy: RequireDualStack, ipFamilies: [IPv4, IPv6]",
			"its owner may give addresses of both families"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Log(c.reason)
			want := kindtest.From[corev1.ServiceSpec](t, "{"+c.want+"}")
			if diff := cmp.Diff(*want, service(t, c.given).Spec); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestValidateService(t *testing.T) {
	for _, c := range []struct {
		name, spec, reason string
		want               []string
	}{
		{"good", "ports: [{port: 80}], selector: {a: b}", "the usual", nil},
		{"type", "type: Magic, ports: [{port: 80}]", "four are known", []string{`spec.type: Unsupported value: "Magic"`}},
		{"no ports", "selector: {a: b}", "nothing to reach", []string{"spec.ports: Required value"}},
		{"headless without ports", "clusterIP: None", "names alone are enough", nil},
		{"port names", "ports: [{port: 80}, {port: 81, name: A}, {port: 82, name: b}, {port: 83, name: b}]", "with several, each has its own",
			[]string{"spec.ports[0].name: Required value", "spec.ports[1].name: Invalid value", `spec.ports[3].name: Duplicate value: "b"`}},
		{"same port", "ports: [{port: 80, name: a}, {port: 80, name: b}, {port: 80, name: c, protocol: UDP}]", "once per protocol", []string{"spec.ports[1]: Duplicate value"}},
		{"port range", "ports: [{port: 0}]", "1 to 65535", []string{"spec.ports[0].port: Invalid value: 0", "spec.ports[0].targetPort: Invalid value: 0"}},
		{"target name", "ports: [{port: 1, targetPort: not_a_port}]", "as container ports are named", []string{"spec.ports[0].targetPort: Invalid value: \"not_a_port\""}},
		{"node port of a cluster IP", "ports: [{port: 80, nodePort: 30000}]", "it has none",
			[]string{"spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'"}},
		{"node port twice", "type: NodePort, ports: [{port: 80, name: a, nodePort: 30000}, {port: 81, name: b, nodePort: 30000}]", "one port, one use",
			[]string{"spec.ports[1].nodePort: Duplicate value: 30000"}},
		{"headless node port", "type: NodePort, clusterIP: None, ports: [{port: 80}]", "node ports lead to a cluster IP",
			[]string{"may not be set to 'None' for NodePort services"}},
		{"external name", "type: ExternalName", "which?", []string{"spec.externalName: Required value"}},
		{"external name with address", "type: ExternalName, externalName: a.b, clusterIP: 10.96.0.1", "it has none",
			[]string{"spec.clusterIPs: Forbidden: may not be set for ExternalName services"}},
		{"affinity", "sessionAffinity: Cookie, ports: [{port: 80}]", "by address or not", []string{`spec.sessionAffinity: Unsupported value: "Cookie"`}},
		{"affinity time", "sessionAffinity: ClientIP, sessionAffinityConfig: {clientIP: {timeoutSeconds: 100000}}, ports: [{port: 80}]", "a day at most",
			[]string{"timeoutSeconds: Invalid value: 100000: must be greater than 0 and less than or equal to 86400"}},
		{"external policy", "externalTrafficPolicy: Local, ports: [{port: 80}]", "nothing comes from outside",
			[]string{"may only be set for externally-accessible services"}},
		{"health port", "type: NodePort, healthCheckNodePort: 30000, ports: [{port: 80}]", "only load balancers ask",
			[]string{"spec.healthCheckNodePort: Invalid value: 30000"}},
		{"balancer fields", "loadBalancerClass: a/b, allocateLoadBalancerNodePorts: true, loadBalancerSourceRanges: [10.0.0.0/8], ports: [{port: 80}]", "for balancers only",
			[]string{"spec.loadBalancerClass: Forbidden", "spec.allocateLoadBalancerNodePorts: Forbidden", "spec.loadBalancerSourceRanges: Forbidden"}},
		{"kubelet port", "type: LoadBalancer, ports: [{port: 10250}]", "it would open every node", []string{"may not expose port 10250 externally since it is used by kubelet"}},
		{"dual stack", "ipFamilyPolicy: RequireDualStack, ports: [{port: 80}], selector: {a: b}", "there is one family here",
			[]string{"this cluster is not configured for dual-stack services"}},
		{"IPv6", "ipFamilies: [IPv6], ports: [{port: 80}]", "and it is the other", []string{"spec.ipFamilies[0]: Invalid value: \"IPv6\": not configured on this cluster"}},
		{"cluster IP", "clusterIP: nope, ports: [{port: 80}]", "an address or None", []string{"spec.clusterIPs[0]: Invalid value"}},
		{"two cluster IPs", "clusterIP: 10.96.0.1, clusterIPs: [10.96.0.2], ports: [{port: 80}]", "they must agree", []string{"first value must match `clusterIP`"}},
		{"external IP", "externalIPs: [127.0.0.1], ports: [{port: 80}]", "not the node itself", []string{"spec.externalIPs[0]: Invalid value: \"127.0.0.1\": may not be in the loopback range"}},
		{"selector", "selector: {a b: c}, ports: [{port: 80}]", "labels", []string{"spec.selector: Invalid value"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Log(c.reason)
			kindtest.WantErrors(t, validateService(service(t, c.spec)), c.want...)
		})
	}
}

func TestServiceUpdate(t *testing.T) {
	const nodePort = "type: NodePort, clusterIP: 10.96.0.5, clusterIPs: [10.96.0.5], ports: [{port: 80, name: a, nodePort: 30001}, {port: 81, name: b, nodePort: 30002}]"
	for _, c := range []struct {
		name, old, is, reason, want string
		errs                        []string
	}{
		{"left out", nodePort, "type: NodePort, ports: [{port: 80, name: a}, {port: 82, name: c}]", "allocated values are kept, per port",
			"NodePort 10.96.0.5 80:30001/TCP,82/TCP Cluster", nil},
		{"taken over", nodePort, "type: NodePort, ports: [{port: 80, name: a}, {port: 82, name: c, nodePort: 30001}]", "a port that moved is not kept twice",
			"NodePort 10.96.0.5 80/TCP,82:30001/TCP Cluster", nil},
		{"to ClusterIP", nodePort, "type: ClusterIP, clusterIP: 10.96.0.5, externalTrafficPolicy: Cluster, ports: [{port: 80, name: a, nodePort: 30001}, {port: 81, name: b, nodePort: 30002}]",
			"node ports go with the type", "ClusterIP 10.96.0.5 80/TCP,81/TCP ", nil},
		{"to ExternalName", nodePort, "type: ExternalName, externalName: a.b, clusterIP: 10.96.0.5, clusterIPs: [10.96.0.5], ipFamilies: [IPv4], ipFamilyPolicy: SingleStack, externalTrafficPolicy: Cluster, ports: [{port: 80, name: a, nodePort: 30001}]",
			"the address goes as well", "ExternalName  80/TCP ", nil},
		{"to ExternalName with the old field cleared", nodePort, "type: ExternalName, externalName: a.b, clusterIPs: [10.96.0.5], ipFamilies: [IPv4], ipFamilyPolicy: SingleStack, externalTrafficPolicy: Cluster, ports: [{port: 80, name: a, nodePort: 30001}]",
			"clients that know one address only", "ExternalName  80/TCP ", nil},
		{"new node port on the way", nodePort, "type: ClusterIP, externalTrafficPolicy: Cluster, ports: [{port: 80, name: a, nodePort: 31000}]", "what the client changed stays, and is refused",
			"ClusterIP 10.96.0.5 80:31000/TCP ", []string{"spec.ports[0].nodePort: Forbidden"}},
		{"other address", nodePort, "type: NodePort, clusterIP: 10.96.0.6, ports: [{port: 80}]", "an address stays", "NodePort 10.96.0.6 80:30001/TCP Cluster",
			[]string{"spec.clusterIPs[0]: Invalid value: \"10.96.0.6\": may not change once set"}},
		{"another health port", "type: LoadBalancer, externalTrafficPolicy: Local, healthCheckNodePort: 30010, ports: [{port: 80}]",
			"type: LoadBalancer, externalTrafficPolicy: Local, healthCheckNodePort: 30011, ports: [{port: 80}]", "balancers remember it", "LoadBalancer  80/TCP Local",
			[]string{"spec.healthCheckNodePort: Invalid value: 30011: field is immutable"}},
		{"another class", "type: LoadBalancer, loadBalancerClass: a/b, ports: [{port: 80}]", "type: LoadBalancer, loadBalancerClass: a/c, ports: [{port: 80}]",
			"another controller would take over", "LoadBalancer  80/TCP Cluster", []string{"spec.loadBalancerClass: Invalid value: \"a/c\": may not change once set"}},
		{"class with the type", "ports: [{port: 80}]", "type: LoadBalancer, loadBalancerClass: a/b, ports: [{port: 80}]", "it comes with the type", "LoadBalancer  80/TCP Cluster", nil},
		{"to headless", "clusterIP: 10.96.0.5, ports: [{port: 80}]", "clusterIP: None, ports: [{port: 80}]", "an address stays", "ClusterIP None 80/TCP ",
			[]string{"spec.clusterIPs[0]: Invalid value: \"None\": may not change once set"}},
		{"from ExternalName", "type: ExternalName, externalName: a.b", "type: ClusterIP, clusterIP: 10.96.0.6, ports: [{port: 80}]", "it had none",
			"ClusterIP 10.96.0.6 80/TCP ", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Log(c.reason)
			old, s := service(t, c.old), service(t, c.is)
			s.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{IP: "1.2.3.4"}}
			prepareServiceUpdate(s, old)
			if len(s.Status.LoadBalancer.Ingress) > 0 {
				t.Error("an update of the main endpoint changed the status")
			}
			got := string(s.Spec.Type) + " " + s.Spec.ClusterIP + " " + printServicePorts(s) + " " + string(s.Spec.ExternalTrafficPolicy)
			if got != c.want {
				t.Errorf("it became %q, want %q", got, c.want)
			}
			kindtest.WantErrors(t, append(validateService(s), validateServiceUpdate(s, old)...), c.errs...)
		})
	}
}

func TestServiceColumns(t *testing.T) {
	now := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct{ name, spec, want string }{
		{"cluster IP", "clusterIP: 10.96.0.1, ports: [{port: 443}], selector: {b: c, a: b}", "s | ClusterIP | 10.96.0.1 | <none> | 443/TCP | 3h | a=b,b=c"},
		{"node port", "type: NodePort, clusterIP: 10.96.0.1, ports: [{port: 80, nodePort: 30080}, {port: 53, protocol: UDP}]",
			"s | NodePort | 10.96.0.1 | <none> | 80:30080/TCP,53/UDP | 3h | <none>"},
		{"external name", "type: ExternalName, externalName: a.b", "s | ExternalName | <none> | a.b | <none> | 3h | <none>"},
		{"headless", "clusterIP: None", "s | ClusterIP | None | <none> | <none> | 3h | <none>"},
		{"pending balancer", "type: LoadBalancer, ports: [{port: 80}]", "s | LoadBalancer | <none> | <pending> | 80/TCP | 3h | <none>"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := service(t, c.spec)
			s.CreationTimestamp = metav1.NewTime(now.Add(-3 * time.Hour))
			if got := kindtest.Row(serviceColumns(), s, now, true); got != c.want {
				t.Errorf("printed\n  %s\nwant\n  %s", got, c.want)
			}
		})
	}
}

func TestValidateServiceStatus(t *testing.T) {
	s := service(t, "ports: [{port: 80}]")
	s.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{IP: "1.2.3.4"}}
	kindtest.WantErrors(t, validateServiceStatus(s, s), "may only be used when `spec.type` is \"LoadBalancer\"")
	s.Spec.Type = corev1.ServiceTypeLoadBalancer
	kindtest.WantErrors(t, validateServiceStatus(s, s))
}

func TestWarnHeadless(t *testing.T) {
	s := service(t, "clusterIP: None, externalIPs: [1.2.3.4], loadBalancerIP: 1.2.3.4, sessionAffinity: ClientIP, externalName: a.b")
	if got := warnHeadless(&s.Spec); len(got) != 3 || got[2] != "spec.SessionAffinity is ignored for headless services" {
		t.Errorf("warnings: %q", got)
	}
	if got := warnService(s, nil, false); got[0] != `spec.externalName is ignored when spec.type is not "ExternalName"` {
		t.Errorf("warnings: %q", got)
	}
}
