package core

import (
	"maps"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/ptr"

	"github.com/miniorch/miniorch/apiserver/alike"
	"github.com/miniorch/miniorch/apiserver/registry/kind"
	"github.com/miniorch/miniorch/apiserver/registry/podspec"
	"github.com/miniorch/miniorch/apiserver/resource"
)

func replicationControllers() resource.Descriptor {
	return kind.Describe(kind.Of[*corev1.ReplicationController]{
		Singular:            "replicationcontroller",
		ShortNames:          []string{"rc"},
		Categories:          []string{"all"},
		New:                 func() *corev1.ReplicationController { return &corev1.ReplicationController{} },
		NewList:             func() runtime.Object { return &corev1.ReplicationControllerList{} },
		Defaults:            defaultReplicationController,
		PrepareCreate:       prepareReplicationControllerCreate,
		PrepareUpdate:       prepareReplicationControllerUpdate,
		Validate:            validateReplicationController,
		Warnings:            warnReplicationController,
		UnconditionalUpdate: true,
		Propagation:         metav1.DeletePropagationOrphan,
		FieldNames:          []string{"status.replicas"},
		Fields: func(rc *corev1.ReplicationController) fields.Set {
			return fields.Set{"status.replicas": strconv.Itoa(int(rc.Status.Replicas))}
		},
		Columns: replicationControllerColumns(),
		Subresources: []resource.Subresource{
			kind.StatusOf(func(rc, old *corev1.ReplicationController) { rc.Spec = old.Spec }, validateReplicationControllerStatus),
			kind.ScaleOf(func(rc *corev1.ReplicationController) kind.Scalable {
				return kind.Scalable{
					Desired: rc.Spec.Replicas, Replicas: rc.Status.Replicas, Selector: controllerSelector(rc),
					Set: func(n int32) { rc.Spec.Replicas = &n },
				}
			}),
		},
	})
}

// controllerSelector is the selector in the form that newer kinds have. No labels select nothing.
func controllerSelector(rc *corev1.ReplicationController) *metav1.LabelSelector {
	if len(rc.Spec.Selector) == 0 {
		return nil
	}
	return &metav1.LabelSelector{MatchLabels: rc.Spec.Selector}
}

// controllerTemplate is the template, or an empty one: validation wants one, reading must not fail.
func controllerTemplate(rc *corev1.ReplicationController) *corev1.PodTemplateSpec {
	if rc.Spec.Template == nil {
		return &corev1.PodTemplateSpec{}
	}
	return rc.Spec.Template
}

func replicationControllerColumns() []kind.Column[*corev1.ReplicationController] {
	columns := []kind.Column[*corev1.ReplicationController]{
		kind.NameColumn[*corev1.ReplicationController](),
		kind.CountColumn("Desired", "How many pods there should be.",
			func(rc *corev1.ReplicationController) int64 { return int64(ptr.Deref(rc.Spec.Replicas, 0)) }),
		kind.CountColumn("Current", "How many pods there are.",
			func(rc *corev1.ReplicationController) int64 { return int64(rc.Status.Replicas) }),
		kind.CountColumn("Ready", "How many of them are ready.",
			func(rc *corev1.ReplicationController) int64 { return int64(rc.Status.ReadyReplicas) }),
		kind.AgeColumn[*corev1.ReplicationController](),
	}
	return append(columns, podspec.WorkloadColumns(controllerTemplate, controllerSelector)...)
}

// defaultReplicationController takes labels and selector from the template, as this oldest
// of the workloads does and apps/v1 does no more.
func defaultReplicationController(rc *corev1.ReplicationController) {
	kind.SetDefault(&rc.Spec.Replicas, 1)
	t := rc.Spec.Template
	if t == nil {
		return
	}
	if len(rc.Spec.Selector) == 0 {
		rc.Spec.Selector = maps.Clone(t.Labels)
	}
	if len(rc.Labels) == 0 {
		rc.Labels = maps.Clone(t.Labels)
	}
	podspec.DefaultPodSpec(&t.Spec)
}

func prepareReplicationControllerCreate(rc *corev1.ReplicationController) {
	rc.Status = corev1.ReplicationControllerStatus{}
	rc.Generation = 1
}

func prepareReplicationControllerUpdate(rc, old *corev1.ReplicationController) {
	rc.Status = old.Status
	rc.Generation = old.Generation
	if !alike.Equal(&rc.Spec, &old.Spec) {
		rc.Generation++
	}
}

func validateReplicationController(rc *corev1.ReplicationController) field.ErrorList {
	path, s := field.NewPath("spec"), &rc.Spec
	errs := kind.NotNegative(s.MinReadySeconds, path.Child("minReadySeconds"))
	if len(s.Selector) == 0 {
		errs = append(errs, field.Required(path.Child("selector"), ""))
	}
	if s.Replicas == nil {
		errs = append(errs, field.Required(path.Child("replicas"), ""))
	} else {
		errs = append(errs, kind.NotNegative(*s.Replicas, path.Child("replicas"))...)
	}
	template := path.Child("template")
	if s.Template == nil {
		return append(errs, field.Required(template, ""))
	}
	if len(s.Selector) > 0 && !labels.SelectorFromSet(s.Selector).Matches(labels.Set(s.Template.Labels)) {
		errs = append(errs, field.Invalid(template.Child("metadata", "labels"), s.Template.Labels,
			"`selector` does not match template `labels`"))
	}
	return append(errs, podspec.ValidatePodTemplate(s.Template, template)...)
}

func validateReplicationControllerStatus(rc, _ *corev1.ReplicationController) field.ErrorList {
	s := rc.Status
	return podspec.ValidateReplicaCounts(s.Replicas, s.FullyLabeledReplicas, s.ReadyReplicas, s.AvailableReplicas, s.ObservedGeneration)
}

func warnReplicationController(rc, old *corev1.ReplicationController, isUpdate bool) []string {
	if rc.Spec.Template == nil || isUpdate && alike.Equal(&rc.Spec.Template, &old.Spec.Template) {
		return nil
	}
	return podspec.WarnPodSpec(&rc.Spec.Template.Spec, field.NewPath("spec", "template", "spec"))
}
