package endpoints

//lint:file-ignore SA1019 Endpoints are deprecated, and served.

import (
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"
)

func service(edits ...func(*corev1.Service)) *corev1.Service {
	s := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "web", UID: "svc"},
		Spec: corev1.ServiceSpec{
			ClusterIP: "10.96.0.7", Selector: map[string]string{"app": "web"},
			Ports: []corev1.ServicePort{{Name: "adm", Port: 81, TargetPort: intstr.FromString("adm")}, {Name: "http", Port: 80, TargetPort: intstr.FromInt32(8080)}},
		},
	}
	for _, e := range edits {
		e(s)
	}
	return s
}

func pod(n int, edits ...func(*corev1.Pod)) *corev1.Pod {
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: fmt.Sprintf("p%04d", n), UID: types.UID(fmt.Sprint("uid", n))},
		Spec:       corev1.PodSpec{NodeName: "node", Containers: []corev1.Container{{Ports: []corev1.ContainerPort{{Name: "adm", ContainerPort: 9000}}}}},
		Status: corev1.PodStatus{
			Phase: corev1.PodRunning, PodIP: fmt.Sprintf("10.%d.%d.1", 1+n/256, n%256),
			Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}},
		},
	}
	for _, e := range edits {
		e(p)
	}
	return p
}

func unready(p *corev1.Pod)     { p.Status.Conditions = nil }
func going(p *corev1.Pod)       { p.DeletionTimestamp = ptr.To(metav1.NewTime(time.Unix(1, 0))) }
func otherPort(p *corev1.Pod)   { p.Spec.Containers[0].Ports[0].ContainerPort = 9001 }
func noPort(p *corev1.Pod)      { p.Spec.Containers[0].Ports = nil }
func publish(s *corev1.Service) { s.Spec.PublishNotReadyAddresses = true }

func show(ep *corev1.Endpoints) string {
	var out []string
	for _, s := range ep.Subsets {
		text := ""
		for _, a := range s.Addresses {
			text += a.IP + " "
		}
		for _, a := range s.NotReadyAddresses {
			text += "(" + a.IP + ") "
		}
		for _, p := range s.Ports {
			text += fmt.Sprintf("%s:%d ", p.Name, p.Port)
		}
		out = append(out, strings.TrimSpace(text))
	}
	return strings.Join(out, "; ")
}

func TestSubsets(t *testing.T) {
	cases := []struct {
		reason string
		svc    *corev1.Service
		pods   []*corev1.Pod
		want   string
	}{
		{"pods with the same ports share a subset", service(), []*corev1.Pod{pod(1), pod(0)}, "10.1.0.1 10.1.1.1 adm:9000 http:8080"},
		{"not ready", service(), []*corev1.Pod{pod(0), pod(1, unready)}, "10.1.0.1 (10.1.1.1) adm:9000 http:8080"},
		{"not ready, but wanted", service(publish), []*corev1.Pod{pod(0), pod(1, unready)}, "10.1.0.1 10.1.1.1 adm:9000 http:8080"},
		{"terminating pods are away", service(), []*corev1.Pod{pod(0), pod(1, going)}, "10.1.0.1 adm:9000 http:8080"},
		{"named ports that differ part the subsets", service(), []*corev1.Pod{pod(0), pod(1, otherPort)}, "10.1.0.1 adm:9000; 10.1.1.1 adm:9001; 10.1.0.1 10.1.1.1 http:8080"},
		{"a pod without the named port has the others", service(), []*corev1.Pod{pod(0, noPort)}, "10.1.0.1 http:8080"},
		{"no ports at all", service(func(s *corev1.Service) { s.Spec.Ports = nil }), []*corev1.Pod{pod(0)}, "10.1.0.1"},
		{"nobody", service(), nil, ""},
	}
	for _, tc := range cases {
		t.Run(tc.reason, func(t *testing.T) {
			p := decide(observed{Service: tc.svc, Pods: tc.pods})
			if got := show(p.Create); got != tc.want {
				t.Errorf("subsets are %q, want %q", got, tc.want)
			}
			if again := decide(observed{Service: tc.svc, Pods: tc.pods, Existing: p.Create}); !again.Empty() {
				t.Errorf("a second look is not content: %s", again)
			}
		})
	}
}

func TestOwnership(t *testing.T) {
	ours := decide(observed{Service: service(), Pods: []*corev1.Pod{pod(0)}}).Create
	theirs := ours.DeepCopy()
	theirs.Labels = nil
	noSelector := service(func(s *corev1.Service) { s.Spec.Selector = nil })
	cases := []struct {
		reason string
		o      observed
		want   string
	}{
		{"the service is gone", observed{Existing: ours}, "delete; 1 of 1 addresses go"},
		{"no service, not ours", observed{Existing: theirs}, "nothing; 0 of 0 addresses go"},
		{"no selector, not ours", observed{Service: noSelector, Existing: theirs}, "nothing; 0 of 0 addresses go"},
		{"no selector any more", observed{Service: noSelector, Existing: ours}, "delete; 1 of 1 addresses go"},
		{"a selector makes them ours", observed{Service: service(), Existing: theirs, Pods: []*corev1.Pod{pod(0)}}, "update; 0 of 1 addresses go"},
	}
	for _, tc := range cases {
		t.Run(tc.reason, func(t *testing.T) {
			if got := decide(tc.o).String(); got != tc.want {
				t.Errorf("decide = %s, want %s", got, tc.want)
			}
		})
	}
}

func TestTruncation(t *testing.T) {
	var pods []*corev1.Pod
	for n := range 1001 {
		pods = append(pods, pod(n))
	}
	unready(pods[3])
	ep := decide(observed{Service: service(), Pods: pods}).Create
	if got := len(ep.Subsets[0].Addresses); got != 1000 || ep.Annotations[corev1.EndpointsOverCapacity] != "truncated" {
		t.Errorf("%d addresses, annotations %v; want 1000 ready ones, truncated", got, ep.Annotations)
	}
}
