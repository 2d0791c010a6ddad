package core

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/miniorch/miniorch/apiserver/registry/kindtest"
)

func TestPodColumns(t *testing.T) {
	now := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		name, reason, text, want string
	}{
		{"new", "nothing has happened yet", `
spec: {containers: [{name: a}]}
status: {phase: Pending}`, "p | 0/1 | Pending | 0 | 3h | <none> | <none> | <none> | <none>"},
		{"creating", "the reason says more than the phase", `
spec: {containers: [{name: a}, {name: b}], nodeName: n1}
status: {phase: Pending, containerStatuses: [{name: a, state: {waiting: {reason: ContainerCreating}}}, {name: b, state: {waiting: {reason: ContainerCreating}}}]}`,
			"p | 0/2 | ContainerCreating | 0 | 3h | <none> | n1 | <none> | <none>"},
		{"running", "all is well", `
spec: {containers: [{name: a}], nodeName: n1, readinessGates: [{conditionType: x/y}]}
status: {phase: Running, podIP: 10.0.0.1, podIPs: [{ip: 10.0.0.1}], conditions: [{type: x/y, status: "True"}], containerStatuses: [{name: a, ready: true, state: {running: {}}}]}`,
			"p | 1/1 | Running | 0 | 3h | 10.0.0.1 | n1 | <none> | 1/1"},
		{"crashing", "with how often and how long ago", `
spec: {containers: [{name: a}], nodeName: n1}
status: {phase: Running, containerStatuses: [{name: a, restartCount: 2, state: {waiting: {reason: CrashLoopBackOff}}, lastState: {terminated: {exitCode: 1, finishedAt: "2026-01-01T11:55:00Z"}}}]}`,
			"p | 0/1 | CrashLoopBackOff | 2 (5m ago) | 3h | <none> | n1 | <none> | <none>"},
		{"initializing", "one of two has run", `
spec: {initContainers: [{name: i}, {name: j}], containers: [{name: a}], nodeName: n1}
status: {phase: Pending, initContainerStatuses: [{name: i, restartCount: 1, state: {terminated: {exitCode: 0}}}, {name: j, state: {running: {}}}], containerStatuses: [{name: a, state: {waiting: {reason: PodInitializing}}}]}`,
			"p | 0/1 | Init:1/2 | 1 | 3h | <none> | n1 | <none> | <none>"},
		{"init crashes", "the reason, marked as an init container's", `
spec: {initContainers: [{name: i}], containers: [{name: a}]}
status: {phase: Pending, initContainerStatuses: [{name: i, state: {waiting: {reason: CrashLoopBackOff}}}]}`,
			"p | 0/1 | Init:CrashLoopBackOff | 0 | 3h | <none> | <none> | <none> | <none>"},
		{"init failed", "without a reason the exit code speaks", `
spec: {initContainers: [{name: i}], containers: [{name: a}]}
status: {phase: Failed, initContainerStatuses: [{name: i, state: {terminated: {exitCode: 3}}}]}`,
			"p | 0/1 | Init:ExitCode:3 | 0 | 3h | <none> | <none> | <none> | <none>"},
		{"sidecar", "counts as a container that is ready", `
spec: {initContainers: [{name: i, restartPolicy: Always}], containers: [{name: a}]}
status: {phase: Running, initContainerStatuses: [{name: i, started: true, ready: true, restartCount: 1, state: {running: {}}}], containerStatuses: [{name: a, ready: true, state: {running: {}}}]}`,
			"p | 2/2 | Running | 1 | 3h | <none> | <none> | <none> | <none>"},
		{"completed", "it has ended well", `
spec: {containers: [{name: a}]}
status: {phase: Succeeded, containerStatuses: [{name: a, state: {terminated: {reason: Completed}}}]}`,
			"p | 0/1 | Completed | 0 | 3h | <none> | <none> | <none> | <none>"},
		{"half completed", "one goes on, and the pod is not ready", `
spec: {containers: [{name: a}, {name: b}]}
status: {phase: Running, containerStatuses: [{name: a, state: {terminated: {reason: Completed}}}, {name: b, ready: true, state: {running: {}}}]}`,
			"p | 1/2 | NotReady | 0 | 3h | <none> | <none> | <none> | <none>"},
		{"killed", "a signal without a reason", `
spec: {containers: [{name: a}]}
status: {phase: Failed, containerStatuses: [{name: a, state: {terminated: {signal: 9, exitCode: 137}}}]}`,
			"p | 0/1 | Signal:9 | 0 | 3h | <none> | <none> | <none> | <none>"},
		{"evicted", "the pod's own reason", `
spec: {containers: [{name: a}]}
status: {phase: Failed, reason: Evicted}`, "p | 0/1 | Evicted | 0 | 3h | <none> | <none> | <none> | <none>"},
		{"gated", "nobody schedules it", `
spec: {containers: [{name: a}]}
status: {phase: Pending, conditions: [{type: PodScheduled, status: "False", reason: SchedulingGated}]}`,
			"p | 0/1 | SchedulingGated | 0 | 3h | <none> | <none> | <none> | <none>"},
		{"terminating", "being deleted outweighs running", `
metadata: {deletionTimestamp: "2026-01-01T12:00:00Z"}
spec: {containers: [{name: a}]}
status: {phase: Running, containerStatuses: [{name: a, ready: true, state: {running: {}}}]}`,
			"p | 1/1 | Terminating | 0 | 3h | <none> | <none> | <none> | <none>"},
		{"deleted and done", "an ended pod does not terminate", `
metadata: {deletionTimestamp: "2026-01-01T12:00:00Z"}
spec: {containers: [{name: a}]}
status: {phase: Succeeded, containerStatuses: [{name: a, state: {terminated: {reason: Completed}}}]}`,
			"p | 0/1 | Completed | 0 | 3h | <none> | <none> | <none> | <none>"},
		{"lost", "its node does not answer", `
metadata: {deletionTimestamp: "2026-01-01T12:00:00Z"}
spec: {containers: [{name: a}]}
status: {phase: Running, reason: NodeLost}`, "p | 0/1 | Unknown | 0 | 3h | <none> | <none> | <none> | <none>"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Log(c.reason)
			p := kindtest.From[corev1.Pod](t, c.text)
			p.Name, p.CreationTimestamp = "p", metav1.NewTime(now.Add(-3*time.Hour))
			if got := kindtest.Row(podColumns(), p, now, true); got != c.want {
				t.Errorf("printed\n  %s\nwant\n  %s", got, c.want)
			}
		})
	}
}
