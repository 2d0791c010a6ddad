package endpointslice

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"
)

func service(edits ...func(*corev1.Service)) *corev1.Service {
	s := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "web", UID: "svc", Labels: map[string]string{"team": "a", discoveryv1.LabelManagedBy: "forged"}},
		Spec: corev1.ServiceSpec{
			ClusterIP: "10.96.0.7", Selector: map[string]string{"app": "web"},
			Ports: []corev1.ServicePort{{Name: "http", Port: 80, TargetPort: intstr.FromInt32(8080), Protocol: corev1.ProtocolTCP}},
		},
	}
	for _, e := range edits {
		e(s)
	}
	return s
}

func named(s *corev1.Service)        { s.Spec.Ports[0].TargetPort = intstr.FromString("web") }
func publish(s *corev1.Service)      { s.Spec.PublishNotReadyAddresses = true }
func headless(s *corev1.Service)     { s.Spec.ClusterIP = corev1.ClusterIPNone }
func portless(s *corev1.Service)     { s.Spec.Ports = nil }
func selectorless(s *corev1.Service) { s.Spec.Selector = nil }
func alias(s *corev1.Service)        { s.Spec.Type = corev1.ServiceTypeExternalName }
func dual(s *corev1.Service) {
	s.Spec.IPFamilies = []corev1.IPFamily{corev1.IPv4Protocol, corev1.IPv6Protocol}
}

// pod makes the n-th pod: ready, on node-<n%3>.
func pod(n int, edits ...func(*corev1.Pod)) *corev1.Pod {
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: fmt.Sprintf("p%03d", n), UID: types.UID(fmt.Sprint("uid", n))},
		Spec:       corev1.PodSpec{NodeName: fmt.Sprint("node-", n%3), Containers: []corev1.Container{{Ports: []corev1.ContainerPort{{Name: "web", ContainerPort: 8080}}}}},
		Status: corev1.PodStatus{
			Phase: corev1.PodRunning, PodIP: fmt.Sprintf("10.244.%d.%d", n/250, n%250+1),
			Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}},
		},
	}
	p.Status.PodIPs = []corev1.PodIP{{IP: p.Status.PodIP}, {IP: fmt.Sprintf("fd00::%x", n+1)}}
	for _, e := range edits {
		e(p)
	}
	return p
}

func pods(from, to int) []*corev1.Pod {
	var out []*corev1.Pod
	for n := from; n < to; n++ {
		out = append(out, pod(n))
	}
	return out
}
func unready(p *corev1.Pod)  { p.Status.Conditions = nil }
func going(p *corev1.Pod)    { p.DeletionTimestamp = ptr.To(metav1.NewTime(time.Unix(1, 0))) }
func finished(p *corev1.Pod) { p.Status.Phase = corev1.PodSucceeded }
func homeless(p *corev1.Pod) { p.Status.PodIP, p.Status.PodIPs = "", nil }
func port(n int32) func(*corev1.Pod) {
	return func(p *corev1.Pod) { p.Spec.Containers[0].Ports[0].ContainerPort = n }
}
func hostname(p *corev1.Pod) { p.Spec.Hostname, p.Spec.Subdomain = "zero", "web" }

// apply returns the slices as they are after the plan.
func apply(slices []*discoveryv1.EndpointSlice, plan Plan) []*discoveryv1.EndpointSlice {
	var out []*discoveryv1.EndpointSlice
next:
	for _, s := range slices {
		for _, d := range plan.Delete {
			if d == s {
				continue next
			}
		}
		for _, u := range plan.Update {
			if u.Old == s {
				s = u.New
			}
		}
		out = append(out, s)
	}
	return append(out, plan.Create...)
}

// show prints slices in a few words each.
func show(all []*discoveryv1.EndpointSlice) string {
	var out []string
	for _, s := range all {
		var ports []string
		for _, p := range s.Ports {
			ports = append(ports, fmt.Sprintf("%s:%d", *p.Name, *p.Port))
		}
		text := fmt.Sprintf("%s [%s]", s.AddressType, strings.Join(ports, " "))
		if len(s.Endpoints) > 3 {
			text += fmt.Sprintf(" %d endpoints", len(s.Endpoints))
			out = append(out, text)
			continue
		}
		for _, e := range s.Endpoints {
			text += " " + e.Addresses[0]
			for i, on := range []*bool{e.Conditions.Ready, e.Conditions.Serving, e.Conditions.Terminating} {
				if *on {
					text += "rst"[i : i+1]
				}
			}
			if e.Hostname != nil {
				text += "=" + *e.Hostname
			}
		}
		out = append(out, text)
	}
	slices.Sort(out)
	return strings.Join(out, "; ")
}

func TestDecide(t *testing.T) {
	cases := []struct {
		reason string
		svc    *corev1.Service
		pods   []*corev1.Pod
		want   string
	}{
		{"a ready pod", service(), []*corev1.Pod{pod(0)}, "IPv4 [http:8080] 10.244.0.1rs"},
		{"no pods: one empty slice says so", service(), nil, "IPv4 []"},
		{"a pod that is not ready is listed as such", service(), []*corev1.Pod{pod(0, unready)}, "IPv4 [http:8080] 10.244.0.1"},
		{"unless the service wants it", service(publish), []*corev1.Pod{pod(0, unready)}, "IPv4 [http:8080] 10.244.0.1r"},
		{"a terminating pod may still serve", service(), []*corev1.Pod{pod(0, going)}, "IPv4 [http:8080] 10.244.0.1st"},
		{"a finished pod is away", service(), []*corev1.Pod{pod(0, finished)}, "IPv4 []"},
		{"so is one without address", service(), []*corev1.Pod{pod(0, homeless)}, "IPv4 []"},
		{"pods that name a port differently stand in slices of their own", service(named), []*corev1.Pod{pod(0), pod(1, port(9090)), pod(2)},
			"IPv4 [http:8080] 10.244.0.1rs 10.244.0.3rs; IPv4 [http:9090] 10.244.0.2rs"},
		{"dual stack: a slice per family", service(dual), []*corev1.Pod{pod(0)}, "IPv4 [http:8080] 10.244.0.1rs; IPv6 [http:8080] fd00::1rs"},
		{"headless without ports", service(headless, portless), []*corev1.Pod{pod(0)}, "IPv4 [] 10.244.0.1rs"},
		{"hostname below the service's name", service(headless), []*corev1.Pod{pod(0, hostname)}, "IPv4 [http:8080] 10.244.0.1rs=zero"},
		{"100 endpoints a slice", service(), pods(0, 250), "IPv4 [http:8080] 100 endpoints; IPv4 [http:8080] 100 endpoints; IPv4 [http:8080] 50 endpoints"},
		{"no selector: not ours", service(selectorless), []*corev1.Pod{pod(0)}, ""},
		{"an alias has no endpoints", service(alias), []*corev1.Pod{pod(0)}, ""},
	}
	for _, tc := range cases {
		t.Run(tc.reason, func(t *testing.T) {
			first := decide(observed{Service: tc.svc, Pods: tc.pods})
			after := apply(nil, first)
			if got := show(after); got != tc.want {
				t.Errorf("slices are %q, want %q", got, tc.want)
			}
			if again := decide(observed{Service: tc.svc, Pods: tc.pods, Slices: after}); !again.Empty() {
				t.Errorf("a second look is not content: %s", again)
			}
		})
	}
}

func TestChangesAreFew(t *testing.T) {
	full := func(n int) []*discoveryv1.EndpointSlice {
		return apply(nil, decide(observed{Service: service(), Pods: pods(0, n)}))
	}
	cases := []struct {
		reason string
		slices []*discoveryv1.EndpointSlice
		svc    *corev1.Service
		pods   []*corev1.Pod
		want   string
	}{
		{"one more pod: one slice changes", full(150), service(), pods(0, 151), "create 0, update 1, delete 0 slices; 0 of 150 endpoints go"},
		{"one less", full(150), service(), pods(1, 150), "create 0, update 1, delete 0 slices; 1 of 150 endpoints go"},
		{"one replaced: it takes the place", full(100), service(), pods(1, 101), "create 0, update 1, delete 0 slices; 1 of 100 endpoints go"},
		{"no room: a new slice, the full one untouched", full(100), service(), pods(0, 101), "create 1, update 0, delete 0 slices; 0 of 100 endpoints go"},
		{"all gone: one stays, empty", full(150), service(), nil, "create 0, update 1, delete 1 slices; 150 of 150 endpoints go"},
		{"a new port: slices are reused", full(150), service(func(s *corev1.Service) { s.Spec.Ports[0].TargetPort = intstr.FromInt32(81) }), pods(0, 150), "create 0, update 2, delete 0 slices; 0 of 150 endpoints go"},
		{"the first pod takes the placeholder", full(0), service(), pods(0, 1), "create 0, update 1, delete 0 slices; 0 of 0 endpoints go"},
		{"a new label on the service is carried", full(1), service(func(s *corev1.Service) { s.Labels["x"] = "y" }), pods(0, 1), "create 0, update 1, delete 0 slices; 0 of 1 endpoints go"},
		{"the service is gone", full(150), nil, nil, "create 0, update 0, delete 2 slices; 150 of 150 endpoints go"},
		{"the service lost its selector", full(1), service(selectorless), nil, "create 0, update 0, delete 1 slices; 1 of 1 endpoints go"},
	}
	for _, tc := range cases {
		t.Run(tc.reason, func(t *testing.T) {
			if got := decide(observed{Service: tc.svc, Pods: tc.pods, Slices: tc.slices}).String(); got != tc.want {
				t.Errorf("decide = %s, want %s", got, tc.want)
			}
		})
	}
}

func TestSliceIsBranded(t *testing.T) {
	s := decide(observed{Service: service(headless), Pods: pods(0, 1), Zones: map[string]string{"node-0": "z1"}}).Create[0]
	for k, v := range map[string]string{"kubernetes.io/service-name": "web", "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io", "team": "a", "service.kubernetes.io/headless": ""} {
		if got, ok := s.Labels[k]; !ok || got != v {
			t.Errorf("label %s is %q, want %q", k, got, v)
		}
	}
	if owner := metav1.GetControllerOf(s); owner == nil || owner.UID != "svc" {
		t.Errorf("owner is %v, want the service", owner)
	}
	if e := s.Endpoints[0]; *e.Zone != "z1" || *e.NodeName != "node-0" || e.TargetRef.Name != "p000" {
		t.Errorf("endpoint is %+v, want node, zone and pod", e)
	}
}
