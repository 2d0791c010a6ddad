package registry

import (
	"strconv"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/ptr"

	"github.com/miniorch/miniorch/apiserver/resource"
)

func replicaSets() resource.Descriptor {
	return describe(kind[*appsv1.ReplicaSet]{
		singular:            "replicaset",
		shortNames:          []string{"rs"},
		categories:          []string{"all"},
		new:                 func() *appsv1.ReplicaSet { return &appsv1.ReplicaSet{} },
		newList:             func() runtime.Object { return &appsv1.ReplicaSetList{} },
		defaults:            defaultReplicaSet,
		prepareCreate:       prepareReplicaSetCreate,
		prepareUpdate:       prepareReplicaSetUpdate,
		validate:            validateReplicaSet,
		validateUpdate:      validateReplicaSetUpdate,
		warnings:            warnReplicaSet,
		unconditionalUpdate: true,
		fieldNames:          []string{"status.replicas"},
		fields: func(rs *appsv1.ReplicaSet) fields.Set {
			return fields.Set{"status.replicas": strconv.Itoa(int(rs.Status.Replicas))}
		},
		columns: replicaSetColumns(),
		subresources: []resource.Subresource{
			statusOf(func(rs, old *appsv1.ReplicaSet) { rs.Spec = old.Spec }, validateReplicaSetStatus),
			scaleOf(func(rs *appsv1.ReplicaSet) scalable {
				return scalable{rs.Spec.Replicas, rs.Status.Replicas, rs.Spec.Selector,
					func(n int32) { rs.Spec.Replicas = &n }}
			}),
		},
	})
}

func replicaSetColumns() []column[*appsv1.ReplicaSet] {
	columns := []column[*appsv1.ReplicaSet]{
		nameColumn[*appsv1.ReplicaSet](),
		countColumn("Desired", "How many pods there should be.",
			func(rs *appsv1.ReplicaSet) int64 { return int64(ptr.Deref(rs.Spec.Replicas, 0)) }),
		countColumn("Current", "How many pods there are.",
			func(rs *appsv1.ReplicaSet) int64 { return int64(rs.Status.Replicas) }),
		countColumn("Ready", "How many of them are ready.",
			func(rs *appsv1.ReplicaSet) int64 { return int64(rs.Status.ReadyReplicas) }),
		ageColumn[*appsv1.ReplicaSet](),
	}
	return append(columns, workloadColumns(
		func(rs *appsv1.ReplicaSet) *corev1.PodTemplateSpec { return &rs.Spec.Template },
		func(rs *appsv1.ReplicaSet) *metav1.LabelSelector { return rs.Spec.Selector })...)
}

func defaultReplicaSet(rs *appsv1.ReplicaSet) {
	if rs.Spec.Replicas == nil {
		rs.Spec.Replicas = ptr.To[int32](1)
	}
	defaultPodSpec(&rs.Spec.Template.Spec)
}

func prepareReplicaSetCreate(rs *appsv1.ReplicaSet) {
	rs.Status = appsv1.ReplicaSetStatus{}
	rs.Generation = 1
}

func prepareReplicaSetUpdate(rs, old *appsv1.ReplicaSet) {
	rs.Status = old.Status
	rs.Generation = old.Generation
	if !equality.Semantic.DeepEqual(rs.Spec, old.Spec) {
		rs.Generation++
	}
}

func validateReplicaSet(rs *appsv1.ReplicaSet) field.ErrorList {
	return validateWorkload(rs.Spec.Replicas, rs.Spec.MinReadySeconds, rs.Spec.Selector, &rs.Spec.Template)
}

func validateReplicaSetUpdate(rs, old *appsv1.ReplicaSet) field.ErrorList {
	return sameSelector(rs.Spec.Selector, old.Spec.Selector)
}

func validateReplicaSetStatus(rs, _ *appsv1.ReplicaSet) field.ErrorList {
	s := rs.Status
	errs := validateReplicaCounts(s.Replicas, s.FullyLabeledReplicas, s.ReadyReplicas, s.AvailableReplicas, s.ObservedGeneration)
	return append(errs, notNegative(ptr.Deref(s.TerminatingReplicas, 0), field.NewPath("status", "terminatingReplicas"))...)
}

// validateReplicaCounts checks that the counts can be true together.
func validateReplicaCounts(replicas, labelled, ready, available int32, generation int64) field.ErrorList {
	path := field.NewPath("status")
	errs := notNegative(replicas, path.Child("replicas"))
	errs = append(errs, notNegative(labelled, path.Child("fullyLabeledReplicas"))...)
	errs = append(errs, notNegative(ready, path.Child("readyReplicas"))...)
	errs = append(errs, notNegative(available, path.Child("availableReplicas"))...)
	errs = append(errs, notNegative(generation, path.Child("observedGeneration"))...)
	atMost := func(name string, n, limit int32, limitName string) {
		if n > limit {
			errs = append(errs, field.Invalid(path.Child(name), n, "cannot be greater than "+limitName))
		}
	}
	atMost("fullyLabeledReplicas", labelled, replicas, "status.replicas")
	atMost("readyReplicas", ready, replicas, "status.replicas")
	atMost("availableReplicas", available, replicas, "status.replicas")
	atMost("availableReplicas", available, ready, "readyReplicas")
	return errs
}

func warnReplicaSet(rs, old *appsv1.ReplicaSet, isUpdate bool) []string {
	if isUpdate && equality.Semantic.DeepEqual(rs.Spec.Template, old.Spec.Template) {
		return nil
	}
	return warnPodSpec(&rs.Spec.Template.Spec, field.NewPath("spec", "template", "spec"))
}
