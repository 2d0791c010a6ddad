package podspec

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/miniorch/miniorch/apiserver/registry/kind"
)

// asContainer shows an ephemeral container as what it shares with all others.
func asContainer(e *corev1.EphemeralContainer) *corev1.Container {
	return (*corev1.Container)(&e.EphemeralContainerCommon)
}

// ephemeralContainers checks what somebody put into a running pod to look around there: it
// comes without a place in the pod's life and without resources of its own.
func (c *podSpecCheck) ephemeralContainers(names map[string]bool, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i := range c.spec.EphemeralContainers {
		e, at := &c.spec.EphemeralContainers[i], path.Index(i)
		if target := e.TargetContainerName; target != "" && !c.hasContainer(target) {
			errs = append(errs, field.NotFound(at.Child("targetContainerName"), target))
		}
		ctr := asContainer(e)
		errs = append(errs, c.anyContainer(ctr, names, at)...)
		errs = append(errs, kind.Forbidden(at, "cannot be set for an Ephemeral Container",
			kind.Given{Name: "ports", Set: len(ctr.Ports) > 0},
			kind.Given{Name: "resources", Set: len(ctr.Resources.Limits)+len(ctr.Resources.Requests)+len(ctr.Resources.Claims) > 0},
			kind.Given{Name: "resizePolicy", Set: len(ctr.ResizePolicy) > 0},
			kind.Given{Name: "restartPolicy", Set: ctr.RestartPolicy != nil},
			kind.Given{Name: "restartPolicyRules", Set: len(ctr.RestartPolicyRules) > 0},
			kind.Given{Name: "lifecycle", Set: ctr.Lifecycle != nil},
			kind.Given{Name: "livenessProbe", Set: ctr.LivenessProbe != nil},
			kind.Given{Name: "readinessProbe", Set: ctr.ReadinessProbe != nil},
			kind.Given{Name: "startupProbe", Set: ctr.StartupProbe != nil})...)
		for n, m := range ctr.VolumeMounts {
			errs = append(errs, kind.Forbidden(at.Child("volumeMounts").Index(n), "cannot be set for an Ephemeral Container",
				kind.Given{Name: "subPath", Set: m.SubPath != ""}, kind.Given{Name: "subPathExpr", Set: m.SubPathExpr != ""})...)
		}
	}
	return errs
}

// hasContainer tells whether the pod has a container of that name that is not ephemeral.
func (c *podSpecCheck) hasContainer(name string) bool {
	for _, containers := range [][]corev1.Container{c.spec.Containers, c.spec.InitContainers} {
		for i := range containers {
			if containers[i].Name == name {
				return true
			}
		}
	}
	return false
}
