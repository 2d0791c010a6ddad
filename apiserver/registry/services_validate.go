package registry

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

func prepareServiceCreate(s *corev1.Service)      { s.Status = corev1.ServiceStatus{} }
func prepareServiceUpdate(s, old *corev1.Service) { s.Status = old.Status }

func validateService(s *corev1.Service) field.ErrorList            { return nil }
func validateServiceUpdate(s, old *corev1.Service) field.ErrorList { return nil }
func validateServiceStatus(s, old *corev1.Service) field.ErrorList { return nil }
func warnService(s, _ *corev1.Service, _ bool) []string            { return nil }
