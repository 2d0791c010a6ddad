package job

import (
	"fmt"
	"slices"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
)

// verdict is what a job's pod failure policy makes of one failed pod.
type verdict struct {
	Action  batchv1.PodFailurePolicyAction // empty: no rule matches, which counts
	Message string                         // of FailJob
}

// counts tells whether the failure is one of those that are limited.
func (v verdict) counts() bool { return v.Action != batchv1.PodFailurePolicyActionIgnore }

// judge finds the first rule that matches a failed pod.
func judge(j *batchv1.Job, p *corev1.Pod) verdict {
	if j.Spec.PodFailurePolicy == nil {
		return verdict{}
	}
	for i, rule := range j.Spec.PodFailurePolicy.Rules {
		why := matchExitCodes(p, rule.OnExitCodes)
		if why == "" {
			why = matchConditions(p, rule.OnPodConditions)
		}
		if why != "" {
			return verdict{rule.Action, fmt.Sprintf("%s matching %s rule at index %d", why, rule.Action, i)}
		}
	}
	return verdict{}
}

// matchExitCodes says which container ended with one of the codes; empty: none did.
func matchExitCodes(p *corev1.Pod, r *batchv1.PodFailurePolicyOnExitCodesRequirement) string {
	if r == nil {
		return ""
	}
	for _, c := range slices.Concat(p.Status.ContainerStatuses, p.Status.InitContainerStatuses) {
		t := c.State.Terminated
		if t == nil || t.ExitCode == 0 || r.ContainerName != nil && *r.ContainerName != c.Name {
			continue
		}
		if slices.Contains(r.Values, t.ExitCode) == (r.Operator == batchv1.PodFailurePolicyOnExitCodesOpIn) {
			return fmt.Sprintf("Container %s for pod %s/%s failed with exit code %d", c.Name, p.Namespace, p.Name, t.ExitCode)
		}
	}
	return ""
}

// matchConditions says which condition of the pod is as one of the patterns wants it; empty: none is.
func matchConditions(p *corev1.Pod, patterns []batchv1.PodFailurePolicyOnPodConditionsPattern) string {
	for _, c := range p.Status.Conditions {
		for _, want := range patterns {
			if c.Type == want.Type && c.Status == want.Status {
				return fmt.Sprintf("Pod %s/%s has condition %s", p.Namespace, p.Name, c.Type)
			}
		}
	}
	return ""
}
