package apps

import (
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
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

func deployments() resource.Descriptor {
	return kind.Describe(kind.Of[*appsv1.Deployment]{
		Singular:            "deployment",
		ShortNames:          []string{"deploy"},
		Categories:          []string{"all"},
		New:                 func() *appsv1.Deployment { return &appsv1.Deployment{} },
		NewList:             func() runtime.Object { return &appsv1.DeploymentList{} },
		Defaults:            defaultDeployment,
		PrepareCreate:       prepareDeploymentCreate,
		PrepareUpdate:       prepareDeploymentUpdate,
		Validate:            validateDeployment,
		ValidateUpdate:      validateDeploymentUpdate,
		Warnings:            warnDeployment,
		UnconditionalUpdate: true,
		Columns:             deploymentColumns(),
		Subresources: []resource.Subresource{
			kind.StatusOf(prepareDeploymentStatus, validateDeploymentStatus),
			kind.ScaleOf(func(d *appsv1.Deployment) kind.Scalable {
				return kind.Scalable{
					Desired: d.Spec.Replicas, Replicas: d.Status.Replicas, Selector: d.Spec.Selector,
					Set: func(n int32) { d.Spec.Replicas = &n },
				}
			}),
		},
	})
}

func deploymentColumns() []kind.Column[*appsv1.Deployment] {
	columns := []kind.Column[*appsv1.Deployment]{
		kind.NameColumn[*appsv1.Deployment](),
		kind.TextColumn("Ready", "How many pods are ready, of how many.", func(d *appsv1.Deployment) string {
			return fmt.Sprintf("%d/%d", d.Status.ReadyReplicas, ptr.Deref(d.Spec.Replicas, 0))
		}),
		kind.CountColumn("Up-to-date", "How many pods are of the newest template.",
			func(d *appsv1.Deployment) int64 { return int64(d.Status.UpdatedReplicas) }),
		kind.CountColumn("Available", "How many pods were ready for minReadySeconds.",
			func(d *appsv1.Deployment) int64 { return int64(d.Status.AvailableReplicas) }),
		kind.AgeColumn[*appsv1.Deployment](),
	}
	return append(columns, podspec.WorkloadColumns(
		func(d *appsv1.Deployment) *corev1.PodTemplateSpec { return &d.Spec.Template },
		func(d *appsv1.Deployment) *metav1.LabelSelector { return d.Spec.Selector })...)
}

func defaultDeployment(d *appsv1.Deployment) {
	s := &d.Spec
	kind.SetDefault(&s.Replicas, 1)
	kind.SetDefault(&s.RevisionHistoryLimit, 10)
	kind.SetDefault(&s.ProgressDeadlineSeconds, 600)
	if s.Strategy.Type == "" {
		s.Strategy.Type = appsv1.RollingUpdateDeploymentStrategyType
	}
	if s.Strategy.Type == appsv1.RollingUpdateDeploymentStrategyType {
		if s.Strategy.RollingUpdate == nil {
			s.Strategy.RollingUpdate = &appsv1.RollingUpdateDeployment{}
		}
		kind.SetDefault(&s.Strategy.RollingUpdate.MaxUnavailable, intstr.FromString("25%"))
		kind.SetDefault(&s.Strategy.RollingUpdate.MaxSurge, intstr.FromString("25%"))
	}
	podspec.DefaultPodSpec(&s.Template.Spec)
}

func prepareDeploymentCreate(d *appsv1.Deployment) {
	d.Status = appsv1.DeploymentStatus{}
	d.Generation = 1
}

// prepareDeploymentUpdate counts a change of annotations as well: the controller copies
// them to the ReplicaSets.
func prepareDeploymentUpdate(d, old *appsv1.Deployment) {
	d.Status = old.Status
	d.Generation = old.Generation
	if !alike.Equal(&d.Spec, &old.Spec) || !equality.Semantic.DeepEqual(d.Annotations, old.Annotations) {
		d.Generation++
	}
}

func prepareDeploymentStatus(d, old *appsv1.Deployment) {
	d.Spec = old.Spec
	d.Labels = old.Labels
}

func warnDeployment(d, old *appsv1.Deployment, isUpdate bool) []string {
	if isUpdate && alike.Equal(&d.Spec.Template, &old.Spec.Template) {
		return nil
	}
	return podspec.WarnPodSpec(&d.Spec.Template.Spec, field.NewPath("spec", "template", "spec"))
}
