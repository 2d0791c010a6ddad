package registry

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

	"github.com/miniorch/miniorch/apiserver/resource"
)

func deployments() resource.Descriptor {
	return describe(kind[*appsv1.Deployment]{
		singular:            "deployment",
		shortNames:          []string{"deploy"},
		categories:          []string{"all"},
		new:                 func() *appsv1.Deployment { return &appsv1.Deployment{} },
		newList:             func() runtime.Object { return &appsv1.DeploymentList{} },
		defaults:            defaultDeployment,
		prepareCreate:       prepareDeploymentCreate,
		prepareUpdate:       prepareDeploymentUpdate,
		validate:            validateDeployment,
		validateUpdate:      validateDeploymentUpdate,
		warnings:            warnDeployment,
		unconditionalUpdate: true,
		columns:             deploymentColumns(),
		subresources: []resource.Subresource{
			statusOf(prepareDeploymentStatus, validateDeploymentStatus),
			scaleOf(func(d *appsv1.Deployment) scalable {
				return scalable{d.Spec.Replicas, d.Status.Replicas, d.Spec.Selector,
					func(n int32) { d.Spec.Replicas = &n }}
			}),
		},
	})
}

func deploymentColumns() []column[*appsv1.Deployment] {
	columns := []column[*appsv1.Deployment]{
		nameColumn[*appsv1.Deployment](),
		textColumn("Ready", "How many pods are ready, of how many.", func(d *appsv1.Deployment) string {
			return fmt.Sprintf("%d/%d", d.Status.ReadyReplicas, ptr.Deref(d.Spec.Replicas, 0))
		}),
		countColumn("Up-to-date", "How many pods are of the newest template.",
			func(d *appsv1.Deployment) int64 { return int64(d.Status.UpdatedReplicas) }),
		countColumn("Available", "How many pods were ready for minReadySeconds.",
			func(d *appsv1.Deployment) int64 { return int64(d.Status.AvailableReplicas) }),
		ageColumn[*appsv1.Deployment](),
	}
	return append(columns, workloadColumns(
		func(d *appsv1.Deployment) *corev1.PodTemplateSpec { return &d.Spec.Template },
		func(d *appsv1.Deployment) *metav1.LabelSelector { return d.Spec.Selector })...)
}

func defaultDeployment(d *appsv1.Deployment) {
	s := &d.Spec
	setDefault(&s.Replicas, 1)
	setDefault(&s.RevisionHistoryLimit, 10)
	setDefault(&s.ProgressDeadlineSeconds, 600)
	if s.Strategy.Type == "" {
		s.Strategy.Type = appsv1.RollingUpdateDeploymentStrategyType
	}
	if s.Strategy.Type == appsv1.RollingUpdateDeploymentStrategyType {
		if s.Strategy.RollingUpdate == nil {
			s.Strategy.RollingUpdate = &appsv1.RollingUpdateDeployment{}
		}
		setDefault(&s.Strategy.RollingUpdate.MaxUnavailable, intstr.FromString("25%"))
		setDefault(&s.Strategy.RollingUpdate.MaxSurge, intstr.FromString("25%"))
	}
	defaultPodSpec(&s.Template.Spec)
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
	if !equality.Semantic.DeepEqual(d.Spec, old.Spec) || !equality.Semantic.DeepEqual(d.Annotations, old.Annotations) {
		d.Generation++
	}
}

func prepareDeploymentStatus(d, old *appsv1.Deployment) {
	d.Spec = old.Spec
	d.Labels = old.Labels
}

func warnDeployment(d, old *appsv1.Deployment, isUpdate bool) []string {
	if isUpdate && equality.Semantic.DeepEqual(d.Spec.Template, old.Spec.Template) {
		return nil
	}
	return warnPodSpec(&d.Spec.Template.Spec, field.NewPath("spec", "template", "spec"))
}
