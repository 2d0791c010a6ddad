package registry

import (
	"maps"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/ptr"

	"github.com/miniorch/miniorch/apiserver/resource"
)

func replicationControllers() resource.Descriptor {
	return describe(kind[*corev1.ReplicationController]{
		singular:            "replicationcontroller",
		shortNames:          []string{"rc"},
		categories:          []string{"all"},
		new:                 func() *corev1.ReplicationController { return &corev1.ReplicationController{} },
		newList:             func() runtime.Object { return &corev1.ReplicationControllerList{} },
		defaults:            defaultReplicationController,
		prepareCreate:       prepareReplicationControllerCreate,
		prepareUpdate:       prepareReplicationControllerUpdate,
		validate:            validateReplicationController,
		warnings:            warnReplicationController,
		unconditionalUpdate: true,
		propagation:         metav1.DeletePropagationOrphan,
		fieldNames:          []string{"status.replicas"},
		fields: func(rc *corev1.ReplicationController) fields.Set {
			return fields.Set{"status.replicas": strconv.Itoa(int(rc.Status.Replicas))}
		},
		columns: replicationControllerColumns(),
		subresources: []resource.Subresource{
			statusOf(func(rc, old *corev1.ReplicationController) { rc.Spec = old.Spec }, validateReplicationControllerStatus),
			scaleOf(func(rc *corev1.ReplicationController) scalable {
				return scalable{rc.Spec.Replicas, rc.Status.Replicas, controllerSelector(rc),
					func(n int32) { rc.Spec.Replicas = &n }}
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

func replicationControllerColumns() []column[*corev1.ReplicationController] {
	columns := []column[*corev1.ReplicationController]{
		nameColumn[*corev1.ReplicationController](),
		countColumn("Desired", "How many pods there should be.",
			func(rc *corev1.ReplicationController) int64 { return int64(ptr.Deref(rc.Spec.Replicas, 0)) }),
		countColumn("Current", "How many pods there are.",
			func(rc *corev1.ReplicationController) int64 { return int64(rc.Status.Replicas) }),
		countColumn("Ready", "How many of them are ready.",
			func(rc *corev1.ReplicationController) int64 { return int64(rc.Status.ReadyReplicas) }),
		ageColumn[*corev1.ReplicationController](),
	}
	return append(columns, workloadColumns(controllerTemplate, controllerSelector)...)
}

// defaultReplicationController takes labels and selector from the template, as this oldest
// of the workloads does and apps/v1 does no more.
func defaultReplicationController(rc *corev1.ReplicationController) {
	setDefault(&rc.Spec.Replicas, 1)
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
	defaultPodSpec(&t.Spec)
}

func prepareReplicationControllerCreate(rc *corev1.ReplicationController) {
	rc.Status = corev1.ReplicationControllerStatus{}
	rc.Generation = 1
}

func prepareReplicationControllerUpdate(rc, old *corev1.ReplicationController) {
	rc.Status = old.Status
	rc.Generation = old.Generation
	if !equality.Semantic.DeepEqual(rc.Spec, old.Spec) {
		rc.Generation++
	}
}

func validateReplicationController(rc *corev1.ReplicationController) field.ErrorList {
	path, s := field.NewPath("spec"), &rc.Spec
	errs := notNegative(s.MinReadySeconds, path.Child("minReadySeconds"))
	if len(s.Selector) == 0 {
		errs = append(errs, field.Required(path.Child("selector"), ""))
	}
	if s.Replicas == nil {
		errs = append(errs, field.Required(path.Child("replicas"), ""))
	} else {
		errs = append(errs, notNegative(*s.Replicas, path.Child("replicas"))...)
	}
	template := path.Child("template")
	if s.Template == nil {
		return append(errs, field.Required(template, ""))
	}
	if len(s.Selector) > 0 && !labels.SelectorFromSet(s.Selector).Matches(labels.Set(s.Template.Labels)) {
		errs = append(errs, field.Invalid(template.Child("metadata", "labels"), s.Template.Labels,
			"`selector` does not match template `labels`"))
	}
	return append(errs, validatePodTemplate(s.Template, template)...)
}

func validateReplicationControllerStatus(rc, _ *corev1.ReplicationController) field.ErrorList {
	s := rc.Status
	return validateReplicaCounts(s.Replicas, s.FullyLabeledReplicas, s.ReadyReplicas, s.AvailableReplicas, s.ObservedGeneration)
}

func warnReplicationController(rc, old *corev1.ReplicationController, isUpdate bool) []string {
	if rc.Spec.Template == nil || isUpdate && equality.Semantic.DeepEqual(rc.Spec.Template, old.Spec.Template) {
		return nil
	}
	return warnPodSpec(&rc.Spec.Template.Spec, field.NewPath("spec", "template", "spec"))
}
