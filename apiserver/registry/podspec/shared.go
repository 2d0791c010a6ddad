package podspec

import (
	corev1 "k8s.io/api/core/v1"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/miniorch/miniorch/apiserver/registry/kind"
)

// ValidateOverhead checks what a pod costs beyond its containers, in a pod as in a
// RuntimeClass, which gives it to pods.
func ValidateOverhead(overhead corev1.ResourceList, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	for _, name := range kind.SortedNames(overhead) {
		at := path.Key(string(name))
		errs = append(errs, validateContainerResourceName(name, at)...)
		errs = append(errs, ValidateQuantity(name, overhead[name], at)...)
	}
	return errs
}

// ValidateRuntimeScheduling checks where a RuntimeClass sends its pods.
func ValidateRuntimeScheduling(nodeSelector map[string]string, tolerations []corev1.Toleration, path *field.Path) field.ErrorList {
	errs := metavalidation.ValidateLabels(nodeSelector, path.Child("nodeSelector"))
	errs = append(errs, validateTolerations(tolerations, path.Child("tolerations"))...)
	for i, t := range tolerations {
		for _, earlier := range tolerations[:i] {
			if t.MatchToleration(&earlier) {
				errs = append(errs, field.Duplicate(path.Child("tolerations").Index(i), t))
				break
			}
		}
	}
	return errs
}

// ValidateResourceName refuses what no container can ask for.
func ValidateResourceName(name corev1.ResourceName, path *field.Path) field.ErrorList {
	return validateContainerResourceName(name, path)
}

// CanOvercommit tells whether a node may promise more of a resource than it has.
func CanOvercommit(name corev1.ResourceName) bool { return canOvercommit(name) }
