package admission_test

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/miniorch/miniorch/apiserver/admission"
)

func priorityClass(name string, value int32, isDefault bool, policy corev1.PreemptionPolicy) *schedulingv1.PriorityClass {
	return &schedulingv1.PriorityClass{ObjectMeta: metav1.ObjectMeta{Name: name}, Value: value, GlobalDefault: isDefault, PreemptionPolicy: &policy}
}

func TestPriority(t *testing.T) {
	lower, never := corev1.PreemptLowerPriority, corev1.PreemptNever
	none := cluster{}
	some := cluster{priorityClass("high", 100, false, lower), priorityClass("polite", 50, false, never)}
	defaulting := cluster{priorityClass("usual", 5, true, lower), priorityClass("other", 9, true, lower)}
	for _, tc := range []struct {
		name, class string
		cluster     cluster
		asked       *int32
		policy      *corev1.PreemptionPolicy
		want        int32
		wantClass   string
		wantPolicy  corev1.PreemptionPolicy
		refusal     string
	}{
		{"no class", "", none, nil, nil, 0, "", lower, ""},
		{"built in", "system-node-critical", none, nil, nil, 2000001000, "system-node-critical", lower, ""},
		{"the right number", "system-cluster-critical", none, ptr(int32(2000000000)), nil, 2000000000, "system-cluster-critical", lower, ""},
		{"a wrong number", "", none, ptr(int32(7)), nil, 0, "", "", "the integer value of priority (7) must not be provided"},
		{"unknown", "unknown", none, nil, nil, 0, "", "", "no PriorityClass with name unknown was found"},
		{"stored", "high", some, nil, nil, 100, "high", lower, ""},
		{"polite", "polite", some, nil, nil, 50, "polite", never, ""},
		{"a wrong policy", "polite", some, nil, &lower, 0, "", "", "the string value of PreemptionPolicy (PreemptLowerPriority) must not be provided"},
		{"the lowest of two defaults", "", defaulting, nil, nil, 5, "usual", lower, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := pod(func(p *corev1.Pod) {
				p.Spec.PriorityClassName, p.Spec.Priority, p.Spec.PreemptionPolicy = tc.class, tc.asked, tc.policy
			})
			err := admission.Priority{Read: tc.cluster}.Admit(t.Context(), create(p))
			if tc.refusal != "" {
				if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), tc.refusal) {
					t.Errorf("%v, want %q", err, tc.refusal)
				}
				return
			}
			if err != nil || *p.Spec.Priority != tc.want || p.Spec.PriorityClassName != tc.wantClass || *p.Spec.PreemptionPolicy != tc.wantPolicy {
				t.Errorf("%v; %v", err, p.Spec)
			}
		})
	}
	old := pod(func(p *corev1.Pod) { p.Spec.Priority = ptr(int32(5)) })
	p := pod()
	update := create(p)
	update.Operation, update.Old = admission.Update, old
	if err := (admission.Priority{Read: none}).Admit(t.Context(), update); err != nil || *p.Spec.Priority != 5 {
		t.Errorf("an update lost the priority: %v, %v", p.Spec.Priority, err)
	}
}

func TestPriorityClassesAreKept(t *testing.T) {
	some := cluster{priorityClass("usual", 5, true, corev1.PreemptLowerPriority)}
	remove := func(name string) *admission.Request {
		r := create(priorityClass(name, 0, false, corev1.PreemptNever))
		r.Operation, r.Object = admission.Delete, nil
		return r
	}
	for _, tc := range []struct {
		name    string
		request *admission.Request
		refusal string
	}{
		{"a second default", create(priorityClass("other", 1, true, corev1.PreemptNever)), "PriorityClass usual is already marked as default"},
		{"the same again", create(priorityClass("usual", 5, true, corev1.PreemptLowerPriority)), ""},
		{"no default", create(priorityClass("other", 1, false, corev1.PreemptNever)), ""},
		{"delete a built-in class", remove("system-node-critical"), "cannot be deleted"},
		{"delete another", remove("usual"), ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			err := admission.Priority{Read: some}.Validate(t.Context(), tc.request)
			if (err != nil) != (tc.refusal != "") || err != nil && !strings.Contains(err.Error(), tc.refusal) {
				t.Errorf("%v, want %q", err, tc.refusal)
			}
		})
	}
}
