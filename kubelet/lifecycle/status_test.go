package lifecycle

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/miniorch/miniorch/kubelet/container"
)

// describe prints a container status as kubectl users would read it aloud.
func describe(s corev1.ContainerStatus) string {
	state := func(st corev1.ContainerState) string {
		switch {
		case st.Running != nil:
			return "running"
		case st.Terminated != nil:
			return strings.TrimSpace("terminated " + st.Terminated.Reason + " " + st.Terminated.Message)
		case st.Waiting != nil:
			return "waiting " + st.Waiting.Reason
		}
		return "-"
	}
	out := s.Name + " " + state(s.State) + ", last " + state(s.LastTerminationState)
	if s.Ready {
		out += ", ready"
	}
	if s.Started != nil && *s.Started {
		out += ", started"
	}
	return out
}

func TestContainerStatus(t *testing.T) {
	withProbes := func(p *corev1.Pod) {
		p.Spec.Containers[0].ReadinessProbe = &corev1.Probe{}
		p.Spec.Containers[0].StartupProbe = &corev1.Probe{}
	}
	probed := func(p Probe) Observed {
		return seen(running("c")).with(func(o *Observed) { o.Probes = map[string]Probe{"c-0": p} })
	}
	failed := func(reason string, after time.Duration) Observed {
		return seen().with(func(o *Observed) {
			o.Failures = map[string]Failure{"c": {Reason: reason, Message: "no", At: at(time.Minute - after), Attempts: 1}}
		})
	}
	startError := func(c *container.Container) { c.Reason, c.Message = container.ReasonStartError, "no such file" }
	for _, tc := range []struct {
		name string
		pod  *corev1.Pod
		seen Observed
		want string
	}{
		{"nothing yet", pod(), Observed{}, "c waiting ContainerCreating, last -"},
		{"behind init", pod(withInit("i")), seen(), "c waiting PodInitializing, last -"},
		{"running", pod(), seen(running("c")), "c running, last -, ready, started"},
		{"startup probe open", pod(withProbes), probed(Probe{}), "c running, last -"},
		{"not ready yet", pod(withProbes), probed(Probe{Started: true}), "c running, last -, started"},
		{"ready", pod(withProbes), probed(Probe{Started: true, Ready: true}), "c running, last -, ready, started"},
		{"hook runs", pod(), seen(running("c")).with(func(o *Observed) { o.Hooked = map[string]bool{"c-0": true} }), "c running, last -"},
		{"exited, restart due", pod(), seen(exited("c", 1)), "c terminated Error, last -"},
		{"backing off", pod(), seen(exited("c", 1, instance(1, "1")), exited("c", 2)), "c waiting CrashLoopBackOff, last terminated Error"},
		{"restarted", pod(), seen(running("c", instance(1, "1")), exited("c", 2)), "c running, last terminated Error, ready, started"},
		{"done", pod(policy(corev1.RestartPolicyNever)), seen(exited("c", 0)), "c terminated Completed, last -"},
		{"out of memory", pod(policy(corev1.RestartPolicyNever)), seen(exited("c", 137, func(c *container.Container) { c.Reason = container.ReasonOOMKilled })),
			"c terminated OOMKilled, last -"},
		{"message", pod(policy(corev1.RestartPolicyNever)), seen(exited("c", 0)).with(func(o *Observed) { o.Messages = map[string]string{"c-0": "bye"} }),
			"c terminated Completed bye, last -"},
		{"pull failed just now", pod(), failed(ReasonErrImagePull, time.Second), "c waiting ErrImagePull, last -"},
		{"pull failed", pod(), failed(ReasonErrImagePull, 3*time.Second), "c waiting ImagePullBackOff, last -"},
		{"pull failed, trying again", pod(), failed(ReasonErrImagePull, 11*time.Second).busy("start c"), "c waiting ImagePullBackOff, last -"},
		{"config missing", pod(), failed(ReasonCreateContainerConf, time.Second), "c waiting CreateContainerConfigError, last -"},
		{"no such command", pod(), seen(exited("c", 128, startError)), "c waiting RunContainerError, last terminated StartError no such file"},
		{"no such command, never", pod(policy(corev1.RestartPolicyNever)), seen(exited("c", 128, startError)), "c terminated StartError no such file, last -"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, status := Step(tc.pod, tc.seen, at(time.Minute))
			if got := describe(status.ContainerStatuses[0]); got != tc.want {
				t.Errorf("got  %s\nwant %s", got, tc.want)
			}
		})
	}
}

func TestConditions(t *testing.T) {
	gate := func(p *corev1.Pod) {
		p.Spec.ReadinessGates = []corev1.PodReadinessGate{{ConditionType: "lb"}}
	}
	opened := func(p *corev1.Pod) {
		p.Status.Conditions = append(p.Status.Conditions,
			corev1.PodCondition{Type: "lb", Status: corev1.ConditionTrue},
			corev1.PodCondition{Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue})
	}
	for _, tc := range []struct {
		name string
		pod  *corev1.Pod
		seen Observed
		want string
	}{
		{"new", pod(), Observed{}, "PodReadyToStartContainers=False Initialized=True ContainersReady=False:ContainersNotReady Ready=False:ContainersNotReady PodScheduled=True"},
		{"initializing", pod(withInit("i")), seen(running("i")),
			"PodReadyToStartContainers=True Initialized=False:ContainersNotInitialized ContainersReady=False:ContainersNotReady Ready=False:ContainersNotReady PodScheduled=True"},
		{"running", pod(), seen(running("c")), "PodReadyToStartContainers=True Initialized=True ContainersReady=True Ready=True PodScheduled=True"},
		{"gate closed", pod(gate), seen(running("c")),
			"PodReadyToStartContainers=True Initialized=True ContainersReady=True Ready=False:ReadinessGatesNotReady PodScheduled=True"},
		{"gate open, others' conditions stay", pod(gate, opened), seen(running("c")),
			"lb=True DisruptionTarget=True PodReadyToStartContainers=True Initialized=True ContainersReady=True Ready=True PodScheduled=True"},
		{"succeeded", pod(policy(corev1.RestartPolicyNever)), seen(exited("c", 0)),
			"PodReadyToStartContainers=False Initialized=True:PodCompleted ContainersReady=False:PodCompleted Ready=False:PodCompleted PodScheduled=True"},
		{"failed in an init container", pod(withInit("i"), policy(corev1.RestartPolicyNever)), seen(exited("i", 1)),
			"PodReadyToStartContainers=False Initialized=False:ContainersNotInitialized ContainersReady=False:PodFailed Ready=False:PodFailed PodScheduled=True"},
		{"failed", pod(policy(corev1.RestartPolicyNever)), seen(exited("c", 1)),
			"PodReadyToStartContainers=False Initialized=True ContainersReady=False:PodFailed Ready=False:PodFailed PodScheduled=True"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, status := Step(tc.pod, tc.seen, at(time.Minute))
			var got []string
			for _, c := range status.Conditions {
				text := string(c.Type) + "=" + string(c.Status)
				if c.Reason != "" {
					text += ":" + c.Reason
				}
				got = append(got, text)
			}
			if diff := cmp.Diff(tc.want, strings.Join(got, " ")); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// A status that is stored and computed again must not differ: otherwise the kubelet would
// write for ever.
func TestStatusIsStable(t *testing.T) {
	for _, o := range []Observed{{}, seen(), seen(running("c")), seen(exited("c", 1, instance(1, "1")))} {
		p := pod()
		p.Status.StartTime = nil
		_, p.Status = Step(p, o, at(time.Minute))
		_, again := Step(p, o, at(time.Minute+time.Second))
		if diff := cmp.Diff(p.Status, again); diff != "" {
			t.Errorf("status moved by itself:\n%s", diff)
		}
	}
}

// A pod that is changed while it runs says with each condition which of its versions that is about.
func TestObservedGeneration(t *testing.T) {
	p := pod()
	_, p.Status = Step(p, seen(running("c")), at(time.Minute))
	p.Generation++
	_, s := Step(p, seen(running("c")), at(time.Minute))
	if s.ObservedGeneration != p.Generation {
		t.Errorf("status is about generation %d, want %d", s.ObservedGeneration, p.Generation)
	}
	for _, c := range s.Conditions {
		if c.ObservedGeneration != p.Generation {
			t.Errorf("%s is about generation %d, want %d", c.Type, c.ObservedGeneration, p.Generation)
		}
	}
}

func TestTransitionTimes(t *testing.T) {
	p := pod()
	_, p.Status = Step(p, seen(), at(time.Minute))
	_, s := Step(p, seen(running("c")), at(time.Hour))
	times := map[corev1.PodConditionType]time.Time{}
	for _, c := range s.Conditions {
		times[c.Type] = c.LastTransitionTime.Time
	}
	if got := times[corev1.PodReady]; !got.Equal(at(time.Hour)) {
		t.Errorf("Ready changed at %v, want %v", got, at(time.Hour))
	}
	if got := times[corev1.PodInitialized]; !got.Equal(at(time.Minute)) {
		t.Errorf("Initialized changed at %v, but it did not change", got)
	}
}

func TestStatusOfStoppedPodWithoutContainers(t *testing.T) {
	ended := metav1.NewTime(at(0))
	p := pod(deletedPod(30), func(p *corev1.Pod) {
		p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "c", ContainerID: "containerd://x", RestartCount: 2,
			State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Reason: "Completed", FinishedAt: ended}}}}
	})
	_, s := Step(p, Observed{}, at(time.Minute))
	if got := describe(s.ContainerStatuses[0]); got != "c terminated Completed, last -" {
		t.Errorf("the removed container's end was forgotten: %s", got)
	}
	if s.Phase != corev1.PodSucceeded {
		t.Errorf("phase %s, want Succeeded", s.Phase)
	}
}

// TestLostContainerCounts: a node came back without its disk. The next container is another one, and how
// the last one ended nobody saw; however often the status is written before it starts.
func TestLostContainerCounts(t *testing.T) {
	p := pod(func(p *corev1.Pod) {
		p.Status.Phase = corev1.PodRunning
		p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "c", ContainerID: "containerd://x", RestartCount: 2,
			State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}}}
	})
	for range 3 {
		plan, s := Step(p, Observed{Held: true, Sandbox: Sandbox{Ready: true}}, at(time.Minute))
		if len(plan.Actions) != 1 || plan.Actions[0].RestartCount != 3 {
			t.Errorf("%s, want the start of instance 3", plan)
		}
		c := s.ContainerStatuses[0]
		if end := c.LastTerminationState.Terminated; c.RestartCount != 3 || c.ContainerID != "" || end == nil || end.Reason != container.ReasonUnknown || end.ContainerID != "containerd://x" {
			t.Errorf("status %+v, want the third restart, after an end that nobody saw", c)
		}
		p.Status = s
	}
}

// TestStatusNeverGoesBack: the instances of a pod that goes are removed in any order, and the one
// before the last does not speak for the last.
func TestStatusNeverGoesBack(t *testing.T) {
	p := pod(deletedPod(30))
	_, p.Status = Step(p, seen(exited("c", 0, instance(1, "1")), exited("c", 7)), at(time.Minute))
	_, s := Step(p, seen(exited("c", 7)), at(time.Minute))
	if diff := cmp.Diff(p.Status.ContainerStatuses, s.ContainerStatuses); diff != "" {
		t.Errorf("the status changed when the last instance was removed first (-before +after):\n%s", diff)
	}
}

func TestTerminationMessagesAreCut(t *testing.T) {
	p := pod(policy(corev1.RestartPolicyNever))
	_, s := Step(p, seen(exited("c", 0)).with(func(o *Observed) {
		o.Messages = map[string]string{"c-0": strings.Repeat("x", 5000)}
	}), at(time.Minute))
	if n := len(s.ContainerStatuses[0].State.Terminated.Message); n != 4096 {
		t.Errorf("message of %d bytes, want 4096", n)
	}
}

func TestNotices(t *testing.T) {
	p := pod()
	o := seen(exited("c", 1, instance(1, "1")))
	_, s := Step(p, o, at(time.Minute))
	got := Notices(p, &p.Status, &s)
	want := []Notice{{true, "BackOff", "Back-off restarting failed container c in pod web_default(u1)", "c"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if again := Notices(p, &s, &s); len(again) != 0 {
		t.Errorf("told twice: %v", again)
	}
}
