package rootca

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
)

func TestDecide(t *testing.T) {
	right := decide(&corev1.Namespace{}, nil, "pem").Create
	wrong := right.DeepCopy()
	wrong.Data["ca.crt"] = "forged"
	more := right.DeepCopy()
	more.Data["extra"] = ""
	cases := []struct {
		reason string
		ns     *corev1.Namespace
		have   *corev1.ConfigMap
		want   string
	}{
		{"a live namespace gets the bundle", &corev1.Namespace{}, nil, "publish"},
		{"once", &corev1.Namespace{}, right, "nothing"},
		{"what was changed is restored", &corev1.Namespace{}, wrong, "restore"},
		{"what was added is removed", &corev1.Namespace{}, more, "restore"},
		{"a namespace on its way out gets none", &corev1.Namespace{Status: corev1.NamespaceStatus{Phase: corev1.NamespaceTerminating}}, nil, "nothing"},
		{"no namespace, no bundle", nil, nil, "nothing"},
	}
	for _, tc := range cases {
		t.Run(tc.reason, func(t *testing.T) {
			if got := decide(tc.ns, tc.have, "pem").String(); got != tc.want {
				t.Errorf("decide = %s, want %s", got, tc.want)
			}
		})
	}
}
