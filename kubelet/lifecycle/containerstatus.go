package lifecycle

import (
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/miniorch/miniorch/kubelet/container"
)

// messageLimit bounds one container's termination message, messagesLimit a pod's.
const (
	messageLimit  = 4096
	messagesLimit = 12 << 10
)

func (v *view) containerStatuses(units []*unit, old []corev1.ContainerStatus) []corev1.ContainerStatus {
	if len(units) == 0 {
		return nil
	}
	limit := messageLimit
	if all := len(v.init) + len(v.apps) + len(v.ephemeral); all > messagesLimit/messageLimit {
		limit = messagesLimit / all
	}
	statuses := make([]corev1.ContainerStatus, len(units))
	for i, u := range units {
		statuses[i] = v.containerStatus(u, statusOf(old, u.spec.Name))
		for _, t := range []*corev1.ContainerStateTerminated{statuses[i].State.Terminated, statuses[i].LastTerminationState.Terminated} {
			if t != nil && len(t.Message) > limit {
				t.Message = strings.ToValidUTF8(t.Message[:limit], "")
			}
		}
	}
	return statuses
}

func statusOf(statuses []corev1.ContainerStatus, name string) *corev1.ContainerStatus {
	for i := range statuses {
		if statuses[i].Name == name {
			return &statuses[i]
		}
	}
	return nil
}

func (v *view) containerStatus(u *unit, old *corev1.ContainerStatus) corev1.ContainerStatus {
	if (v.mustStop() || u.kind == container.KindEphemeral) && u.outlivedBy(old) {
		return forgotten(old)
	}
	s := corev1.ContainerStatus{Name: u.spec.Name, Image: u.spec.Image, Ready: u.ready()}
	if started := u.started(); u.kind != container.KindEphemeral {
		s.Started = &started
	}
	if u.kind == container.KindApp || u.sidecar() {
		v.sizes(u, &s)
	}
	if c := u.latest; c != nil {
		s.ContainerID = "containerd://" + c.ID
		s.ImageID = c.ImageID
		s.RestartCount = int32(c.RestartCount)
	} else if old != nil {
		next, end := successor(old)
		s.RestartCount, s.ImageID, s.LastTerminationState = next, old.ImageID, end
	}
	if u.previous != nil && u.previous.State == container.StateExited {
		s.LastTerminationState.Terminated = u.terminated(u.previous)
	} else if u.latest != nil && u.latest.RestartCount > 0 && old != nil && old.RestartCount == s.RestartCount {
		s.LastTerminationState = old.LastTerminationState
	}
	v.state(u, &s)
	return s
}

// state sets the container's state.
func (v *view) state(u *unit, s *corev1.ContainerStatus) {
	wait := func(reason, message string) {
		s.State.Waiting = &corev1.ContainerStateWaiting{Reason: reason, Message: message}
	}
	switch {
	case u.alive():
		s.State.Running = &corev1.ContainerStateRunning{StartedAt: metav1.NewTime(u.latest.StartedAt).Rfc3339Copy()}
	case u.failure != nil && !v.mustStop():
		if u.exited() {
			s.LastTerminationState.Terminated = u.terminated(u.latest)
		}
		wait(v.failureReason(u.failure, u.spec))
	case u.exited():
		v.exitedState(u, s)
	case v.needsInit(u):
		wait(ReasonPodInitializing, "")
	case v.Sandbox.Failure != nil && !v.Sandbox.Ready:
		wait(ReasonContainerCreating, v.Sandbox.Failure.Message)
	default:
		wait(ReasonContainerCreating, "")
	}
}

// needsInit: containers wait for those init containers that come before them.
func (v *view) needsInit(u *unit) bool {
	if len(v.init) == 0 || u.kind == container.KindEphemeral {
		return false
	}
	if u.kind == container.KindApp {
		return !v.initialized()
	}
	return v.init[0] != u
}

func (v *view) exitedState(u *unit, s *corev1.ContainerStatus) {
	ended := u.terminated(u.latest)
	if !u.restarts() || v.mustStop() || u.replaced() {
		s.State.Terminated = ended
		return
	}
	wait := restartAt(u.latest)
	fresh := u.latest.FinishedAt.Add(freshFailure)
	switch {
	case u.latest.Reason == container.ReasonStartError && (u.starting || v.now.Before(fresh)):
		v.freshen(fresh)
		s.State.Waiting = &corev1.ContainerStateWaiting{Reason: ReasonRunContainerError, Message: u.latest.Message}
	case v.now.Before(wait) || u.starting && backOffStep(u.latest) > 0:
		s.State.Waiting = &corev1.ContainerStateWaiting{
			Reason: ReasonCrashLoopBackOff,
			Message: fmt.Sprintf("back-off %s restarting failed container=%s pod=%s",
				short(delay(backOffStep(u.latest))), u.spec.Name, FullName(v.pod)),
		}
	default:
		s.State.Terminated = ended
		return
	}
	s.LastTerminationState.Terminated = ended
}

func (v *view) freshen(until time.Time) {
	if v.now.Before(until) && (v.freshUntil.IsZero() || until.Before(v.freshUntil)) {
		v.freshUntil = until
	}
}

// failureReason words a failure: a failed pull is an error first and a back-off soon after.
func (v *view) failureReason(f *Failure, spec *corev1.Container) (reason, message string) {
	if !f.imageFailure() {
		return f.Reason, f.Message
	}
	if fresh := f.At.Add(freshFailure); v.now.Before(fresh) {
		v.freshen(fresh)
		return f.Reason, f.Message
	}
	return ReasonImagePullBackOff, fmt.Sprintf("Back-off pulling image %q: %s: %s", spec.Image, f.Reason, f.Message)
}

// terminated describes the end of one instance.
func (u *unit) terminated(c *container.Container) *corev1.ContainerStateTerminated {
	t := &corev1.ContainerStateTerminated{
		ExitCode: int32(c.ExitCode), Reason: c.Reason,
		Message:     c.Message,
		StartedAt:   metav1.NewTime(c.StartedAt).Rfc3339Copy(),
		FinishedAt:  metav1.NewTime(c.FinishedAt).Rfc3339Copy(),
		ContainerID: "containerd://" + c.ID,
	}
	if t.Reason == "" {
		t.Reason = container.ReasonError
		if c.ExitCode == 0 {
			t.Reason = container.ReasonCompleted
		}
	}
	if m := u.message[c.ID]; m != "" {
		t.Message = m
	}
	return t
}

// outlivedBy reports whether a status tells of an instance that came after all that are left:
// those of a pod that goes are removed in any order.
func (u *unit) outlivedBy(old *corev1.ContainerStatus) bool {
	if old == nil || old.ContainerID == "" {
		return false
	}
	return u.latest == nil || u.latest.RestartCount < int(old.RestartCount)
}

// successor counts the instance after the one that a status is about, which was removed behind our
// back, with the node's disk perhaps, and tells how that one ended. One that never ran does not count.
func successor(old *corev1.ContainerStatus) (restartCount int32, end corev1.ContainerState) {
	if old.ContainerID == "" {
		return old.RestartCount, old.LastTerminationState
	}
	if old.State.Running != nil || old.State.Terminated != nil {
		return old.RestartCount + 1, forgotten(old).State
	}
	if last := old.LastTerminationState.Terminated; last != nil && last.ContainerID == old.ContainerID {
		return old.RestartCount + 1, old.LastTerminationState
	}
	return old.RestartCount, old.LastTerminationState
}

// forgotten is the status of a container that is no longer there: how it ended, if that was seen.
func forgotten(old *corev1.ContainerStatus) corev1.ContainerStatus {
	s := *old.DeepCopy()
	if no := false; s.Started != nil {
		s.Started = &no
	}
	if s.State.Terminated == nil {
		s.Ready = false
		s.State = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
			ExitCode: 137, Reason: container.ReasonUnknown, ContainerID: s.ContainerID,
			Message: "The container could not be located when the pod was terminated",
		}}
	}
	return s
}
