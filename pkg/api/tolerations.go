package api

import (
	"strconv"

	corev1 "k8s.io/api/core/v1"
)

// Tolerates tells whether one toleration covers a taint. An empty effect covers all
// effects, an empty key with Exists all taints.
func Tolerates(t *corev1.Toleration, taint *corev1.Taint) bool {
	if t.Effect != "" && t.Effect != taint.Effect {
		return false
	}
	if t.Key != "" && t.Key != taint.Key {
		return false
	}
	switch t.Operator {
	case corev1.TolerationOpExists:
		return true
	case "", corev1.TolerationOpEqual:
		return t.Key == taint.Key && t.Value == taint.Value
	case corev1.TolerationOpLt, corev1.TolerationOpGt:
		return t.Key == taint.Key && compares(taint.Value, t.Value, t.Operator)
	}
	return false
}

// compares tells whether the taint's whole number is less (Lt) or greater (Gt) than the toleration's.
func compares(taint, toleration string, op corev1.TolerationOperator) bool {
	a, err := strconv.ParseInt(taint, 10, 64)
	if err != nil {
		return false
	}
	b, err := strconv.ParseInt(toleration, 10, 64)
	if err != nil {
		return false
	}
	if op == corev1.TolerationOpLt {
		return a < b
	}
	return a > b
}

// Untolerated returns the first of the taints with one of the effects that none of the
// tolerations covers.
func Untolerated(taints []corev1.Taint, tolerations []corev1.Toleration, effects ...corev1.TaintEffect) (*corev1.Taint, bool) {
	for i := range taints {
		if hasEffect(taints[i].Effect, effects) && !anyTolerates(tolerations, &taints[i]) {
			return &taints[i], true
		}
	}
	return nil, false
}

func hasEffect(effect corev1.TaintEffect, effects []corev1.TaintEffect) bool {
	for _, e := range effects {
		if e == effect {
			return true
		}
	}
	return false
}

func anyTolerates(tolerations []corev1.Toleration, taint *corev1.Taint) bool {
	for i := range tolerations {
		if Tolerates(&tolerations[i], taint) {
			return true
		}
	}
	return false
}
