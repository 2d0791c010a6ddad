package core

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	utilvalidation "k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/miniorch/miniorch/apiserver/registry/kind"
	"github.com/miniorch/miniorch/apiserver/resource"
)

func namespaces() resource.Descriptor {
	return kind.Describe(kind.Of[*corev1.Namespace]{
		Singular:            "namespace",
		ShortNames:          []string{"ns"},
		New:                 func() *corev1.Namespace { return &corev1.Namespace{} },
		NewList:             func() runtime.Object { return &corev1.NamespaceList{} },
		Defaults:            defaultNamespace,
		PrepareCreate:       prepareNamespaceCreate,
		PrepareUpdate:       prepareNamespaceUpdate,
		Validate:            validateNamespace,
		ValidateName:        validation.NameIsDNSLabel,
		UnconditionalUpdate: true,
		NoDeleteCollection:  true,
		FieldNames:          []string{"status.phase"},
		Fields: func(ns *corev1.Namespace) fields.Set {
			return fields.Set{"status.phase": string(ns.Status.Phase)}
		},
		Columns: []kind.Column[*corev1.Namespace]{
			kind.NameColumn[*corev1.Namespace](),
			kind.TextColumn("Status", "The phase of the namespace: Active or Terminating.",
				func(ns *corev1.Namespace) string { return string(ns.Status.Phase) }),
			kind.AgeColumn[*corev1.Namespace](),
		},
		Subresources: []resource.Subresource{
			kind.StatusOf(prepareNamespaceStatus, validateNamespaceStatus),
			namespaceFinalize(),
		},
	})
}

// namespaceFinalize is where the namespace controller takes its finalizer off the spec
// when the namespace is empty.
func namespaceFinalize() resource.Subresource {
	return resource.Subresource{
		Name:  "finalize",
		Verbs: []string{"update"},
		PrepareUpdate: kind.Prepares(func(obj, old *corev1.Namespace) {
			obj.Status = old.Status
		}),
	}
}

// defaultNamespace keeps the label by which selectors find a namespace by name. A
// namespace that is made with generateName gets it on the next write.
func defaultNamespace(ns *corev1.Namespace) {
	if ns.Status.Phase == "" {
		ns.Status.Phase = corev1.NamespaceActive
	}
	if ns.Name == "" {
		return
	}
	if ns.Labels == nil {
		ns.Labels = map[string]string{}
	}
	ns.Labels[corev1.LabelMetadataName] = ns.Name
}

func prepareNamespaceCreate(ns *corev1.Namespace) {
	ns.Status = corev1.NamespaceStatus{Phase: corev1.NamespaceActive}
	if !slices.Contains(ns.Spec.Finalizers, corev1.FinalizerKubernetes) {
		ns.Spec.Finalizers = append(ns.Spec.Finalizers, corev1.FinalizerKubernetes)
	}
	defaultNamespace(ns) // the name may have been generated since
}

func prepareNamespaceUpdate(ns, old *corev1.Namespace) {
	ns.Spec.Finalizers = old.Spec.Finalizers // only /finalize may change them
	ns.Status = old.Status
}

func prepareNamespaceStatus(ns, old *corev1.Namespace) { ns.Spec = old.Spec }

func validateNamespace(ns *corev1.Namespace) field.ErrorList {
	var errs field.ErrorList
	path := field.NewPath("spec", "finalizers")
	for i, f := range ns.Spec.Finalizers {
		at := path.Index(i)
		for _, msg := range utilvalidation.IsQualifiedName(string(f)) {
			errs = append(errs, field.Invalid(at, f, msg))
		}
		if f != corev1.FinalizerKubernetes && !strings.Contains(string(f), "/") {
			errs = append(errs, field.Invalid(at, f, "name is neither a standard finalizer name nor is it fully qualified"))
		}
	}
	return errs
}

func validateNamespaceStatus(ns, _ *corev1.Namespace) field.ErrorList {
	path := field.NewPath("status", "phase")
	if ns.DeletionTimestamp.IsZero() && ns.Status.Phase != corev1.NamespaceActive {
		return field.ErrorList{field.Invalid(path, ns.Status.Phase, "may only be 'Active' if `deletionTimestamp` is empty")}
	}
	if !ns.DeletionTimestamp.IsZero() && ns.Status.Phase != corev1.NamespaceTerminating {
		return field.ErrorList{field.Invalid(path, ns.Status.Phase, "may only be 'Terminating' if `deletionTimestamp` is not empty")}
	}
	return nil
}
