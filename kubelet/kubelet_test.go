package kubelet_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	nodev1 "k8s.io/api/node/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/miniorch/miniorch/kubelet"
	"github.com/miniorch/miniorch/kubelet/container"
	"github.com/miniorch/miniorch/pkg/api"
	"github.com/miniorch/miniorch/pkg/client"
	"github.com/miniorch/miniorch/pkg/leaktest"
)

func TestMain(m *testing.M) { leaktest.MainPrivate(m) }

func restart(p corev1.RestartPolicy) func(*corev1.Pod) {
	return func(pod *corev1.Pod) { pod.Spec.RestartPolicy = p }
}

func TestPodRunsAndGoes(t *testing.T) {
	scenario(t, func(h *harness) {
		h.create("web")
		h.expect("web", "Running ready c[0]:running")
		p := h.pod("web")
		if p.Status.PodIP == "" || p.Status.HostIP != "10.89.0.2" || p.Status.QOSClass != corev1.PodQOSBestEffort {
			t.Errorf("status lacks addresses or class: %+v", p.Status)
		}
		if got, want := strings.Join(h.events("web"), " "), "Pulling Pulled Created Started"; got != want {
			t.Errorf("events %q, want %q", got, want)
		}
		before := p.ResourceVersion
		time.Sleep(time.Hour)
		if got := h.pod("web").ResourceVersion; got != before {
			t.Error("the pod was written although nothing happened")
		}
		h.delete("web", nil)
		h.expect("web", "gone")
		h.nothingLeft()
		if got := h.events("web"); !slices.Contains(got, "Killing") {
			t.Errorf("no Killing event in %v", got)
		}
		var plans []string
		for _, r := range h.decisions.Since(0) {
			plans = append(plans, r.Plan)
		}
		want := "Preparing: prepare; Running: start c[0]; Stopping: stop c within 30s; Cleaning: remove c; Cleaning: teardown; Leaving: delete"
		if got := strings.Join(plans, "; "); got != want {
			t.Errorf("decided\n%s, want\n%s", got, want)
		}
	})
}

func TestCrashLoop(t *testing.T) {
	scenario(t, func(h *harness) {
		h.create("web")
		h.exit("web", "c", 1)
		h.expect("web", "Running ready c[1]:running")
		time.Sleep(time.Second)
		h.exit("web", "c", 1)
		h.expect("web", "Running c[1]:CrashLoopBackOff")
		time.Sleep(9 * time.Second)
		h.expect("web", "Running c[1]:CrashLoopBackOff")
		time.Sleep(time.Second)
		h.expect("web", "Running ready c[2]:running")
		h.exit("web", "c", 1)
		time.Sleep(19 * time.Second)
		h.expect("web", "Running c[2]:CrashLoopBackOff")
		time.Sleep(time.Second)
		h.expect("web", "Running ready c[3]:running")
		if got := h.events("web"); !slices.Contains(got, "BackOff") {
			t.Errorf("no BackOff event in %v", got)
		}
		// A restarted agent knows how often it was.
		h.stopAgent()
		h.exit("web", "c", 1)
		h.startAgent()
		h.expect("web", "Running c[3]:CrashLoopBackOff")
		time.Sleep(39 * time.Second)
		h.expect("web", "Running c[3]:CrashLoopBackOff")
		time.Sleep(time.Second)
		h.expect("web", "Running ready c[4]:running")
		all, _ := h.node.runtime.Containers(t.Context())
		if len(all) != 2 {
			t.Errorf("%d instances are kept, want the running and the previous one", len(all))
		}
	})
}

func TestRestartPolicies(t *testing.T) {
	for _, tc := range []struct {
		policy corev1.RestartPolicy
		code   int
		want   string
	}{
		{corev1.RestartPolicyAlways, 0, "Running ready c[1]:running"},
		{corev1.RestartPolicyOnFailure, 0, "Succeeded c[0]:Completed(0)"},
		{corev1.RestartPolicyOnFailure, 7, "Running ready c[1]:running"},
		{corev1.RestartPolicyNever, 0, "Succeeded c[0]:Completed(0)"},
		{corev1.RestartPolicyNever, 7, "Failed c[0]:Error(7)"},
	} {
		scenario(t, func(h *harness) {
			h.create("job", restart(tc.policy))
			h.exit("job", "c", tc.code)
			h.expect("job", tc.want)
			networks, _ := h.node.Network.Sandboxes(t.Context())
			if done := !strings.HasPrefix(tc.want, "Running"); done != (len(networks) == 0) {
				t.Errorf("%s after exit %d: networks held: %v", tc.policy, tc.code, networks)
			}
			h.delete("job", nil)
			h.expect("job", "gone")
			h.nothingLeft()
		})
	}
}

func TestAgentRestartTouchesNothing(t *testing.T) {
	scenario(t, func(h *harness) {
		h.create("stays", func(p *corev1.Pod) {
			p.Spec.Containers[0].ReadinessProbe = &corev1.Probe{PeriodSeconds: 10, ProbeHandler: corev1.ProbeHandler{Exec: &corev1.ExecAction{Command: []string{"ready"}}}}
			p.Spec.Containers[0].StartupProbe = &corev1.Probe{ProbeHandler: corev1.ProbeHandler{Exec: &corev1.ExecAction{Command: []string{"started"}}}}
		})
		h.create("goes")
		h.create("exits")
		h.expect("stays", "Running ready c[0]:running")
		id, version := h.running("stays", "c"), h.pod("stays").ResourceVersion
		h.stopAgent()
		h.delete("goes", nil)
		h.delete("goes", new(int64)) // forced: the API has forgotten it
		h.exit("exits", "c", 1)
		time.Sleep(time.Minute)
		h.startAgent()
		h.expect("exits", "Running ready c[1]:running")
		if got := h.running("stays", "c"); got != id {
			t.Errorf("the container was replaced: %s, was %s", got, id)
		}
		if got := h.pod("stays").ResourceVersion; got != version {
			t.Errorf("the pod's status flapped: %s", h.line("stays"))
		}
		time.Sleep(2 * time.Second)
		all, _ := h.node.runtime.Containers(t.Context())
		for _, c := range all {
			if c.PodName == "goes" {
				t.Errorf("%s of a pod that is gone is still there", c)
			}
		}
		networks, _ := h.node.Network.Sandboxes(t.Context())
		if len(networks) != 2 {
			t.Errorf("networks of %v, want two pods", networks)
		}
	})
}

func TestImagePullFailures(t *testing.T) {
	scenario(t, func(h *harness) {
		var mu sync.Mutex
		var pulls []time.Time
		fail := true
		h.node.runtime.pull = func(context.Context, container.PullRequest) error {
			mu.Lock()
			defer mu.Unlock()
			pulls = append(pulls, time.Now())
			if fail {
				return container.ErrImageNotFound
			}
			return nil
		}
		h.create("web")
		h.expect("web", "Pending c[0]:ErrImagePull")
		time.Sleep(3 * time.Second)
		h.expect("web", "Pending c[0]:ImagePullBackOff")
		time.Sleep(30 * time.Second)
		mu.Lock()
		if len(pulls) != 3 || pulls[1].Sub(pulls[0]) != 10*time.Second || pulls[2].Sub(pulls[1]) != 20*time.Second {
			t.Errorf("pulled at %v, want after 0, 10 and 30 s", pulls)
		}
		fail = false
		mu.Unlock()
		if got := strings.Join(h.events("web"), " "); !strings.Contains(got, "Failed") || !strings.Contains(got, "BackOff") {
			t.Errorf("events %s", got)
		}
		h.expectWithin(time.Minute, "web", "Running ready c[0]:running")
	})
}

func TestOtherStartFailures(t *testing.T) {
	t.Run("never pull", func(t *testing.T) {
		scenario(t, func(h *harness) {
			h.create("web", func(p *corev1.Pod) { p.Spec.Containers[0].ImagePullPolicy = corev1.PullNever })
			h.expect("web", "Pending c[0]:ErrImageNeverPull")
		})
	})
	t.Run("missing config", func(t *testing.T) {
		scenario(t, func(h *harness) {
			h.create("web", func(p *corev1.Pod) {
				p.Spec.Containers[0].EnvFrom = []corev1.EnvFromSource{{ConfigMapRef: &corev1.ConfigMapEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "cm"}}}}
			})
			h.expect("web", "Pending c[0]:CreateContainerConfigError")
			cm := &corev1.ConfigMap{}
			cm.Name, cm.Namespace = "cm", "default"
			if _, err := client.Of[*corev1.ConfigMap](h.server).Create(t.Context(), cm); err != nil {
				t.Fatal(err)
			}
			h.expectWithin(20*time.Second, "web", "Running ready c[0]:running")
		})
	})
	t.Run("no such command", func(t *testing.T) {
		scenario(t, func(h *harness) {
			h.node.runtime.start = func(string) error { return container.ErrCommand }
			h.create("web")
			h.expect("web", "Running c[1]:RunContainerError")
			time.Sleep(5 * time.Second)
			h.expect("web", "Running c[1]:CrashLoopBackOff")
			h.create("once", restart(corev1.RestartPolicyNever))
			h.expect("once", "Failed c[0]:StartError(128)")
		})
	})
	t.Run("another runtime", func(t *testing.T) {
		scenario(t, func(h *harness) {
			class := &nodev1.RuntimeClass{ObjectMeta: metav1.ObjectMeta{Name: "sandboxed"}, Handler: "gvisor"}
			classes := client.Of[*nodev1.RuntimeClass](h.server)
			stored, err := classes.Create(t.Context(), class)
			if err != nil {
				t.Fatal(err)
			}
			h.create("web", func(p *corev1.Pod) { p.Spec.RuntimeClassName = &class.Name })
			h.expect("web", "Pending c[0]:ContainerCreating")
			if got := h.node.runtime.logged(); got != "" {
				t.Errorf("the node was asked to %s", got)
			}
			stored.Handler = "runc" // the API refuses this; a class made anew comes to the same
			if _, err := classes.Update(t.Context(), stored); err != nil {
				t.Fatal(err)
			}
			h.expectWithin(time.Minute, "web", "Running ready c[0]:running")
		})
	})
	t.Run("unsupported", func(t *testing.T) {
		scenario(t, func(h *harness) {
			yes := true
			h.create("web", func(p *corev1.Pod) { p.Spec.ShareProcessNamespace = &yes })
			h.expect("web", "Pending c[0]:CreateContainerConfigError")
		})
	})
}

func TestInitContainersAndSidecars(t *testing.T) {
	always := corev1.ContainerRestartPolicyAlways
	scenario(t, func(h *harness) {
		h.create("web", restart(corev1.RestartPolicyNever), func(p *corev1.Pod) {
			p.Spec.InitContainers = []corev1.Container{
				{Name: "side", Image: "img", RestartPolicy: &always},
				{Name: "first", Image: "img"}, {Name: "second", Image: "img"},
			}
		})
		h.expect("web", "Pending side[0]:running first[0]:running second[0]:PodInitializing c[0]:PodInitializing")
		h.exit("web", "first", 0)
		h.expect("web", "Pending side[0]:running first[0]:Completed(0) second[0]:running c[0]:PodInitializing")
		h.exit("web", "second", 0)
		h.expect("web", "Running ready side[0]:running first[0]:Completed(0) second[0]:Completed(0) c[0]:running")
		h.exit("web", "side", 1)
		h.expect("web", "Running ready side[1]:running first[0]:Completed(0) second[0]:Completed(0) c[0]:running")
		h.exit("web", "c", 0)
		h.expect("web", "Succeeded side[1]:Completed(0) first[0]:Completed(0) second[0]:Completed(0) c[0]:Completed(0)")
		if got, want := h.node.runtime.logged(), "start side, start first, start second, start c, start side, stop side 30s"; got != want {
			t.Errorf("the node was asked to\n%s, want\n%s", got, want)
		}
	})
}

func TestEphemeralContainers(t *testing.T) {
	debugger := func(name string) corev1.EphemeralContainer {
		return corev1.EphemeralContainer{EphemeralContainerCommon: corev1.EphemeralContainerCommon{Name: name, Image: "img", ImagePullPolicy: corev1.PullIfNotPresent}}
	}
	scenario(t, func(h *harness) {
		h.create("web")
		h.edit("web", func(p *corev1.Pod) { p.Spec.EphemeralContainers = []corev1.EphemeralContainer{debugger("look")} })
		h.expect("web", "Running ready c[0]:running look[0]:running")
		h.exit("web", "look", 3)
		time.Sleep(time.Hour)
		h.expect("web", "Running ready c[0]:running look[0]:Error(3)")
		h.edit("web", func(p *corev1.Pod) {
			p.Spec.EphemeralContainers = append(p.Spec.EphemeralContainers, debugger("again"))
		})
		h.exit("web", "c", 1)
		h.expect("web", "Running ready c[1]:running look[0]:Error(3) again[0]:running")
		h.stopAgent()
		h.startAgent()
		h.expect("web", "Running ready c[1]:running look[0]:Error(3) again[0]:running")
		if got, want := h.node.runtime.logged(), "start c, start look, start again, start c"; got != want {
			t.Errorf("the node was asked to\n%s, want\n%s", got, want)
		}
		h.delete("web", nil)
		h.expect("web", "gone")
		h.nothingLeft()
	})
	scenario(t, func(h *harness) { // the pod does not wait for who looks at it
		h.create("job", restart(corev1.RestartPolicyNever))
		h.edit("job", func(p *corev1.Pod) { p.Spec.EphemeralContainers = []corev1.EphemeralContainer{debugger("look")} })
		h.exit("job", "c", 0)
		h.expect("job", "Succeeded c[0]:Completed(0) look[0]:Completed(0)")
	})
}

func TestResize(t *testing.T) {
	sized := func(cpu string) func(*corev1.Pod) {
		return func(p *corev1.Pod) {
			p.Spec.Containers[0].Resources.Requests = corev1.ResourceList{"cpu": resource.MustParse(cpu)}
		}
	}
	has := func(h *harness, pod, resources, allocated, conditions string) {
		t.Helper()
		p := h.pod(pod)
		s := p.Status.ContainerStatuses[0]
		var shown []string
		for _, c := range p.Status.Conditions {
			if strings.HasPrefix(string(c.Type), "PodResize") {
				shown = append(shown, string(c.Type)+" "+c.Reason)
			}
		}
		got := fmt.Sprintf("%s has %s of %s %v", pod, s.Resources.Requests.Cpu(), s.AllocatedResources.Cpu(), shown)
		if want := fmt.Sprintf("%s has %s of %s [%s]", pod, resources, allocated, conditions); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	scenario(t, func(h *harness) { // of 32 CPUs
		h.create("web", sized("1"))
		id := h.running("web", "c")
		h.edit("web", sized("2"))
		has(h, "web", "2", "2", "")
		if h.running("web", "c") != id {
			t.Error("the container was replaced")
		}
		h.edit("web", sized("33"))
		has(h, "web", "2", "2", "PodResizePending Infeasible")
		h.exit("web", "c", 1) // what cannot be had is not given to the next instance either
		has(h, "web", "2", "2", "PodResizePending Infeasible")
		h.create("other", sized("20")) // and does not count
		h.expect("other", "Running ready c[0]:running")
		h.edit("web", sized("20"))
		has(h, "web", "2", "2", "PodResizePending Deferred")
		h.delete("other", nil)
		synctest.Wait()
		has(h, "web", "20", "20", "")
		h.expect("web", "Running ready c[1]:running")
	})
	scenario(t, func(h *harness) {
		h.create("web", sized("1"), restart(corev1.RestartPolicyOnFailure), func(p *corev1.Pod) {
			p.Spec.Containers[0].ResizePolicy = []corev1.ContainerResizePolicy{{ResourceName: "cpu", RestartPolicy: corev1.RestartContainer}}
		})
		h.edit("web", sized("2"))
		h.expect("web", "Running ready c[1]:running")
		has(h, "web", "2", "2", "")
		h.edit("web", func(p *corev1.Pod) {
			p.Spec.Containers[0].Resources.Requests["memory"] = resource.MustParse("1Gi")
		})
		h.expect("web", "Running ready c[1]:running")
		h.exit("web", "c", 0)
		h.expect("web", "Succeeded c[1]:Completed(0)")
	})
}

func TestHooks(t *testing.T) {
	scenario(t, func(h *harness) {
		h.node.runtime.exec = func(_ string, command []string) (string, int) {
			if command[0] == "post" {
				time.Sleep(3 * time.Second)
			}
			return "", 0
		}
		h.create("web", func(p *corev1.Pod) {
			p.Spec.Containers[0].Lifecycle = &corev1.Lifecycle{
				PostStart: &corev1.LifecycleHandler{Exec: &corev1.ExecAction{Command: []string{"post"}}},
				PreStop:   &corev1.LifecycleHandler{Sleep: &corev1.SleepAction{Seconds: 5}},
			}
			p.Spec.Containers = append(p.Spec.Containers, corev1.Container{Name: "later", Image: "img"})
		})
		h.expect("web", "Pending c[0]:running later[0]:ContainerCreating")
		time.Sleep(3 * time.Second)
		h.expect("web", "Running ready c[0]:running later[0]:running")
		h.delete("web", nil)
		time.Sleep(4 * time.Second)
		h.expect("web", "Running c[0]:running later[0]:Completed(0)")
		time.Sleep(time.Second)
		h.expect("web", "gone")
		if got, want := h.node.runtime.logged(), "start c, exec c post, start later, stop later 30s, stop c 25s"; got != want {
			t.Errorf("the node was asked to\n%s, want\n%s", got, want)
		}
	})
}

func TestFailedPostStart(t *testing.T) {
	scenario(t, func(h *harness) {
		h.node.runtime.exec = func(string, []string) (string, int) { return "no", 1 }
		h.create("web", restart(corev1.RestartPolicyNever), func(p *corev1.Pod) {
			p.Spec.Containers[0].Lifecycle = &corev1.Lifecycle{PostStart: &corev1.LifecycleHandler{Exec: &corev1.ExecAction{Command: []string{"post"}}}}
		})
		if got := h.events("web"); !slices.Contains(got, "FailedPostStartHook") || !slices.Contains(got, "Killing") {
			t.Errorf("events %v: the container was not stopped for its hook", got)
		}
	})
}

func TestProbesDecide(t *testing.T) {
	probe := func(what string) *corev1.Probe {
		return &corev1.Probe{PeriodSeconds: 1, FailureThreshold: 3, ProbeHandler: corev1.ProbeHandler{Exec: &corev1.ExecAction{Command: []string{what}}}}
	}
	scenario(t, func(h *harness) {
		var answers sync.Map // exit codes, by the probe's command
		answer := func(what string, code int) { answers.Store(what, code) }
		answer("startup", 1)
		answer("ready", 1)
		answer("live", 0)
		h.node.runtime.exec = func(_ string, command []string) (string, int) {
			code, _ := answers.Load(command[0])
			return "sick", code.(int)
		}
		h.create("web", func(p *corev1.Pod) {
			c := &p.Spec.Containers[0]
			c.StartupProbe, c.ReadinessProbe, c.LivenessProbe = probe("startup"), probe("ready"), probe("live")
			c.StartupProbe.FailureThreshold = 100
		})
		h.expect("web", "Running c[0]:running")
		time.Sleep(2500 * time.Millisecond)
		if got := h.node.runtime.logged(); strings.Contains(got, "live") || strings.Contains(got, "ready") {
			t.Errorf("probes ran before the container had started: %s", got)
		}
		answer("startup", 0)
		time.Sleep(time.Second)
		h.expect("web", "Running c[0]:running")
		answer("ready", 0)
		time.Sleep(time.Second)
		h.expect("web", "Running ready c[0]:running")
		answer("ready", 1)
		time.Sleep(2 * time.Second)
		h.expect("web", "Running ready c[0]:running")
		time.Sleep(time.Second)
		h.expect("web", "Running c[0]:running")
		answer("ready", 0)
		answer("live", 1)
		h.expectWithin(10*time.Second, "web", "Running ready c[1]:running")
		if got := strings.Join(h.events("web"), " "); !strings.Contains(got, "Unhealthy") || !strings.Contains(got, "Killing") {
			t.Errorf("events %s", got)
		}
	})
}

func TestShorterGraceOvertakes(t *testing.T) {
	scenario(t, func(h *harness) {
		h.node.runtime.stop = func(ctx context.Context, _ string, req container.StopRequest) error {
			select { // a process that ignores SIGTERM
			case <-time.After(req.Grace):
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		h.create("web")
		h.delete("web", nil)
		time.Sleep(5 * time.Second)
		if !h.exists("web") {
			t.Fatal("gone before its time")
		}
		one := int64(1)
		h.delete("web", &one)
		time.Sleep(1100 * time.Millisecond)
		h.expect("web", "gone")
		h.nothingLeft()
	})
}

func TestDeletedWhilePulling(t *testing.T) {
	scenario(t, func(h *harness) {
		h.node.runtime.pull = func(ctx context.Context, _ container.PullRequest) error {
			<-ctx.Done()
			return ctx.Err()
		}
		h.create("web")
		h.expect("web", "Pending c[0]:ContainerCreating")
		h.delete("web", nil)
		h.expect("web", "gone")
		h.nothingLeft()
	})
}

func TestLongPullsTellHowFarTheyAre(t *testing.T) {
	scenario(t, func(h *harness) {
		h.node.runtime.pull = func(_ context.Context, req container.PullRequest) error {
			for fetched := range int64(4) {
				req.Progress(container.PullProgress{Stage: "downloading", Layers: 2, LayersDone: int(fetched) / 2, Bytes: fetched << 20, TotalBytes: 4 << 20})
				time.Sleep(4 * time.Second)
			}
			return nil
		}
		h.create("web")
		time.Sleep(17 * time.Second)
		h.expect("web", "Running ready c[0]:running")
		told := h.messages("web", "Pulling")
		if len(told) != 4 || !strings.Contains(told[1], "downloading, 1.0 of 4.0 MiB, 0 of 2 layers") || !strings.Contains(told[3], "3.0 of 4.0 MiB, 1 of 2 layers") {
			t.Errorf("a pull of 16 seconds is told of at its start and every five seconds: %q", told)
		}
	})
}

func TestActiveDeadline(t *testing.T) {
	scenario(t, func(h *harness) {
		h.create("web", func(p *corev1.Pod) { p.Spec.ActiveDeadlineSeconds = new(int64(60)) })
		time.Sleep(58 * time.Second)
		h.expect("web", "Running ready c[0]:running")
		time.Sleep(3 * time.Second)
		h.expect("web", "Failed DeadlineExceeded c[0]:Completed(0)")
	})
}

// full are volumes that hold as much as they are told to.
type full struct {
	kubelet.Volumes
	used *atomic.Int64
}

func (f full) Used(context.Context, *corev1.Pod, string) (int64, error) { return f.used.Load(), nil }

func TestEvictedForItsVolume(t *testing.T) {
	scenario(t, func(h *harness) {
		h.stopAgent()
		volumes := full{h.node.Volumes, new(atomic.Int64)}
		h.node.Volumes, h.files = volumes, true
		h.startAgent()
		limit := resource.MustParse("10Mi")
		h.create("web", func(p *corev1.Pod) {
			p.Spec.Volumes = []corev1.Volume{{Name: "v", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{SizeLimit: &limit}}}}
		})
		h.create("other")
		volumes.used.Store(10 << 20)
		time.Sleep(time.Minute)
		h.expect("web", "Running ready c[0]:running")
		volumes.used.Store(10<<20 + 1)
		time.Sleep(11 * time.Second)
		h.expect("web", "Failed Evicted c[0]:Completed(0)")
		h.expect("other", "Running ready c[0]:running")
		p := h.pod("web")
		if want := `Usage of EmptyDir volume "v" exceeds the limit "10Mi". `; p.Status.Message != want {
			t.Errorf("message %q, want %q", p.Status.Message, want)
		}
		if c := api.PodCondition(p, corev1.DisruptionTarget); c == nil || c.Reason != "TerminationByKubelet" {
			t.Errorf("condition %v", c)
		}
		if got := h.node.runtime.logged(); !strings.HasSuffix(got, "stop c 1s") {
			t.Errorf("the node was asked to %s", got)
		}
		volumes.used.Store(0)
		h.stopAgent()
		h.startAgent()
		h.expect("web", "Failed Evicted c[0]:Completed(0)")
	})
}

func TestRejected(t *testing.T) {
	scenario(t, func(h *harness) {
		h.create("big", func(p *corev1.Pod) {
			p.Spec.Containers[0].Resources.Requests = corev1.ResourceList{"cpu": resource.MustParse("33")}
		})
		h.expect("big", "Failed OutOfcpu")
		if got := h.events("big"); !slices.Equal(got, []string{"OutOfcpu"}) {
			t.Errorf("events %v", got)
		}
		h.delete("big", nil)
		h.expect("big", "gone")
	})
}

// TestForcedDeletionMakesRoom: what was deleted by force is not in the API any more, so whoever
// binds the next pod counts on its room, although it takes a moment to end.
func TestForcedDeletionMakesRoom(t *testing.T) {
	scenario(t, func(h *harness) {
		port := func(p *corev1.Pod) {
			p.Spec.Containers[0].Ports = []corev1.ContainerPort{{ContainerPort: 80, HostPort: 80, Protocol: corev1.ProtocolTCP}}
		}
		h.node.runtime.stop = func(context.Context, string, container.StopRequest) error {
			time.Sleep(time.Second)
			return nil
		}
		h.create("first", port)
		h.create("late", port)
		h.expect("late", "Failed NodePorts")
		h.delete("first", new(int64))
		h.create("second", port)
		h.expect("second", "Running ready c[0]:running")
	})
}

// TestRuntimeAway: while containerd is away nothing is given up and nobody waits long after it
// is back.
func TestRuntimeAway(t *testing.T) {
	scenario(t, func(h *harness) {
		var away atomic.Bool
		state := func() error {
			if away.Load() {
				return fmt.Errorf("asking: %w", container.ErrUnavailable)
			}
			return nil
		}
		h.node.runtime.start = func(string) error { return state() }
		h.node.runtime.stop = func(context.Context, string, container.StopRequest) error { return state() }
		away.Store(true)
		h.create("web")
		time.Sleep(time.Second)
		away.Store(false)
		h.expectWithin(2*time.Second, "web", "Running ready c[0]:running")
		away.Store(true)
		h.delete("web", new(int64(5)))
		time.Sleep(time.Second)
		away.Store(false)
		h.expectWithin(8*time.Second, "web", "gone")
		h.nothingLeft()
	})
}

func TestStatusSurvivesConflictsAndOutages(t *testing.T) {
	scenario(t, func(h *harness) {
		failures := 5
		h.server.FailWith(func(verb string, req client.Request) error {
			if verb != "update" || req.Subresource != "status" || req.Resource.Name != "pods" || failures == 0 {
				return nil
			}
			failures--
			if failures%2 == 0 {
				return apierrors.NewConflict(schema.GroupResource{Resource: "pods"}, req.Name, errors.New("moved"))
			}
			return apierrors.NewInternalError(errors.New("away"))
		})
		h.create("web")
		h.expectWithin(10*time.Second, "web", "Running ready c[0]:running")
	})
}

func TestReadinessGate(t *testing.T) {
	scenario(t, func(h *harness) {
		h.create("web", func(p *corev1.Pod) { p.Spec.ReadinessGates = []corev1.PodReadinessGate{{ConditionType: "lb"}} })
		h.expect("web", "Running c[0]:running")
		p := h.pod("web").DeepCopy()
		p.Status.Conditions = append(p.Status.Conditions, corev1.PodCondition{Type: "lb", Status: corev1.ConditionTrue})
		if _, err := client.Of[*corev1.Pod](h.server).UpdateStatus(t.Context(), p); err != nil {
			t.Fatal(err)
		}
		h.expect("web", "Running ready c[0]:running")
		if c := api.PodCondition(h.pod("web"), "lb"); c == nil {
			t.Error("the condition of another was lost")
		}
	})
}

func TestFilesOfAPod(t *testing.T) {
	scenario(t, func(h *harness) {
		h.stopAgent()
		h.files = true
		h.startAgent()
		h.create("web", restart(corev1.RestartPolicyNever))
		h.expect("web", "Running ready c[0]:running")
		dir := filepath.Join(h.dir, "root", "pods", "uid-web")
		hosts, err := os.ReadFile(filepath.Join(dir, "etc", "hosts"))
		if err != nil || !strings.Contains(string(hosts), h.pod("web").Status.PodIP+"\tweb\n") {
			t.Errorf("hosts: %s %v", hosts, err)
		}
		if err := os.WriteFile(filepath.Join(dir, "containers", "c", "0"), []byte("good bye"), 0o600); err != nil {
			t.Fatal(err)
		}
		h.exit("web", "c", 0)
		h.expect("web", "Succeeded c[0]:Completed(0)")
		if got := h.pod("web").Status.ContainerStatuses[0].State.Terminated.Message; got != "good bye" {
			t.Errorf("termination message %q", got)
		}
		h.delete("web", nil)
		h.expect("web", "gone")
		synctest.Wait()
		for _, d := range []string{filepath.Join(h.dir, "root", "pods"), filepath.Join(h.dir, "logs")} {
			if left, _ := os.ReadDir(d); len(left) > 0 {
				t.Errorf("%s holds %v", d, left)
			}
		}
	})
}
