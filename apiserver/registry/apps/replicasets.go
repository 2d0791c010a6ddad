package apps

import (
	"strconv"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/ptr"

	"github.com/miniorch/miniorch/apiserver/alike"
	"github.com/miniorch/miniorch/apiserver/registry/kind"
	"github.com/miniorch/miniorch/apiserver/registry/podspec"
	"github.com/miniorch/miniorch/apiserver/resource"
)

func replicaSets() resource.Descriptor {
	return kind.Describe(kind.Of[*appsv1.ReplicaSet]{
		Singular:            "replicaset",
		ShortNames:          []string{"rs"},
		Categories:          []string{"all"},
		New:                 func() *appsv1.ReplicaSet { return &appsv1.ReplicaSet{} },
		NewList:             func() runtime.Object { return &appsv1.ReplicaSetList{} },
		Defaults:            defaultReplicaSet,
		PrepareCreate:       prepareReplicaSetCreate,
		PrepareUpdate:       prepareReplicaSetUpdate,
		Validate:            validateReplicaSet,
		ValidateUpdate:      validateReplicaSetUpdate,
		Warnings:            warnReplicaSet,
		UnconditionalUpdate: true,
		FieldNames:          []string{"status.replicas"},
		Fields: func(rs *appsv1.ReplicaSet) fields.Set {
			return fields.Set{"status.replicas": strconv.Itoa(int(rs.Status.Replicas))}
		},
		Columns: replicaSetColumns(),
		Subresources: []resource.Subresource{
			kind.StatusOf(func(rs, old *appsv1.ReplicaSet) { rs.Spec = old.Spec }, validateReplicaSetStatus),
			kind.ScaleOf(func(rs *appsv1.ReplicaSet) kind.Scalable {
				return kind.Scalable{
					Desired: rs.Spec.Replicas, Replicas: rs.Status.Replicas, Selector: rs.Spec.Selector,
					Set: func(n int32) { rs.Spec.Replicas = &n },
				}
			}),
		},
	})
}

func replicaSetColumns() []kind.Column[*appsv1.ReplicaSet] {
	columns := []kind.Column[*appsv1.ReplicaSet]{
		kind.NameColumn[*appsv1.ReplicaSet](),
		kind.CountColumn("Desired", "How many pods there should be.",
			func(rs *appsv1.ReplicaSet) int64 { return int64(ptr.Deref(rs.Spec.Replicas, 0)) }),
		kind.CountColumn("Current", "How many pods there are.",
			func(rs *appsv1.ReplicaSet) int64 { return int64(rs.Status.Replicas) }),
		kind.CountColumn("Ready", "How many of them are ready.",
			func(rs *appsv1.ReplicaSet) int64 { return int64(rs.Status.ReadyReplicas) }),
		kind.AgeColumn[*appsv1.ReplicaSet](),
	}
	return append(columns, podspec.WorkloadColumns(
		func(rs *appsv1.ReplicaSet) *corev1.PodTemplateSpec { return &rs.Spec.Template },
		func(rs *appsv1.ReplicaSet) *metav1.LabelSelector { return rs.Spec.Selector })...)
}

func defaultReplicaSet(rs *appsv1.ReplicaSet) {
	if rs.Spec.Replicas == nil {
		rs.Spec.Replicas = ptr.To[int32](1)
	}
	podspec.DefaultPodSpec(&rs.Spec.Template.Spec)
}

func prepareReplicaSetCreate(rs *appsv1.ReplicaSet) {
	rs.Status = appsv1.ReplicaSetStatus{}
	rs.Generation = 1
}

func prepareReplicaSetUpdate(rs, old *appsv1.ReplicaSet) {
	rs.Status = old.Status
	rs.Generation = old.Generation
	if !alike.Equal(&rs.Spec, &old.Spec) {
		rs.Generation++
	}
}

func validateReplicaSet(rs *appsv1.ReplicaSet) field.ErrorList {
	return podspec.ValidateWorkload(rs.Spec.Replicas, rs.Spec.MinReadySeconds, rs.Spec.Selector, &rs.Spec.Template)
}

func validateReplicaSetUpdate(rs, old *appsv1.ReplicaSet) field.ErrorList {
	return podspec.SameSelector(rs.Spec.Selector, old.Spec.Selector)
}

func validateReplicaSetStatus(rs, _ *appsv1.ReplicaSet) field.ErrorList {
	s := rs.Status
	errs := podspec.ValidateReplicaCounts(s.Replicas, s.FullyLabeledReplicas, s.ReadyReplicas, s.AvailableReplicas, s.ObservedGeneration)
	return append(errs, kind.NotNegative(ptr.Deref(s.TerminatingReplicas, 0), field.NewPath("status", "terminatingReplicas"))...)
}

func warnReplicaSet(rs, old *appsv1.ReplicaSet, isUpdate bool) []string {
	if isUpdate && alike.Equal(&rs.Spec.Template, &old.Spec.Template) {
		return nil
	}
	return podspec.WarnPodSpec(&rs.Spec.Template.Spec, field.NewPath("spec", "template", "spec"))
}
