package namespace

import (
	"errors"
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/miniorch/miniorch/pkg/api"
)

var (
	now     = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	pods    = api.ResourceFor[*corev1.Pod]()
	secrets = api.ResourceFor[*corev1.Secret]()
)

func going() *corev1.Namespace {
	return &corev1.Namespace{
		ObjectMeta: metav1.ObjectMeta{Name: "ns", DeletionTimestamp: ptr.To(metav1.NewTime(now))},
		Spec:       corev1.NamespaceSpec{Finalizers: []corev1.FinalizerName{corev1.FinalizerKubernetes}},
		Status:     corev1.NamespaceStatus{Phase: corev1.NamespaceTerminating},
	}
}

func TestDecide(t *testing.T) {
	finalized := going()
	finalized.Spec.Finalizers = nil
	cases := []struct {
		reason string
		o      observed
		want   string
	}{
		{"an empty namespace goes", observed{Namespace: going()}, "finalize"},
		{"a live one stays", observed{Namespace: &corev1.Namespace{Spec: going().Spec}, Content: []Content{{Resource: pods, Count: 1, Pending: 1}}}, "delete [], wait for 0 objects"},
		{"one that was finalized already is left alone", observed{Namespace: finalized}, "delete [], wait for 0 objects"},
		{"pods go first", observed{Namespace: going(), Content: []Content{{Resource: pods, Count: 2, Pending: 2}, {Resource: secrets, Count: 1, Pending: 1}}}, "delete [pods], wait for 3 objects"},
		{"and are waited for", observed{Namespace: going(), Content: []Content{{Resource: pods, Count: 2}, {Resource: secrets, Count: 1, Pending: 1}}}, "delete [], wait for 3 objects"},
		{"then all else goes", observed{Namespace: going(), Content: []Content{{Resource: pods}, {Resource: secrets, Count: 1, Pending: 1}}}, "delete [secrets], wait for 1 objects"},
		{"what is not known may be there", observed{Namespace: going(), Discovery: errors.New("no")}, "delete [], wait for 0 objects"},
		{"what could not be read too", observed{Namespace: going(), Failures: []error{errors.New("no")}}, "delete [], wait for 0 objects"},
	}
	for _, tc := range cases {
		t.Run(tc.reason, func(t *testing.T) {
			if got := decide(tc.o).String(); got != tc.want {
				t.Errorf("decide = %s, want %s", got, tc.want)
			}
		})
	}
}

func TestConditions(t *testing.T) {
	ns := going()
	ns.Status.Conditions = decide(observed{Namespace: ns, Now: now, Content: []Content{{Resource: pods, Count: 2, Finalizers: map[string]int{"example.com/hold": 2}}}}).Conditions
	want := []string{
		"NamespaceDeletionDiscoveryFailure=False ResourcesDiscovered: All resources successfully discovered",
		"NamespaceDeletionGroupVersionParsingFailure=False ParsedGroupVersions: All legacy kube types successfully parsed",
		"NamespaceDeletionContentFailure=False ContentDeleted: All content successfully deleted, may be waiting on finalization",
		"NamespaceContentRemaining=True SomeResourcesRemain: Some resources are remaining: pods. has 2 resource instances",
		"NamespaceFinalizersRemaining=True SomeFinalizersRemain: Some content in the namespace has finalizers remaining: example.com/hold in 2 resource instances",
	}
	for i, c := range ns.Status.Conditions {
		if got := fmt.Sprintf("%s=%s %s: %s", c.Type, c.Status, c.Reason, c.Message); got != want[i] {
			t.Errorf("condition %d is\n%s, want\n%s", i, got, want[i])
		}
	}
	later := decide(observed{Namespace: ns, Now: now.Add(time.Minute)}).Conditions
	if c := later[3]; c.Status != corev1.ConditionFalse || c.Reason != "ContentRemoved" || !c.LastTransitionTime.Time.Equal(now.Add(time.Minute)) {
		t.Errorf("ContentRemaining is %v when all is gone", c)
	}
	if c := later[0]; !c.LastTransitionTime.Time.Equal(now) {
		t.Errorf("a condition that says the same has the transition time %v, want the first one", c.LastTransitionTime)
	}
}
