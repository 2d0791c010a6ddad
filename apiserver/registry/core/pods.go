package core

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/miniorch/miniorch/apiserver/alike"
	"github.com/miniorch/miniorch/apiserver/registry/kind"
	"github.com/miniorch/miniorch/apiserver/registry/podspec"
	"github.com/miniorch/miniorch/apiserver/resource"
	"github.com/miniorch/miniorch/pkg/api"
)

func pods() resource.Descriptor {
	return kind.Describe(kind.Of[*corev1.Pod]{
		Singular:            "pod",
		ShortNames:          []string{"po"},
		Categories:          []string{"all"},
		New:                 func() *corev1.Pod { return &corev1.Pod{} },
		NewList:             func() runtime.Object { return &corev1.PodList{} },
		Defaults:            func(p *corev1.Pod) { podspec.DefaultPod(p) },
		PrepareCreate:       preparePodCreate,
		PrepareUpdate:       preparePodUpdate,
		Validate:            validatePod,
		ValidateUpdate:      validatePodUpdate,
		Warnings:            warnPod,
		UnconditionalUpdate: true,
		GracePeriod:         podGracePeriod,
		FieldNames: []string{
			"spec.nodeName", "spec.restartPolicy", "spec.schedulerName", "spec.serviceAccountName", "spec.hostNetwork",
			"status.phase", "status.podIP", "status.nominatedNodeName",
		},
		Fields:       podFields,
		Columns:      podColumns(),
		Subresources: podSubresources(),
	})
}

// connectVerbs are those of a subresource that is a connection.
var connectVerbs = []string{"create", "get"}

// proxyOf is the subresource behind which an object's own server answers.
func proxyOf(options string) resource.Subresource {
	return resource.Subresource{Name: "proxy", Kind: options, Verbs: []string{"create", "delete", "get", "patch", "update"}}
}

func podSubresources() []resource.Subresource {
	return []resource.Subresource{
		kind.StatusOf(preparePodStatus, validatePodStatusUpdate),
		{Name: "binding", Version: "v1", Kind: "Binding", Verbs: []string{"create"}},
		{Name: "eviction", Group: "policy", Version: "v1", Kind: "Eviction", Verbs: []string{"create"}},
		podResize(),
		podEphemeralContainers(),
		{Name: "log", Verbs: []string{"get"}},
		{Name: "exec", Kind: "PodExecOptions", Verbs: connectVerbs},
		{Name: "attach", Kind: "PodAttachOptions", Verbs: connectVerbs},
		{Name: "portforward", Kind: "PodPortForwardOptions", Verbs: connectVerbs},
		proxyOf("PodProxyOptions"),
	}
}

func podFields(p *corev1.Pod) fields.Set {
	return fields.Set{
		"spec.nodeName":            p.Spec.NodeName,
		"spec.restartPolicy":       string(p.Spec.RestartPolicy),
		"spec.schedulerName":       p.Spec.SchedulerName,
		"spec.serviceAccountName":  p.Spec.ServiceAccountName,
		"spec.hostNetwork":         fmt.Sprint(p.Spec.HostNetwork),
		"status.phase":             string(p.Status.Phase),
		"status.podIP":             p.Status.PodIP,
		"status.nominatedNodeName": p.Status.NominatedNodeName,
	}
}

func preparePodCreate(p *corev1.Pod) {
	p.Generation = 1
	podspec.MergeLabelKeys(p)
	p.Status = corev1.PodStatus{Phase: corev1.PodPending, QOSClass: api.PodQOS(p)}
	if len(p.Spec.SchedulingGates) > 0 {
		p.Status.Conditions = []corev1.PodCondition{{
			Type:    corev1.PodScheduled,
			Status:  corev1.ConditionFalse,
			Reason:  corev1.PodReasonSchedulingGated,
			Message: "Scheduling is blocked due to non-empty scheduling gates",
		}}
	}
}

func preparePodUpdate(p, old *corev1.Pod) {
	p.Status = old.Status
	p.Generation = old.Generation
	if !alike.Equal(&p.Spec, &old.Spec) {
		p.Generation++
	}
}

// preparePodStatus lets a status update change labels and annotations, as Kubernetes
// does, but not the spec nor who owns the pod nor whether it is being deleted.
func preparePodStatus(p, old *corev1.Pod) {
	p.Spec = old.Spec
	p.DeletionTimestamp = old.DeletionTimestamp
	p.OwnerReferences = old.OwnerReferences
	if p.Status.QOSClass == "" {
		p.Status.QOSClass = old.Status.QOSClass // it follows from the spec
	}
}

// podGracePeriod gives a pod the time that was asked for, else what its spec says. A pod
// that nothing runs goes at once.
func podGracePeriod(p *corev1.Pod, asked *int64) int64 {
	switch {
	case p.Spec.NodeName == "", api.IsPodTerminal(p), api.IsMirrorPod(p):
		return 0
	case asked != nil:
		return *asked
	case p.Spec.TerminationGracePeriodSeconds == nil:
	case *p.Spec.TerminationGracePeriodSeconds < 0:
		return 1 // as it is documented; a warning was given
	default:
		return *p.Spec.TerminationGracePeriodSeconds
	}
	return podspec.DefaultTerminationGracePeriod
}

func warnPod(p, old *corev1.Pod, isUpdate bool) []string {
	if isUpdate && alike.Equal(&p.Spec, &old.Spec) {
		return nil
	}
	return podspec.WarnPodSpec(&p.Spec, field.NewPath("spec"))
}
