package core

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/duration"

	"github.com/miniorch/miniorch/apiserver/registry/kind"
	"github.com/miniorch/miniorch/pkg/api"
)

func podColumns() []kind.Column[*corev1.Pod] {
	type pod = *corev1.Pod
	return []kind.Column[pod]{
		kind.NameColumn[pod](),
		kind.TextColumn("Ready", "How many of the containers are ready.", printPodReady),
		kind.TextColumn("Status", "What the pod is doing, or why it is not.", printPodStatus),
		kind.TimedColumn("Restarts", "How often its containers restarted, and when they last did.", printPodRestarts),
		kind.AgeColumn[pod](),
		kind.Wide(kind.TextColumn("IP", "Its address.", printPodIP)),
		kind.Wide(kind.TextColumn("Node", "Where it runs.", func(p pod) string { return kind.OrNone(p.Spec.NodeName) })),
		kind.Wide(kind.TextColumn("Nominated Node", "Where it will run when room has been made.",
			func(p pod) string { return kind.OrNone(p.Status.NominatedNodeName) })),
		kind.Wide(kind.TextColumn("Readiness Gates", "How many of its readiness gates are open.", printReadinessGates)),
	}
}

func printPodIP(p *corev1.Pod) string {
	if len(p.Status.PodIPs) > 0 {
		return kind.OrNone(p.Status.PodIPs[0].IP)
	}
	return kind.OrNone(p.Status.PodIP)
}

func printReadinessGates(p *corev1.Pod) string {
	if len(p.Spec.ReadinessGates) == 0 {
		return kind.None
	}
	open := 0
	for _, gate := range p.Spec.ReadinessGates {
		if c := api.PodCondition(p, gate.ConditionType); c != nil && c.Status == corev1.ConditionTrue {
			open++
		}
	}
	return fmt.Sprintf("%d/%d", open, len(p.Spec.ReadinessGates))
}

// sidecarNames are the init containers that run beside the pod's containers.
func sidecarNames(p *corev1.Pod) map[string]bool {
	names := map[string]bool{}
	for i := range p.Spec.InitContainers {
		if c := &p.Spec.InitContainers[i]; api.IsSidecar(c) {
			names[c.Name] = true
		}
	}
	return names
}

func printPodReady(p *corev1.Pod) string {
	sidecars := sidecarNames(p)
	total, ready := len(p.Spec.Containers)+len(sidecars), 0
	for _, s := range p.Status.InitContainerStatuses {
		if sidecars[s.Name] && s.Ready && s.Started != nil && *s.Started {
			ready++
		}
	}
	for _, s := range p.Status.ContainerStatuses {
		if s.Ready && s.State.Running != nil {
			ready++
		}
	}
	return strconv.Itoa(ready) + "/" + strconv.Itoa(total)
}

// printPodStatus finds the word that says most: the phase, overridden by what holds the
// first unfinished init container, else by the last container that is not running, else
// by a deletion.
func printPodStatus(p *corev1.Pod) string {
	word := string(p.Status.Phase)
	if c := api.PodCondition(p, corev1.PodScheduled); c != nil && c.Reason == corev1.PodReasonSchedulingGated {
		word = corev1.PodReasonSchedulingGated
	}
	if p.Status.Reason != "" {
		word = p.Status.Reason
	}
	initWord, initializing := initStatus(p)
	if initializing {
		word = initWord
	}
	if !initializing || isInitialized(p) {
		word = containersStatus(p, word)
	}
	switch {
	case p.DeletionTimestamp == nil:
	case p.Status.Reason == reasonNodeLost:
		return "Unknown"
	case !api.IsPodTerminal(p):
		return "Terminating"
	}
	return word
}

// reasonNodeLost is the status reason of a pod whose node stopped answering.
const reasonNodeLost = "NodeLost"

// initStatus tells which init container is at work, as "Init:1/3", or what is wrong with
// it, as "Init:CrashLoopBackOff". initializing is false when all are done.
func initStatus(p *corev1.Pod) (word string, initializing bool) {
	sidecars := sidecarNames(p)
	for i, s := range p.Status.InitContainerStatuses {
		switch t, w := s.State.Terminated, s.State.Waiting; {
		case t != nil && t.ExitCode == 0:
			continue
		case sidecars[s.Name] && s.Started != nil && *s.Started:
			continue
		case t != nil:
			return "Init:" + endReason(t), true
		case w != nil && w.Reason != "" && w.Reason != "PodInitializing":
			return "Init:" + w.Reason, true
		}
		return fmt.Sprintf("Init:%d/%d", i, len(p.Spec.InitContainers)), true
	}
	return "", false
}

// isInitialized tells whether the init containers have all done their work once; a
// sidecar among them may be restarting since.
func isInitialized(p *corev1.Pod) bool {
	c := api.PodCondition(p, corev1.PodInitialized)
	return c != nil && c.Status == corev1.ConditionTrue
}

// endReason says why a container ended: by name, by signal or by exit code.
func endReason(t *corev1.ContainerStateTerminated) string {
	switch {
	case t.Reason != "":
		return t.Reason
	case t.Signal != 0:
		return fmt.Sprintf("Signal:%d", t.Signal)
	}
	return fmt.Sprintf("ExitCode:%d", t.ExitCode)
}

// containersStatus takes the word of the first container that waits or has ended. A pod
// that completed in part and still runs is shown as running.
func containersStatus(p *corev1.Pod, word string) string {
	running := false
	for i := len(p.Status.ContainerStatuses) - 1; i >= 0; i-- {
		s := p.Status.ContainerStatuses[i]
		switch {
		case s.State.Waiting != nil && s.State.Waiting.Reason != "":
			word = s.State.Waiting.Reason
		case s.State.Terminated != nil:
			word = endReason(s.State.Terminated)
		case s.Ready && s.State.Running != nil:
			running = true
		}
	}
	if word == "Completed" && running {
		if api.IsPodReady(p) {
			return "Running"
		}
		return "NotReady"
	}
	return word
}

// printPodRestarts prints "2 (5m ago)". While init containers are at work theirs count,
// afterwards those of the containers and sidecars.
func printPodRestarts(p *corev1.Pod, now time.Time) string {
	sidecars := sidecarNames(p)
	_, initializing := initStatus(p)
	var count int
	var last metav1.Time
	add := func(s corev1.ContainerStatus) {
		count += int(s.RestartCount)
		if t := s.LastTerminationState.Terminated; t != nil && last.Before(&t.FinishedAt) {
			last = t.FinishedAt
		}
	}
	for _, s := range p.Status.InitContainerStatuses {
		if initializing || sidecars[s.Name] {
			add(s)
		}
	}
	if !initializing {
		for _, s := range p.Status.ContainerStatuses {
			add(s)
		}
	}
	if count == 0 || last.IsZero() {
		return strconv.Itoa(count)
	}
	return strings.Join([]string{strconv.Itoa(count), " (", duration.HumanDuration(now.Sub(last.Time)), " ago)"}, "")
}
