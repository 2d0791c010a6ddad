package registry

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

func warnPodSpec(s *corev1.PodSpec, path *field.Path) []string { return nil }
