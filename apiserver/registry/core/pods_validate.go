package core

import (
	"strconv"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/miniorch/miniorch/apiserver/registry/podspec"
)

func validatePod(p *corev1.Pod) field.ErrorList {
	path := field.NewPath("spec")
	errs := podspec.ValidatePodSpec(&p.Spec, path)
	if len(p.Spec.EphemeralContainers) > 0 && p.ResourceVersion == "" {
		errs = append(errs, field.Forbidden(path.Child("ephemeralContainers"), "cannot be set on create"))
	}
	if cost, ok := p.Annotations[corev1.PodDeletionCost]; ok {
		if _, err := strconv.ParseInt(cost, 10, 32); err != nil {
			errs = append(errs, field.Invalid(field.NewPath("metadata", "annotations").Key(corev1.PodDeletionCost), cost, "must be a 32bit integer"))
		}
	}
	return errs
}
