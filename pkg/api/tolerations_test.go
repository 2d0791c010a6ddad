package api

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
)

func TestTolerates(t *testing.T) {
	taint := corev1.Taint{Key: "k", Value: "v", Effect: corev1.TaintEffectNoSchedule}
	number := corev1.Taint{Key: "k", Value: "10", Effect: corev1.TaintEffectNoSchedule}
	for _, c := range []struct {
		name       string
		toleration corev1.Toleration
		taint      corev1.Taint
		want       bool
	}{
		{"equal", corev1.Toleration{Key: "k", Value: "v"}, taint, true},
		{"equal by name", corev1.Toleration{Key: "k", Operator: corev1.TolerationOpEqual, Value: "v", Effect: corev1.TaintEffectNoSchedule}, taint, true},
		{"other value", corev1.Toleration{Key: "k", Value: "w"}, taint, false},
		{"other key", corev1.Toleration{Key: "l", Value: "v"}, taint, false},
		{"other effect", corev1.Toleration{Key: "k", Value: "v", Effect: corev1.TaintEffectNoExecute}, taint, false},
		{"exists", corev1.Toleration{Key: "k", Operator: corev1.TolerationOpExists}, taint, true},
		{"everything", corev1.Toleration{Operator: corev1.TolerationOpExists}, taint, true},
		{"nothing", corev1.Toleration{}, taint, false},
		{"less", corev1.Toleration{Key: "k", Operator: corev1.TolerationOpLt, Value: "11"}, number, true},
		{"not less", corev1.Toleration{Key: "k", Operator: corev1.TolerationOpLt, Value: "10"}, number, false},
		{"greater", corev1.Toleration{Key: "k", Operator: corev1.TolerationOpGt, Value: "9"}, number, true},
		{"no number", corev1.Toleration{Key: "k", Operator: corev1.TolerationOpGt, Value: "9"}, taint, false},
		{"unknown operator", corev1.Toleration{Key: "k", Operator: "Like", Value: "v"}, taint, false},
	} {
		if got := Tolerates(&c.toleration, &c.taint); got != c.want {
			t.Errorf("%s: %t, want %t", c.name, got, c.want)
		}
	}
}

func TestUntolerated(t *testing.T) {
	taints := []corev1.Taint{{Key: "a", Effect: corev1.TaintEffectPreferNoSchedule}, {Key: "b", Effect: corev1.TaintEffectNoSchedule}}
	got, found := Untolerated(taints, nil, corev1.TaintEffectNoSchedule, corev1.TaintEffectNoExecute)
	if !found || got.Key != "b" {
		t.Errorf("the first that keeps pods away is %v", got)
	}
	if got, found := Untolerated(taints, []corev1.Toleration{{Key: "b", Operator: corev1.TolerationOpExists}}, corev1.TaintEffectNoSchedule); found {
		t.Errorf("%v is tolerated", got)
	}
}
