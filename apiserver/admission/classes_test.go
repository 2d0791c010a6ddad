package admission_test

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	nodev1 "k8s.io/api/node/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/miniorch/miniorch/apiserver/admission"
)

func TestRuntimeClass(t *testing.T) {
	toleration := corev1.Toleration{Key: "sandbox", Operator: corev1.TolerationOpExists}
	p := admission.RuntimeClass{Read: cluster{
		&nodev1.RuntimeClass{ObjectMeta: metav1.ObjectMeta{Name: "plain"}, Handler: "h"},
		&nodev1.RuntimeClass{ObjectMeta: metav1.ObjectMeta{Name: "vm"}, Handler: "h",
			Overhead:   &nodev1.Overhead{PodFixed: corev1.ResourceList{"memory": resource.MustParse("100Mi")}},
			Scheduling: &nodev1.Scheduling{NodeSelector: map[string]string{"vm": "yes"}, Tolerations: []corev1.Toleration{toleration}}},
	}}
	of := func(class string, change ...func(*corev1.Pod)) *corev1.Pod {
		return pod(append(change, func(p *corev1.Pod) {
			if class != "" {
				p.Spec.RuntimeClassName = &class
			}
		})...)
	}
	overhead := func(memory string) func(*corev1.Pod) {
		return func(p *corev1.Pod) { p.Spec.Overhead = corev1.ResourceList{"memory": resource.MustParse(memory)} }
	}
	for _, tc := range []struct {
		name, reason string
		pod          *corev1.Pod
		says         string // the refusal; empty: admitted
	}{
		{"none", "most pods", of(""), ""},
		{"plain", "a handler and nothing more", of("plain"), ""},
		{"vm", "overhead and place are filled in", of("vm"), ""},
		{"the same overhead", "a template may carry what was filled in once", of("vm", overhead("100Mi")), ""},
		{"unknown", "no such class", of("x"), `pod rejected: RuntimeClass "x" not found`},
		{"another overhead", "the class says what it costs", of("vm", overhead("1Mi")), "Pod's Overhead doesn't match RuntimeClass's defined Overhead"},
		{"overhead of its own", "without a class nothing costs", of("", overhead("1Mi")), "Pod Overhead set without corresponding RuntimeClass defined Overhead"},
		{"elsewhere", "it cannot be on both", of("vm", func(p *corev1.Pod) { p.Spec.NodeSelector = map[string]string{"vm": "no"} }), "conflict: runtimeClass.scheduling.nodeSelector[vm] = yes"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := create(tc.pod)
			err := p.Admit(t.Context(), r)
			if err == nil {
				err = p.Validate(t.Context(), r)
			}
			if (err == nil) != (tc.says == "") || err != nil && !strings.Contains(err.Error(), tc.says) {
				t.Errorf("%s: %v", tc.reason, err)
			}
		})
	}
	full := of("vm", func(p *corev1.Pod) { p.Spec.Tolerations = []corev1.Toleration{toleration} })
	if err := p.Admit(t.Context(), create(full)); err != nil {
		t.Fatal(err)
	}
	if memory := full.Spec.Overhead["memory"]; memory.String() != "100Mi" || full.Spec.NodeSelector["vm"] != "yes" || len(full.Spec.Tolerations) != 1 {
		t.Errorf("%+v", full.Spec)
	}
}

func TestDefaultIngressClass(t *testing.T) {
	class := func(name, isDefault string, age time.Duration) *networkingv1.IngressClass {
		return &networkingv1.IngressClass{ObjectMeta: metav1.ObjectMeta{
			Name: name, CreationTimestamp: metav1.NewTime(time.Unix(1e9, 0).Add(-age)),
			Annotations: map[string]string{networkingv1.AnnotationIsDefaultIngressClass: isDefault},
		}}
	}
	for _, tc := range []struct {
		name    string
		cluster cluster
		ingress networkingv1.Ingress
		want    string
	}{
		{"none", nil, networkingv1.Ingress{}, ""},
		{"not a default", cluster{class("a", "false", 0)}, networkingv1.Ingress{}, ""},
		{"the default", cluster{class("a", "false", 0), class("b", "true", 0)}, networkingv1.Ingress{}, "b"},
		{"the newest of several", cluster{class("a", "true", time.Hour), class("c", "true", 0), class("b", "true", 0)}, networkingv1.Ingress{}, "b"},
		{"one that is named", cluster{class("a", "true", 0)}, networkingv1.Ingress{Spec: networkingv1.IngressSpec{IngressClassName: ptr("x")}}, "x"},
		{"one that is named in the old way", cluster{class("a", "true", 0)}, networkingv1.Ingress{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{"kubernetes.io/ingress.class": "x"}}}, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if err := (admission.DefaultIngressClass{Read: tc.cluster}).Admit(t.Context(), create(&tc.ingress)); err != nil {
				t.Fatal(err)
			}
			got := ""
			if tc.ingress.Spec.IngressClassName != nil {
				got = *tc.ingress.Spec.IngressClassName
			}
			if got != tc.want {
				t.Errorf("class %q, want %q", got, tc.want)
			}
		})
	}
}
