package core

import (
	"fmt"
	"slices"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	utilvalidation "k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/miniorch/miniorch/apiserver/alike"
	"github.com/miniorch/miniorch/apiserver/registry/kind"
	"github.com/miniorch/miniorch/apiserver/registry/podspec"
)

// fixedSpec is what a client reads when it changes more of a pod than a running pod can follow.
const fixedSpec = "pod updates may not change fields other than `spec.containers[*].image`," +
	"`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations)," +
	"`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"

// validatePodUpdate allows the few changes that a pod can follow. It checks those, puts
// the old values into a copy, and wants the rest to be the same.
func validatePodUpdate(p, old *corev1.Pod) field.ErrorList {
	if alike.Equal(&p.Spec, &old.Spec) {
		return nil
	}
	path := field.NewPath("spec")
	var errs field.ErrorList
	if len(p.Spec.Containers) != len(old.Spec.Containers) {
		errs = append(errs, field.Forbidden(path.Child("containers"), "pod updates may not add or remove containers"))
	}
	if len(p.Spec.InitContainers) != len(old.Spec.InitContainers) {
		errs = append(errs, field.Forbidden(path.Child("initContainers"), "pod updates may not add or remove containers"))
	}
	if len(errs) > 0 {
		return errs
	}
	errs = append(errs, validateDeadlineUpdate(p.Spec.ActiveDeadlineSeconds, old.Spec.ActiveDeadlineSeconds, path.Child("activeDeadlineSeconds"))...)
	errs = append(errs, validateTolerationsUpdate(p.Spec.Tolerations, old.Spec.Tolerations, path.Child("tolerations"))...)
	errs = append(errs, validateGatesUpdate(p.Spec.SchedulingGates, old.Spec.SchedulingGates, path.Child("schedulingGates"))...)
	if len(errs) > 0 {
		return errs
	}
	rest := p.Spec.DeepCopy()
	undoAllowed(rest, &old.Spec)
	if len(old.Spec.SchedulingGates) > 0 {
		errs = append(errs, validateGatedUpdate(rest, &old.Spec, path)...)
	}
	if !alike.Equal(rest, &old.Spec) {
		errs = append(errs, field.Forbidden(path, fixedSpec+"\n"+differences(&old.Spec, rest)))
	}
	return errs
}

// undoAllowed puts the old values of all fields that may change into spec.
func undoAllowed(spec, old *corev1.PodSpec) {
	for i := range spec.Containers {
		spec.Containers[i].Image = old.Containers[i].Image
	}
	for i := range spec.InitContainers {
		spec.InitContainers[i].Image = old.InitContainers[i].Image
	}
	spec.ActiveDeadlineSeconds = old.ActiveDeadlineSeconds
	spec.Tolerations = old.Tolerations
	spec.SchedulingGates = old.SchedulingGates
	if g, was := spec.TerminationGracePeriodSeconds, old.TerminationGracePeriodSeconds; g != nil && *g == 1 && was != nil && *was < 0 {
		spec.TerminationGracePeriodSeconds = was
	}
}

// differences shows what differs, field by field. Quantities are compared by value.
func differences(old, is *corev1.PodSpec) string {
	return cmp.Diff(old, is)
}

// validateDeadlineUpdate lets a deadline be set and be brought nearer.
func validateDeadlineUpdate(is, was *int64, path *field.Path) field.ErrorList {
	switch {
	case was == nil:
		return nil
	case is == nil:
		return field.ErrorList{field.Invalid(path, is, "must not update from a positive integer to nil value")}
	case *is > *was:
		return field.ErrorList{field.Invalid(path, *is, "must be less than or equal to previous value")}
	}
	return nil
}

// validateTolerationsUpdate lets tolerations be added, and their time be changed.
func validateTolerationsUpdate(is, was []corev1.Toleration, path *field.Path) field.ErrorList {
	untimed := func(t corev1.Toleration) corev1.Toleration {
		t.TolerationSeconds = nil
		return t
	}
	for _, t := range was {
		if !slices.ContainsFunc(is, func(n corev1.Toleration) bool { return untimed(n) == untimed(t) }) {
			return field.ErrorList{field.Forbidden(path, "existing toleration can not be modified except its tolerationSeconds")}
		}
	}
	return nil
}

// validateGatesUpdate lets gates be taken away.
func validateGatesUpdate(is, was []corev1.PodSchedulingGate, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i, g := range is {
		if !slices.Contains(was, g) {
			errs = append(errs, field.Forbidden(path.Index(i), fmt.Sprintf("only deletion is allowed, but found new scheduling gate '%s'", g.Name)))
		}
	}
	return errs
}

// validateGatedUpdate lets a pod that is held back ask for less choice of nodes: nobody
// has chosen yet. What it allows it puts back to the old value.
func validateGatedUpdate(spec, old *corev1.PodSpec, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	for key, value := range old.NodeSelector {
		if is, ok := spec.NodeSelector[key]; !ok || is != value {
			errs = append(errs, field.Invalid(path.Child("nodeSelector"), spec.NodeSelector, "nodeSelector can only add and not delete or change keys"))
			break
		}
	}
	spec.NodeSelector = old.NodeSelector
	is, was := requiredTerms(spec), requiredTerms(old)
	if len(was) > 0 && !onlyNarrower(is, was) {
		errs = append(errs, field.Invalid(path.Child("affinity", "nodeAffinity", podspec.Required, "nodeSelectorTerms"), len(is),
			"no additions/deletions to non-empty NodeSelectorTerms list are allowed; a term may only gain requirements"))
	}
	if spec.Affinity != nil {
		var nodeAffinity *corev1.NodeAffinity
		if old.Affinity != nil {
			nodeAffinity = old.Affinity.NodeAffinity
		}
		spec.Affinity.NodeAffinity = nodeAffinity
		if old.Affinity == nil && *spec.Affinity == (corev1.Affinity{}) {
			spec.Affinity = nil
		}
	}
	return errs
}

func requiredTerms(s *corev1.PodSpec) []corev1.NodeSelectorTerm {
	if s.Affinity == nil || s.Affinity.NodeAffinity == nil || s.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution == nil {
		return nil
	}
	return s.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms
}

// onlyNarrower tells whether each term still has all its requirements, first and in order.
func onlyNarrower(is, was []corev1.NodeSelectorTerm) bool {
	if len(is) != len(was) {
		return false
	}
	starts := func(all, with []corev1.NodeSelectorRequirement) bool {
		return len(all) >= len(with) && equality.Semantic.DeepEqual(all[:len(with)], with)
	}
	for i := range was {
		if !starts(is[i].MatchExpressions, was[i].MatchExpressions) || !starts(is[i].MatchFields, was[i].MatchFields) {
			return false
		}
	}
	return true
}

// validatePodStatusUpdate refuses a status that contradicts the one before.
func validatePodStatusUpdate(p, old *corev1.Pod) field.ErrorList {
	path := field.NewPath("status")
	var errs field.ErrorList
	if was := old.Status.QOSClass; was != "" && p.Status.QOSClass != was {
		errs = append(errs, field.Invalid(path.Child("qosClass"), p.Status.QOSClass, kind.Immutable))
	}
	if n := p.Status.NominatedNodeName; n != "" {
		errs = append(errs, kind.Invalids(path.Child("nominatedNodeName"), n, utilvalidation.IsDNS1123Subdomain(n))...)
	}
	for i, ip := range p.Status.PodIPs {
		errs = append(errs, utilvalidation.IsValidIPForLegacyField(path.Child("podIPs").Index(i), ip.IP, false, nil)...)
	}
	if len(p.Status.PodIPs) > 0 && p.Status.PodIP != p.Status.PodIPs[0].IP {
		errs = append(errs, field.Invalid(path.Child("podIPs").Index(0).Child("ip"), p.Status.PodIPs[0].IP, "must be equal to `podIP`"))
	}
	errs = append(errs, staysEnded(p.Status.ContainerStatuses, old.Status.ContainerStatuses, &old.Spec, path.Child("containerStatuses"))...)
	return errs
}

// staysEnded refuses to bring a container back to life that the restart policy leaves dead.
func staysEnded(is, was []corev1.ContainerStatus, spec *corev1.PodSpec, path *field.Path) field.ErrorList {
	if spec.RestartPolicy == corev1.RestartPolicyAlways {
		return nil
	}
	var errs field.ErrorList
	for _, before := range was {
		t := before.State.Terminated
		if t == nil || (spec.RestartPolicy == corev1.RestartPolicyOnFailure && t.ExitCode != 0) || restartsByRule(spec, before.Name) {
			continue
		}
		for i, now := range is {
			if now.Name == before.Name && now.State.Terminated == nil {
				errs = append(errs, field.Forbidden(path.Index(i).Child("state"), "may not be transitioned to non-terminated state"))
			}
		}
	}
	return errs
}

// restartsByRule tells whether a container has a restart policy of its own.
func restartsByRule(spec *corev1.PodSpec, name string) bool {
	return slices.ContainsFunc(spec.Containers, func(c corev1.Container) bool {
		return c.Name == name && c.RestartPolicy != nil
	})
}
