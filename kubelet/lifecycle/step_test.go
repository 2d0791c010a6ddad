package lifecycle

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/miniorch/miniorch/kubelet/container"
)

var t0 = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func at(d time.Duration) time.Time { return t0.Add(d) }

func pod(change ...func(*corev1.Pod)) *corev1.Pod {
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "default", UID: "u1", Generation: 3},
		Spec: corev1.PodSpec{
			NodeName: "n1", RestartPolicy: corev1.RestartPolicyAlways,
			Containers: []corev1.Container{{Name: "c", Image: "img"}},
		},
		Status: corev1.PodStatus{Phase: corev1.PodPending, StartTime: &metav1.Time{Time: t0}},
	}
	for _, f := range change {
		f(p)
	}
	return p
}

func policy(p corev1.RestartPolicy) func(*corev1.Pod) {
	return func(pod *corev1.Pod) { pod.Spec.RestartPolicy = p }
}

func withInit(names ...string) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		for _, n := range names {
			p.Spec.InitContainers = append(p.Spec.InitContainers, corev1.Container{Name: n, Image: "img"})
		}
	}
}

func withSidecar(name string) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		always := corev1.ContainerRestartPolicyAlways
		p.Spec.InitContainers = append(p.Spec.InitContainers, corev1.Container{Name: name, Image: "img", RestartPolicy: &always})
	}
}

func deletedPod(grace int64) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.DeletionTimestamp = &metav1.Time{Time: at(time.Minute + time.Duration(grace)*time.Second)}
		p.DeletionGracePeriodSeconds = &grace
	}
}

func heldPod(p *corev1.Pod) { p.Finalizers = []string{"example.com/hold"} }

type change func(*container.Container)

func deadline(seconds int64) func(*corev1.Pod) {
	return func(p *corev1.Pod) { p.Spec.ActiveDeadlineSeconds = &seconds }
}

func running(name string, changes ...change) container.Container {
	return made(name, append([]change{func(c *container.Container) {
		c.State, c.StartedAt = container.StateRunning, at(time.Second)
	}}, changes...)...)
}

func exited(name string, code int, changes ...change) container.Container {
	return made(name, append([]change{func(c *container.Container) {
		c.State, c.ExitCode, c.StartedAt, c.FinishedAt = container.StateExited, code, at(time.Second), at(time.Minute)
	}}, changes...)...)
}

func made(name string, changes ...change) container.Container {
	c := container.Container{
		ID: name + "-0", Name: name, State: container.StateCreated, ImageID: "sha256:1",
		SpecHash: SpecHash(&corev1.Container{Image: "img"}), Labels: map[string]string{LabelBackOff: "0"},
	}
	for _, f := range changes {
		f(&c)
	}
	return c
}

func instance(n int, backOff string) change {
	return func(c *container.Container) {
		c.ID, c.RestartCount, c.Labels = c.Name+"-"+string(rune('0'+n)), n, map[string]string{LabelBackOff: backOff}
	}
}

func seen(containers ...container.Container) Observed {
	return Observed{Containers: containers, Sandbox: Sandbox{Ready: true, IPs: []string{"10.244.0.2"}}, Held: true, HostIPs: []string{"10.89.0.2"}}
}

func (o Observed) busy(keys ...string) Observed {
	o.Busy = map[string]bool{}
	for _, k := range keys {
		o.Busy[k] = true
	}
	return o
}

func (o Observed) with(f func(*Observed)) Observed { f(&o); return o }

func TestStepPlans(t *testing.T) {
	never, onFailure := policy(corev1.RestartPolicyNever), policy(corev1.RestartPolicyOnFailure)
	hourAgo := func(c *container.Container) { c.StartedAt = at(-time.Hour) }
	for _, tc := range []struct {
		name   string
		reason string
		pod    *corev1.Pod
		seen   Observed
		now    time.Duration // after t0; default one minute
		want   string
		phase  corev1.PodPhase
		wake   time.Duration
	}{
		{name: "new pod", reason: "namespaces and volumes come first",
			pod: pod(), seen: Observed{}, want: "Preparing: prepare", phase: "Pending"},
		{name: "preparing", reason: "one operation at a time",
			pod: pod(), seen: Observed{}.busy("prepare"), want: "Preparing: nothing", phase: "Pending"},
		{name: "prepare failed", reason: "it is retried after a second, then later",
			pod: pod(), seen: Observed{Sandbox: Sandbox{Failure: &Failure{Reason: "FailedMount", At: at(time.Minute), Attempts: 2}}},
			want: "Preparing: nothing", phase: "Pending", wake: time.Minute + 2*time.Second},
		{name: "sandbox ready", reason: "all app containers start together",
			pod:  pod(func(p *corev1.Pod) { p.Spec.Containers = append(p.Spec.Containers, corev1.Container{Name: "d"}) }),
			seen: seen(), want: "Running: start c[0], start d[0]", phase: "Pending"},
		{name: "starting", reason: "nothing is started twice",
			pod: pod(), seen: seen().busy("start c"), want: "Running: nothing", phase: "Pending"},
		{name: "running", reason: "all is well", pod: pod(), seen: seen(running("c")), want: "Running: nothing", phase: "Running"},
		{name: "found created", reason: "the agent died between create and start",
			pod: pod(), seen: seen(made("c")), want: "Running: remove c", phase: "Pending"},
		{name: "first exit", reason: "the first restart is immediate",
			pod: pod(), seen: seen(exited("c", 1)), want: "Running: start c[1]", phase: "Running"},
		{name: "second exit", reason: "the second restart waits 10s",
			pod: pod(), seen: seen(exited("c", 1, instance(1, "1"))), want: "Running: nothing", phase: "Running", wake: time.Minute + 10*time.Second},
		{name: "back-off over", reason: "the wait is over", now: time.Minute + 10*time.Second,
			pod: pod(), seen: seen(exited("c", 1, instance(1, "1"))), want: "Running: start c[2]", phase: "Running"},
		{name: "tenth exit", reason: "the back-off ends at 5 minutes",
			pod: pod(), seen: seen(exited("c", 1, instance(9, "9"))), want: "Running: nothing", phase: "Running", wake: 6 * time.Minute},
		{name: "exit after ten minutes", reason: "a long run forgets the back-off",
			pod: pod(), seen: seen(exited("c", 1, instance(5, "5"), hourAgo)), want: "Running: start c[6]", phase: "Running"},
		{name: "cannot be started", reason: "a process that never was has not run for long",
			pod: pod(), seen: seen(exited("c", 128, instance(1, "1"), func(c *container.Container) {
				c.Reason, c.StartedAt = container.ReasonStartError, time.Unix(0, 0)
			})), now: 2*time.Minute - 51*time.Second, want: "Running: nothing", phase: "Running", wake: time.Minute + 10*time.Second},
		{name: "never, success", reason: "the pod is done; what it held goes",
			pod: pod(never), seen: seen(exited("c", 0)), want: "Cleaning: teardown", phase: "Succeeded"},
		{name: "never, failure", reason: "the pod has failed",
			pod: pod(never), seen: seen(exited("c", 3)), want: "Cleaning: teardown", phase: "Failed"},
		{name: "finished", reason: "exited containers stay for their logs",
			pod: pod(never), seen: seen(exited("c", 3)).with(func(o *Observed) { o.Held = false }), want: "Finished: nothing", phase: "Failed"},
		{name: "on failure, failure", reason: "only failures are restarted",
			pod: pod(onFailure), seen: seen(exited("c", 3)), want: "Running: start c[1]", phase: "Running"},
		{name: "on failure, success", reason: "success is final",
			pod: pod(onFailure), seen: seen(exited("c", 0)), want: "Cleaning: teardown", phase: "Succeeded"},
		{name: "old instances", reason: "the previous one stays for logs --previous, older ones go",
			pod: pod(), seen: seen(running("c", instance(3, "3")), exited("c", 1, instance(2, "2")), exited("c", 1, instance(1, "1"))),
			want: "Running: remove c", phase: "Running"},
		{name: "image changed", reason: "a pod's image may be changed while it runs",
			pod: pod(func(p *corev1.Pod) { p.Spec.Containers[0].Image = "img:2" }), seen: seen(running("c")),
			want: "Running: stop c within 30s (Container c definition changed)", phase: "Running"},
		{name: "image changed, exited", reason: "the new definition starts at once, whatever the policy",
			pod: pod(never, func(p *corev1.Pod) { p.Spec.Containers[0].Image = "img:2" }), seen: seen(exited("c", 1, instance(4, "4"))),
			want: "Running: start c[5]", phase: "Running"},
		{name: "liveness failed", reason: "the container is stopped within the probe's own grace",
			pod: pod(), seen: seen(running("c")).with(func(o *Observed) {
				grace := int64(5)
				o.Probes = map[string]Probe{"c-0": {Failed: "liveness", Grace: &grace}}
			}), want: "Running: stop c within 5s (liveness)", phase: "Running"},
		{name: "image pull back-off", reason: "pulls wait 10s, 20s, …",
			pod: pod(), seen: seen().with(func(o *Observed) {
				o.Failures = map[string]Failure{"c": {Reason: ReasonErrImagePull, At: at(time.Minute), Attempts: 2}}
			}), now: time.Minute + 5*time.Second, want: "Running: nothing", phase: "Pending", wake: time.Minute + 20*time.Second},
		{name: "fresh pull failure", reason: "ErrImagePull becomes ImagePullBackOff after two seconds",
			pod: pod(), seen: seen().with(func(o *Observed) {
				o.Failures = map[string]Failure{"c": {Reason: ReasonErrImagePull, At: at(time.Minute), Attempts: 1}}
			}), want: "Running: nothing", phase: "Pending", wake: time.Minute + 2*time.Second},

		{name: "init first", reason: "init containers run one by one",
			pod: pod(withInit("i", "j")), seen: seen(), want: "Initializing: start i[0]", phase: "Pending"},
		{name: "second init", reason: "the next follows a success",
			pod: pod(withInit("i", "j")), seen: seen(exited("i", 0)), want: "Initializing: start j[0]", phase: "Pending"},
		{name: "init fails", reason: "it is repeated until it succeeds",
			pod: pod(withInit("i")), seen: seen(exited("i", 1)), want: "Initializing: start i[1]", phase: "Pending"},
		{name: "init fails for good", reason: "without restarts the pod fails",
			pod: pod(never, withInit("i")), seen: seen(exited("i", 1)), want: "Cleaning: teardown", phase: "Failed"},
		{name: "all init done", reason: "the app follows",
			pod: pod(withInit("i")), seen: seen(exited("i", 0)), want: "Running: start c[0]", phase: "Pending"},
		{name: "sidecar", reason: "a sidecar only needs to be started",
			pod: pod(withSidecar("s"), withInit("i")), seen: seen(running("s")), want: "Initializing: start i[0]", phase: "Pending"},
		{name: "sidecar with startup probe", reason: "started means that the startup probe has passed",
			pod: pod(withSidecar("s"), func(p *corev1.Pod) { p.Spec.InitContainers[0].StartupProbe = &corev1.Probe{} }), seen: seen(running("s")),
			want: "Initializing: nothing", phase: "Pending"},
		{name: "sidecar died", reason: "sidecars are restarted beside the app",
			pod: pod(withSidecar("s")), seen: seen(exited("s", 0), running("c")), want: "Running: start s[1]", phase: "Running"},
		{name: "app done, sidecar runs", reason: "a pod ends without waiting for its sidecars",
			pod: pod(never, withSidecar("s")), seen: seen(running("s"), exited("c", 0)), want: "Stopping: stop s within 30s", phase: "Running"},
		{name: "postStart holds back", reason: "later containers wait for an earlier postStart",
			pod: pod(func(p *corev1.Pod) {
				p.Spec.Containers[0].Lifecycle = &corev1.Lifecycle{PostStart: &corev1.LifecycleHandler{}}
				p.Spec.Containers = append(p.Spec.Containers, corev1.Container{Name: "d", Image: "img"})
			}), seen: seen(), want: "Running: start c[0]", phase: "Pending"},

		{name: "deleted", reason: "deletion stops what runs",
			pod: pod(deletedPod(30)), seen: seen(running("c")), want: "Stopping: stop c within 30s", phase: "Running"},
		{name: "deleted, stopping", reason: "a stop is not repeated",
			pod: pod(deletedPod(30)), seen: seen(running("c")).busy("stop c-0").with(func(o *Observed) {
				o.Deadlines = map[string]time.Time{"c-0": at(time.Minute + 30*time.Second)}
			}), want: "Stopping: nothing", phase: "Running"},
		{name: "deleted again, sooner", reason: "a shorter grace period overtakes",
			pod: pod(deletedPod(1)), seen: seen(running("c")).busy("stop c-0").with(func(o *Observed) {
				o.Deadlines = map[string]time.Time{"c-0": at(time.Minute + 30*time.Second)}
			}), want: "Stopping: stop c within 1s", phase: "Running"},
		{name: "deleted while pulling", reason: "a long pull is given up",
			pod: pod(deletedPod(30)), seen: seen().busy("start c"), want: "Stopping: cancel start c", phase: "Pending"},
		{name: "deleted, sidecars last", reason: "sidecars outlive the app",
			pod: pod(deletedPod(30), withSidecar("s"), withSidecar("r")), seen: seen(running("s"), running("r"), running("c")),
			want: "Stopping: stop c within 30s", phase: "Running"},
		{name: "deleted, app gone", reason: "sidecars stop in reverse with the rest of the time", now: time.Minute + 20*time.Second,
			pod: pod(deletedPod(30), withSidecar("s"), withSidecar("r")), seen: seen(running("s"), running("r"), exited("c", 0)),
			want: "Stopping: stop r within 10s", phase: "Running"},
		{name: "deleted, exited, not reported", reason: "the end is reported before the evidence goes",
			pod: pod(deletedPod(30)), seen: seen(exited("c", 0)), want: "Cleaning: nothing", phase: "Succeeded"},
		{name: "deleted, exited, reported", reason: "containers go first",
			pod: pod(deletedPod(30)), seen: seen(exited("c", 0)).with(func(o *Observed) { o.Reported = true }), want: "Cleaning: remove c", phase: "Succeeded"},
		{name: "deleted, containers gone", reason: "then network, volumes and cgroup",
			pod: pod(deletedPod(30)), seen: seen(), want: "Cleaning: teardown", phase: "Failed"},
		{name: "deleted, nothing held, not reported", reason: "the last status is stored first",
			pod: pod(deletedPod(30)), seen: Observed{}, want: "Leaving: nothing", phase: "Failed"},
		{name: "deleted, nothing held", reason: "then the object goes",
			pod: pod(deletedPod(30)), seen: Observed{Reported: true}, want: "Leaving: delete", phase: "Failed"},
		{name: "deleted, nothing held but by others", reason: "who put the finalizer there lets the object go",
			pod: pod(deletedPod(0), heldPod), seen: Observed{Reported: true}, want: "Leaving: nothing", phase: "Failed"},
		{name: "deleted and held, not told yet", reason: "that the pod has ended is told by the end of its grace",
			pod: pod(deletedPod(30), heldPod), seen: Observed{Reported: true}, want: "Leaving: delete", phase: "Failed"},
		{name: "gone from the API", reason: "containers of unknown pods are stopped quickly",
			pod: pod(), seen: seen(running("c")).with(func(o *Observed) { o.Removed = true }), want: "Stopping: stop c within 1s", phase: "Running"},
		{name: "gone and clean", reason: "the worker ends",
			pod: pod(), seen: Observed{Removed: true}, want: "Gone: nothing", phase: "Failed"},

		{name: "deadline", reason: "activeDeadlineSeconds wakes the worker",
			pod: pod(deadline(90)), seen: seen(running("c")),
			want: "Running: nothing", phase: "Running", wake: 90 * time.Second},
		{name: "deadline over", reason: "and ends the pod",
			pod: pod(deadline(60)), seen: seen(running("c")),
			want: "Stopping: stop c within 30s", phase: "Running"},
		{name: "deadline over, ended well", reason: "who ends because of the deadline has not succeeded",
			pod: pod(never, deadline(60)), seen: seen(exited("c", 0)), want: "Cleaning: teardown", phase: "Failed"},
		{name: "ended well, deadline over", reason: "who was earlier has",
			pod: pod(never, deadline(61)), seen: seen(exited("c", 0)), now: 2 * time.Minute, want: "Cleaning: teardown", phase: "Succeeded"},
		{name: "rejected", reason: "nothing is made for a pod that cannot run here",
			pod: pod(), seen: Observed{Rejected: &Rejection{"OutOfcpu", "too small"}}, want: "Finished: nothing", phase: "Failed"},
		{name: "failed by others", reason: "a terminal phase is final, whoever wrote it",
			pod: pod(func(p *corev1.Pod) { p.Status.Phase = corev1.PodFailed }), seen: seen(running("c")), want: "Stopping: stop c within 30s", phase: "Failed"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if tc.now == 0 {
				tc.now = time.Minute
			}
			before := tc.pod.DeepCopy()
			plan, status := Step(tc.pod, tc.seen, at(tc.now))
			if plan.String() != tc.want {
				t.Errorf("plan %q, want %q: %s", plan, tc.want, tc.reason)
			}
			if status.Phase != tc.phase {
				t.Errorf("phase %q, want %q: %s", status.Phase, tc.phase, tc.reason)
			}
			if tc.wake != 0 && !plan.Wake.Equal(at(tc.wake)) || tc.wake == 0 && !plan.Wake.IsZero() {
				t.Errorf("wakes after %v, want %v: %s", plan.Wake.Sub(t0), tc.wake, tc.reason)
			}
			if diff := cmp.Diff(before, tc.pod); diff != "" {
				t.Errorf("Step changed the pod:\n%s", diff)
			}
		})
	}
}
