package core

import (
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/miniorch/miniorch/apiserver/registry/kind"
	"github.com/miniorch/miniorch/apiserver/resource"
)

func configMaps() resource.Descriptor {
	return kind.Describe(kind.Of[*corev1.ConfigMap]{
		Singular:            "configmap",
		ShortNames:          []string{"cm"},
		New:                 func() *corev1.ConfigMap { return &corev1.ConfigMap{} },
		NewList:             func() runtime.Object { return &corev1.ConfigMapList{} },
		Validate:            validateConfigMap,
		ValidateUpdate:      validateConfigMapUpdate,
		UnconditionalUpdate: true,
		Columns: []kind.Column[*corev1.ConfigMap]{
			kind.NameColumn[*corev1.ConfigMap](),
			kind.CountColumn("Data", "How many keys it has.", func(c *corev1.ConfigMap) int64 {
				return int64(len(c.Data) + len(c.BinaryData))
			}),
			kind.AgeColumn[*corev1.ConfigMap](),
		},
	})
}

func validateConfigMap(c *corev1.ConfigMap) field.ErrorList {
	textSize, errs := validateDataKeys(c.Data, field.NewPath("data"))
	binarySize, more := validateDataKeys(c.BinaryData, field.NewPath("binaryData"))
	errs = append(errs, more...)
	for _, key := range slices.Sorted(maps.Keys(c.Data)) {
		if _, twice := c.BinaryData[key]; twice {
			errs = append(errs, field.Invalid(field.NewPath("data").Key(key), key, "duplicate of key present in binaryData"))
		}
	}
	return append(errs, validateDataSize(textSize+binarySize)...)
}

func validateConfigMapUpdate(c, old *corev1.ConfigMap) field.ErrorList {
	return frozen(old.Immutable, c.Immutable, map[string]bool{
		"data":       !equality.Semantic.DeepEqual(c.Data, old.Data),
		"binaryData": !equality.Semantic.DeepEqual(c.BinaryData, old.BinaryData),
	})
}
