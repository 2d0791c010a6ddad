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
func podColumns() []column[*corev1.Pod] {
	return []column[*corev1.Pod]{nameColumn[*corev1.Pod](), ageColumn[*corev1.Pod]()}
}
