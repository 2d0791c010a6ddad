package apps

import (
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/ptr"

	"github.com/miniorch/miniorch/apiserver/alike"
	"github.com/miniorch/miniorch/apiserver/registry/kind"
	"github.com/miniorch/miniorch/apiserver/registry/podspec"
	"github.com/miniorch/miniorch/apiserver/resource"
)

func statefulSets() resource.Descriptor {
	return kind.Describe(kind.Of[*appsv1.StatefulSet]{
		Singular:   "statefulset",
		ShortNames: []string{"sts"},
		Categories: []string{"all"},
		New:        func() *appsv1.StatefulSet { return &appsv1.StatefulSet{} },
		NewList:    func() runtime.Object { return &appsv1.StatefulSetList{} },
		Defaults:   defaultStatefulSet,
		// Pods are called by the set's name and a number, and that is their host name too.
		ValidateName:        validation.NameIsDNSLabel,
		PrepareCreate:       prepareStatefulSetCreate,
		PrepareUpdate:       prepareStatefulSetUpdate,
		Validate:            validateStatefulSet,
		ValidateUpdate:      validateStatefulSetUpdate,
		Warnings:            warnStatefulSet,
		UnconditionalUpdate: true,
		Columns:             statefulSetColumns(),
		Subresources: []resource.Subresource{
			kind.StatusOf(func(s, old *appsv1.StatefulSet) { s.Spec = old.Spec }, validateStatefulSetStatus),
			kind.ScaleOf(func(s *appsv1.StatefulSet) kind.Scalable {
				return kind.Scalable{
					Desired: s.Spec.Replicas, Replicas: s.Status.Replicas, Selector: s.Spec.Selector,
					Set: func(n int32) { s.Spec.Replicas = &n },
				}
			}),
		},
	})
}

func statefulSetColumns() []kind.Column[*appsv1.StatefulSet] {
	columns := []kind.Column[*appsv1.StatefulSet]{
		kind.NameColumn[*appsv1.StatefulSet](),
		kind.TextColumn("Ready", "How many pods are ready, of how many.", func(s *appsv1.StatefulSet) string {
			return fmt.Sprintf("%d/%d", s.Status.ReadyReplicas, ptr.Deref(s.Spec.Replicas, 0))
		}),
		kind.AgeColumn[*appsv1.StatefulSet](),
	}
	wide := podspec.WorkloadColumns(
		func(s *appsv1.StatefulSet) *corev1.PodTemplateSpec { return &s.Spec.Template },
		func(s *appsv1.StatefulSet) *metav1.LabelSelector { return s.Spec.Selector })
	return append(columns, wide[:2]...) // without the selector, as people know it
}

func defaultStatefulSet(set *appsv1.StatefulSet) {
	s := &set.Spec
	if s.PodManagementPolicy == "" {
		s.PodManagementPolicy = appsv1.OrderedReadyPodManagement
	}
	if s.UpdateStrategy.Type == "" {
		s.UpdateStrategy.Type = appsv1.RollingUpdateStatefulSetStrategyType
	}
	if s.UpdateStrategy.Type == appsv1.RollingUpdateStatefulSetStrategyType {
		if s.UpdateStrategy.RollingUpdate == nil {
			s.UpdateStrategy.RollingUpdate = &appsv1.RollingUpdateStatefulSetStrategy{}
		}
		kind.SetDefault(&s.UpdateStrategy.RollingUpdate.Partition, 0)
		kind.SetDefault(&s.UpdateStrategy.RollingUpdate.MaxUnavailable, intstr.FromInt32(1))
	}
	if s.PersistentVolumeClaimRetentionPolicy == nil {
		s.PersistentVolumeClaimRetentionPolicy = &appsv1.StatefulSetPersistentVolumeClaimRetentionPolicy{}
	}
	for _, when := range []*appsv1.PersistentVolumeClaimRetentionPolicyType{
		&s.PersistentVolumeClaimRetentionPolicy.WhenDeleted, &s.PersistentVolumeClaimRetentionPolicy.WhenScaled,
	} {
		if *when == "" {
			*when = appsv1.RetainPersistentVolumeClaimRetentionPolicyType
		}
	}
	kind.SetDefault(&s.Replicas, 1)
	kind.SetDefault(&s.RevisionHistoryLimit, 10)
	for i := range s.VolumeClaimTemplates {
		c := &s.VolumeClaimTemplates[i]
		c.TypeMeta = metav1.TypeMeta{} // it is not stored, so that it must not look like a change
		kind.SetDefault(&c.Spec.VolumeMode, corev1.PersistentVolumeFilesystem)
		if c.Status.Phase == "" {
			c.Status.Phase = corev1.ClaimPending
		}
	}
	podspec.DefaultPodSpec(&s.Template.Spec)
}

func prepareStatefulSetCreate(s *appsv1.StatefulSet) {
	s.Status = appsv1.StatefulSetStatus{}
	s.Generation = 1
}

func prepareStatefulSetUpdate(s, old *appsv1.StatefulSet) {
	s.Status = old.Status
	s.Generation = old.Generation
	if !alike.Equal(&s.Spec, &old.Spec) {
		s.Generation++
	}
}

func warnStatefulSet(s, old *appsv1.StatefulSet, isUpdate bool) []string {
	if isUpdate && alike.Equal(&s.Spec.Template, &old.Spec.Template) {
		return nil
	}
	return podspec.WarnPodSpec(&s.Spec.Template.Spec, field.NewPath("spec", "template", "spec"))
}
