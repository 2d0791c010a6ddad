package registry

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

func defaultNode(n *corev1.Node) {}

func validateNode(n *corev1.Node) field.ErrorList                  { return nil }
func validateNodeUpdate(n, old *corev1.Node) field.ErrorList       { return nil }
func validateNodeStatusUpdate(n, old *corev1.Node) field.ErrorList { return nil }
func warnNode(n, _ *corev1.Node, _ bool) []string                  { return nil }
