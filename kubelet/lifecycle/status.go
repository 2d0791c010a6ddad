package lifecycle

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/miniorch/miniorch/pkg/api"
)

// status returns what the pod's status should be. It builds on the stored one: conditions
// of others stay, times change only with what they are about, a terminal phase is final.
func (v *view) status() corev1.PodStatus {
	old := &v.pod.Status
	s := *old.DeepCopy()
	s.ObservedGeneration = v.pod.Generation
	if s.StartTime == nil {
		now := metav1.NewTime(v.now).Rfc3339Copy()
		s.StartTime = &now
	}
	if s.QOSClass == "" {
		s.QOSClass = api.PodQOS(v.pod)
	}
	v.addresses(&s)
	if v.Rejected != nil {
		return v.rejected(s)
	}
	s.InitContainerStatuses = v.containerStatuses(v.init, old.InitContainerStatuses)
	s.ContainerStatuses = v.containerStatuses(v.apps, old.ContainerStatuses)
	s.EphemeralContainerStatuses = v.containerStatuses(v.ephemeral, old.EphemeralContainerStatuses)
	s.Phase = v.phase(&s)
	if v.expired() && s.Reason == "" {
		s.Reason, s.Message = "DeadlineExceeded", "Pod was active on the node longer than the specified deadline"
	}
	if v.Evicted != nil && !terminal(old.Phase) {
		s.Reason, s.Message = v.Evicted.Reason, v.Evicted.Message
		v.set(&s, corev1.DisruptionTarget, true, corev1.PodReasonTerminationByKubelet, v.Evicted.Message)
	}
	v.conditions(&s)
	v.resizeConditions(&s)
	return s
}

func (v *view) addresses(s *corev1.PodStatus) {
	if len(v.HostIPs) > 0 {
		s.HostIP, s.HostIPs = v.HostIPs[0], nil
		for _, ip := range v.HostIPs {
			s.HostIPs = append(s.HostIPs, corev1.HostIP{IP: ip})
		}
	}
	ips := v.Sandbox.IPs
	if v.pod.Spec.HostNetwork && v.Sandbox.Ready {
		ips = v.HostIPs
	}
	if len(ips) > 0 {
		s.PodIP, s.PodIPs = ips[0], nil
		for _, ip := range ips {
			s.PodIPs = append(s.PodIPs, corev1.PodIP{IP: ip})
		}
	}
}

func (v *view) rejected(s corev1.PodStatus) corev1.PodStatus {
	if terminal(s.Phase) {
		return s
	}
	s.Phase, s.Reason = corev1.PodFailed, v.Rejected.Reason
	s.Message = "Pod was rejected: " + v.Rejected.Message
	return s
}

// phase folds the containers into one word.
func (v *view) phase(s *corev1.PodStatus) corev1.PodPhase {
	if terminal(v.pod.Status.Phase) {
		return v.pod.Status.Phase
	}
	if v.mustStop() && !v.anyAlive() {
		return v.finalPhase(s)
	}
	if !v.initialized() {
		return corev1.PodPending
	}
	for _, u := range v.apps {
		if u.latest == nil || u.latest.State == "created" {
			return corev1.PodPending
		}
	}
	return corev1.PodRunning
}

// finalPhase is that of a pod whose last container has ended.
func (v *view) finalPhase(s *corev1.PodStatus) corev1.PodPhase {
	cut := v.evicted() || v.expired()
	if outcome := v.outcome(); outcome != "" && !cut {
		return outcome
	}
	if cut || len(s.ContainerStatuses) == 0 {
		return corev1.PodFailed
	}
	for _, c := range s.ContainerStatuses {
		if t := c.State.Terminated; t == nil || t.ExitCode != 0 {
			return corev1.PodFailed
		}
	}
	return corev1.PodSucceeded
}

// conditions sets the conditions that the kubelet owns.
func (v *view) conditions(s *corev1.PodStatus) {
	over := terminal(s.Phase)
	v.set(s, corev1.PodReadyToStartContainers, v.Sandbox.Ready && !(v.mustStop() && !v.anyAlive()), "", "")
	v.setInitialized(s)
	ready, reason, message := containersReady(s, over)
	if reason == "" && !ready {
		reason = "ContainersNotReady"
	}
	v.set(s, corev1.ContainersReady, ready, reason, message)
	if ready {
		if missing := v.missingGates(s); len(missing) > 0 {
			ready, reason = false, "ReadinessGatesNotReady"
			message = "corresponding condition of pod readiness gate " + quoted(missing) + " does not exist or is not True."
		}
	}
	v.set(s, corev1.PodReady, ready, reason, message)
	v.set(s, corev1.PodScheduled, true, "", "") // it is here, whoever put it here
}

func (v *view) setInitialized(s *corev1.PodStatus) {
	var missing []string
	for i, u := range v.init {
		st := s.InitContainerStatuses[i]
		if !st.Ready && !(u.sidecar() && st.Started != nil && *st.Started) {
			missing = append(missing, u.spec.Name)
		}
	}
	switch {
	case len(missing) == 0 || v.initialized():
		reason := ""
		if s.Phase == corev1.PodSucceeded {
			reason = "PodCompleted"
		}
		v.set(s, corev1.PodInitialized, true, reason, "")
	default:
		v.set(s, corev1.PodInitialized, false, "ContainersNotInitialized",
			"containers with incomplete status: "+list(missing))
	}
}

func containersReady(s *corev1.PodStatus, over bool) (ready bool, reason, message string) {
	if over {
		if s.Phase == corev1.PodFailed {
			return false, "PodFailed", ""
		}
		return false, "PodCompleted", ""
	}
	var unready []string
	for _, c := range s.InitContainerStatuses {
		if c.Started != nil && *c.Started && c.State.Running != nil && !c.Ready {
			unready = append(unready, c.Name)
		}
	}
	for _, c := range s.ContainerStatuses {
		if !c.Ready {
			unready = append(unready, c.Name)
		}
	}
	if len(unready) > 0 {
		return false, "ContainersNotReady", "containers with unready status: " + list(unready)
	}
	return true, "", ""
}

// missingGates lists the readiness gates that do not hold.
func (v *view) missingGates(s *corev1.PodStatus) []string {
	var missing []string
	for _, gate := range v.pod.Spec.ReadinessGates {
		holds := slices.ContainsFunc(s.Conditions, func(c corev1.PodCondition) bool {
			return c.Type == gate.ConditionType && c.Status == corev1.ConditionTrue
		})
		if !holds {
			missing = append(missing, string(gate.ConditionType))
		}
	}
	return missing
}

// set writes one condition, in place or at the end.
func (v *view) set(s *corev1.PodStatus, t corev1.PodConditionType, holds bool, reason, message string) {
	c := corev1.PodCondition{
		Type: t, Status: corev1.ConditionFalse, Reason: reason, Message: message,
		ObservedGeneration: v.pod.Generation, LastTransitionTime: metav1.NewTime(v.now).Rfc3339Copy(),
	}
	if holds {
		c.Status = corev1.ConditionTrue
	}
	i := slices.IndexFunc(s.Conditions, func(c corev1.PodCondition) bool { return c.Type == t })
	if i < 0 {
		s.Conditions = append(s.Conditions, c)
		return
	}
	if s.Conditions[i].Status == c.Status {
		c.LastTransitionTime = s.Conditions[i].LastTransitionTime
	}
	c.LastProbeTime = s.Conditions[i].LastProbeTime
	s.Conditions[i] = c
}
