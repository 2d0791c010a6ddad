package registry

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

func validatePod(p *corev1.Pod) field.ErrorList                            { return nil }
func validatePodUpdate(p, old *corev1.Pod) field.ErrorList                 { return nil }
func validatePodStatusUpdate(p, old *corev1.Pod) field.ErrorList           { return nil }
func validateEphemeralContainersUpdate(p, old *corev1.Pod) field.ErrorList { return nil }
func warnPodSpec(s *corev1.PodSpec, path *field.Path) []string             { return nil }
