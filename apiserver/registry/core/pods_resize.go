package core

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/miniorch/miniorch/apiserver/alike"
	"github.com/miniorch/miniorch/apiserver/registry/kind"
	"github.com/miniorch/miniorch/apiserver/registry/podspec"
	"github.com/miniorch/miniorch/apiserver/resource"
	"github.com/miniorch/miniorch/pkg/api"
)

// podResize is where a running pod's containers are given more or less CPU and memory. Nothing
// else of the pod changes through this door, whatever the body says.
func podResize() resource.Subresource {
	return resource.Subresource{
		Name: "resize", Verbs: []string{"get", "patch", "update"},
		PrepareUpdate: kind.Prepares(func(p, old *corev1.Pod) {
			sizes := p.Spec
			keepPod(p, old)
			copySizes(p.Spec.Containers, sizes.Containers)
			copySizes(p.Spec.InitContainers, sizes.InitContainers)
			if sizes.Resources != nil {
				p.Spec.Resources = sizes.Resources
			}
			countSpec(p, old)
		}),
		ValidateUpdate: kind.Validates(validateResize),
	}
}

// podEphemeralContainers is where a container is added to a running pod, to look around there.
func podEphemeralContainers() resource.Subresource {
	return resource.Subresource{
		Name: "ephemeralcontainers", Verbs: []string{"get", "patch", "update"},
		PrepareUpdate: kind.Prepares(func(p, old *corev1.Pod) {
			added := p.Spec.EphemeralContainers
			keepPod(p, old)
			p.Spec.EphemeralContainers = added
			countSpec(p, old)
		}),
		ValidateUpdate: kind.Validates(validateEphemeralUpdate),
	}
}

// keepPod makes p the pod that it was, at the version that the writer named.
func keepPod(p, old *corev1.Pod) {
	version, fields := p.ResourceVersion, p.ManagedFields
	old.DeepCopyInto(p)
	p.ResourceVersion, p.ManagedFields = version, fields
}

func countSpec(p, old *corev1.Pod) {
	p.Generation = old.Generation
	if !alike.Equal(&p.Spec, &old.Spec) {
		p.Generation++
	}
}

// copySizes takes over resources and how a change of them is made, of containers that are there.
func copySizes(into, from []corev1.Container) {
	for i := range into {
		n := slices.IndexFunc(from, func(c corev1.Container) bool { return c.Name == into[i].Name })
		if n >= 0 {
			into[i].Resources, into[i].ResizePolicy = from[n].Resources, from[n].ResizePolicy
		}
	}
}

// validateResize wants CPU and memory to change and nothing else: neither what sort of service
// the pod gets, nor whether there is a request or a limit at all.
func validateResize(p, old *corev1.Pod) field.ErrorList {
	path := field.NewPath("spec")
	if api.IsMirrorPod(old) {
		return field.ErrorList{field.Forbidden(field.NewPath(""), "static pods cannot be resized")}
	}
	errs := podspec.ValidatePodSpec(&p.Spec, path)
	errs = append(errs, resizedContainers(p.Spec.Containers, old.Spec.Containers, path.Child("containers"))...)
	for i := range p.Spec.InitContainers {
		is, was, at := &p.Spec.InitContainers[i], &old.Spec.InitContainers[i], path.Child("initContainers").Index(i)
		if !api.IsSidecar(is) && !equality.Semantic.DeepEqual(is.Resources, was.Resources) {
			errs = append(errs, field.Forbidden(at.Child("resources"), "only sidecar init containers can be resized"))
			continue
		}
		errs = append(errs, resized(&is.Resources, &was.Resources, at.Child("resources"))...)
	}
	if !equality.Semantic.DeepEqual(p.Spec.Resources, old.Spec.Resources) {
		errs = append(errs, field.Forbidden(path.Child("resources"), "the nodes resize containers, not a pod as a whole; make the pod anew"))
	}
	if api.PodQOS(p) != api.PodQOS(old) {
		errs = append(errs, field.Invalid(path, api.PodQOS(p), "Pod QOS Class may not change as a result of resizing"))
	}
	return errs
}

func resizedContainers(is, was []corev1.Container, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i := range is {
		at := path.Index(i)
		errs = append(errs, resized(&is[i].Resources, &was[i].Resources, at.Child("resources"))...)
		if !equality.Semantic.DeepEqual(is[i].ResizePolicy, was[i].ResizePolicy) {
			errs = append(errs, field.Forbidden(at.Child("resizePolicy"), "only cpu and memory resources are mutable"))
		}
	}
	return errs
}

func resized(is, was *corev1.ResourceRequirements, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	for _, list := range []struct {
		name    string
		is, was corev1.ResourceList
	}{{"limits", is.Limits, was.Limits}, {"requests", is.Requests, was.Requests}} {
		at := path.Child(list.name)
		for _, name := range kind.SortedNames(list.was) {
			now, there := list.is[name]
			before := list.was[name]
			switch {
			case !there:
				errs = append(errs, field.Forbidden(at.Key(string(name)), "resource "+list.name+" cannot be removed"))
			case now.Cmp(before) != 0 && !resizable(name):
				errs = append(errs, field.Forbidden(at.Key(string(name)), "only cpu and memory resources are mutable"))
			}
		}
		for _, name := range kind.SortedNames(list.is) {
			if _, there := list.was[name]; !there && !resizable(name) {
				errs = append(errs, field.Forbidden(at.Key(string(name)), "only cpu and memory resources are mutable"))
			}
		}
	}
	if !equality.Semantic.DeepEqual(is.Claims, was.Claims) {
		errs = append(errs, field.Forbidden(path.Child("claims"), "only cpu and memory resources are mutable"))
	}
	return errs
}

func resizable(name corev1.ResourceName) bool {
	return name == corev1.ResourceCPU || name == corev1.ResourceMemory
}

// validateEphemeralUpdate lets ephemeral containers be added: one that is there may be
// running, and neither changes nor goes.
func validateEphemeralUpdate(p, old *corev1.Pod) field.ErrorList {
	path := field.NewPath("spec", "ephemeralContainers")
	errs := podspec.ValidatePodSpec(&p.Spec, field.NewPath("spec"))
	if api.IsMirrorPod(old) {
		errs = append(errs, field.Forbidden(field.NewPath(""), "static pods do not support ephemeral containers"))
	}
	for _, was := range old.Spec.EphemeralContainers {
		i := slices.IndexFunc(p.Spec.EphemeralContainers, func(c corev1.EphemeralContainer) bool { return c.Name == was.Name })
		switch {
		case i < 0:
			errs = append(errs, field.Forbidden(path, "existing ephemeral containers \""+was.Name+"\" may not be removed"))
		case !equality.Semantic.DeepEqual(p.Spec.EphemeralContainers[i], was):
			errs = append(errs, field.Forbidden(path, "existing ephemeral containers \""+was.Name+"\" may not be changed"))
		}
	}
	return errs
}
