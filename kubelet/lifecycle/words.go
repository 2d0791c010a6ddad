package lifecycle

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// FullName names a pod as kubectl users see it in back-off messages: name_namespace(uid).
func FullName(pod *corev1.Pod) string {
	return fmt.Sprintf("%s_%s(%s)", pod.Name, pod.Namespace, pod.UID)
}

func list(names []string) string { return "[" + strings.Join(names, " ") + "]" }

func quoted(names []string) string {
	q := make([]string, len(names))
	for i, n := range names {
		q[i] = strconv.Quote(n)
	}
	return strings.Join(q, ", ")
}

// short prints 1m20s, 40s, 5m0s.
func short(d time.Duration) string { return d.Round(time.Second).String() }

// Notice is an event to tell users of a change in a pod's status.
type Notice struct {
	Warning         bool
	Reason, Message string
	Container       string
}

// Notices compares two statuses and returns what users should be told about waiting
// containers. Everything else is told when it is done.
func Notices(pod *corev1.Pod, old, now *corev1.PodStatus) []Notice {
	var out []Notice
	compare := func(old, now []corev1.ContainerStatus) {
		before := map[string]string{}
		for _, c := range old {
			if c.State.Waiting != nil {
				before[c.Name] = c.State.Waiting.Reason
			}
		}
		for _, c := range now {
			if c.State.Waiting == nil || c.State.Waiting.Reason == before[c.Name] {
				continue
			}
			switch c.State.Waiting.Reason {
			case ReasonCrashLoopBackOff:
				out = append(out, Notice{true, "BackOff",
					fmt.Sprintf("Back-off restarting failed container %s in pod %s", c.Name, FullName(pod)), c.Name})
			case ReasonImagePullBackOff:
				out = append(out,
					Notice{false, "BackOff", fmt.Sprintf("Back-off pulling image %q", c.Image), c.Name},
					Notice{true, "Failed", "Error: " + ReasonImagePullBackOff, c.Name})
			}
		}
	}
	compare(old.InitContainerStatuses, now.InitContainerStatuses)
	compare(old.ContainerStatuses, now.ContainerStatuses)
	compare(old.EphemeralContainerStatuses, now.EphemeralContainerStatuses)
	return out
}
