package serviceaccount

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
)

func TestDecide(t *testing.T) {
	cases := []struct {
		reason string
		ns     *corev1.Namespace
		have   bool
		want   Plan
	}{
		{"a live namespace gets its account", &corev1.Namespace{}, false, create},
		{"one is enough", &corev1.Namespace{}, true, nothing},
		{"a namespace on its way out gets none", &corev1.Namespace{Status: corev1.NamespaceStatus{Phase: corev1.NamespaceTerminating}}, false, nothing},
		{"no namespace, no account", nil, false, nothing},
	}
	for _, tc := range cases {
		t.Run(tc.reason, func(t *testing.T) {
			if got := decide(tc.ns, tc.have); got != tc.want {
				t.Errorf("decide = %s, want %s", got, tc.want)
			}
		})
	}
}
