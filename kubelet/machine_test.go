package kubelet_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/miniorch/miniorch/deploy/images"
	"github.com/miniorch/miniorch/kubelet"
	"github.com/miniorch/miniorch/kubelet/cgroups"
	"github.com/miniorch/miniorch/kubelet/container"
	"github.com/miniorch/miniorch/kubelet/hollow"
	"github.com/miniorch/miniorch/kubelet/logs"
	_ "github.com/miniorch/miniorch/kubelet/logs/writer/early" // this test binary is its own log writer
	containerd "github.com/miniorch/miniorch/kubelet/runtime"
	"github.com/miniorch/miniorch/kubelet/runtime/supervise"
	"github.com/miniorch/miniorch/kubelet/volumes"
	"github.com/miniorch/miniorch/pkg/api"
	"github.com/miniorch/miniorch/pkg/client"
	"github.com/miniorch/miniorch/pkg/client/clienttest"
	"github.com/miniorch/miniorch/pkg/leaktest"
)

// machine is a real node but for its network: a private containerd, real cgroups, volumes
// and logs.
type machine struct {
	t       testing.TB
	server  graceful
	dir     string
	parts   kubelet.Parts
	runtime *containerd.Runtime
	agent   *kubelet.Kubelet
	stop    func()
}

func newMachine(t testing.TB) *machine {
	if os.Geteuid() != 0 {
		t.Skip("runs real containers: needs root")
	}
	for _, program := range []string{"containerd", "runc", "containerd-shim-runc-v2"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("runs real containers: needs %s", program)
		}
	}
	dir, err := os.MkdirTemp("", "mo") // t.TempDir's path is too long for sockets
	if err != nil {
		t.Fatal(err)
	}
	m := &machine{t: t, dir: dir, server: graceful{clienttest.NewServer(t)}}
	root := "/" + leaktest.Name() + "-" + filepath.Base(dir)
	groups, err := cgroups.NewManager(root)
	if err != nil {
		t.Fatal(err)
	}
	s, err := supervise.New(supervise.Config{Root: dir + "/root", State: dir + "/state", Cgroup: root + "/runtime", Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.checkClean(groups, root) })
	clienttest.Run(t, s.Run)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if m.runtime, err = containerd.New(containerd.Config{Address: s.Address(), StateDir: dir + "/agent",
		LogWriter: containerd.LogWriter{Path: self}, Logger: slog.New(slog.DiscardHandler)}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.runtime.Close() })
	m.importBusybox()
	reader := logs.NewReader(logs.Config{})
	t.Cleanup(func() { reader.Close() })
	content := volumes.New(m.server, volumes.Config{RootDir: dir + "/kubelet", Logger: slog.New(slog.DiscardHandler)})
	clienttest.Run(t, content.Run)
	m.parts = kubelet.Parts{Runtime: m.runtime, Network: hollow.NewNetwork(), Volumes: content, Logs: reader, Cgroups: groups}
	m.startAgent()
	t.Cleanup(func() { m.stop() })
	return m
}

func (m *machine) importBusybox() {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(m.t.Context(), 2*time.Minute)
	defer cancel()
	if err := m.runtime.WaitReady(ctx); err != nil {
		m.t.Fatal(err)
	}
	image, err := images.Busybox("/bin/busybox", runtime.GOARCH)
	if err != nil {
		m.t.Skipf("needs busybox-static: %v", err)
	}
	tarball := filepath.Join(m.dir, "busybox.tar")
	if err := images.WriteTarball(tarball, image, "docker.io/library/busybox:latest"); err != nil {
		m.t.Fatal(err)
	}
	if _, err := m.runtime.Import(ctx, tarball); err != nil {
		m.t.Fatal(err)
	}
}

// checkClean is the last thing to happen: nothing of the test may be left on the machine.
func (m *machine) checkClean(groups *cgroups.Manager, root string) {
	if err := groups.RemoveAll(); err != nil {
		m.t.Errorf("removing cgroups: %v", err)
	}
	left := removeCgroups(root)
	for end := time.Now().Add(2 * time.Minute); left != nil && time.Now().Before(end); left = removeCgroups(root) {
		time.Sleep(10 * time.Millisecond) // shims go a moment after their last container
	}
	if left != nil {
		m.t.Errorf("removing cgroups: %v", left)
	}
	table, _ := os.ReadFile("/proc/self/mountinfo")
	if strings.Contains(string(table), m.dir+"/") {
		m.t.Error("mounts are left behind")
	}
	if err := os.RemoveAll(m.dir); err != nil {
		m.t.Error(err)
	}
}

// removeCgroups removes, in every hierarchy, containerd's own cgroup and the level above.
func removeCgroups(root string) error {
	var errs []error
	for _, pattern := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/*"} {
		for _, level := range []string{root + "/runtime", root} {
			found, _ := filepath.Glob(pattern + level)
			for _, d := range found {
				errs = append(errs, os.Remove(d))
			}
		}
	}
	return errors.Join(errs...)
}

func (m *machine) startAgent() {
	m.t.Helper()
	informers := clienttest.NewInformersWith(m.t, m.server, client.Config{Logger: slog.New(slog.DiscardHandler)})
	cfg := hollow.NodeConfig() // the test is not about how full this machine is
	agent, err := kubelet.New(m.server, informers, m.parts, kubelet.Config{
		NodeName: "n1", NodeIP: "10.89.0.2", RootDir: m.dir + "/kubelet", LogDir: m.dir + "/logs", Node: cfg,
		ClusterDNS: []string{"10.96.0.10"}, Logger: slog.New(slog.NewTextHandler(m.t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn})),
	})
	if err != nil {
		m.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = informers.Run(ctx) })
	running.Go(func() {
		if err := agent.Run(ctx); err != nil {
			m.t.Errorf("the agent failed: %v", err)
		}
	})
	m.agent = agent
	m.stop = func() {
		cancel()
		running.Wait()
	}
}

func (m *machine) create(name, script string, changes ...func(*corev1.Pod)) {
	m.t.Helper()
	grace := int64(1)
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default", UID: types.UID("uid-" + name), Labels: map[string]string{"app": name}},
		Spec: corev1.PodSpec{NodeName: "n1", RestartPolicy: corev1.RestartPolicyNever, TerminationGracePeriodSeconds: &grace,
			Containers: []corev1.Container{{Name: "c", Image: "busybox", ImagePullPolicy: corev1.PullNever,
				Command: []string{"sh", "-c", script}, TerminationMessagePath: "/dev/termination-log"}}},
	}
	for _, f := range changes {
		f(p)
	}
	if _, err := client.Of[*corev1.Pod](m.server).Create(m.t.Context(), p); err != nil {
		m.t.Fatal(err)
	}
}

// until waits for a pod to be as f wants it; f returns what is still wrong.
func (m *machine) until(name string, f func(*corev1.Pod) string) {
	m.t.Helper()
	wrong := ""
	for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		p, err := client.Of[*corev1.Pod](m.server).Get(m.t.Context(), "default", name)
		if err != nil {
			p = nil
		}
		if wrong = f(p); wrong == "" {
			return
		}
	}
	m.t.Fatalf("pod %s: %s", name, wrong)
}

func phase(want corev1.PodPhase) func(*corev1.Pod) string {
	return func(p *corev1.Pod) string {
		if p == nil {
			return "gone"
		}
		if p.Status.Phase != want {
			return fmt.Sprintf("phase %s, want %s: %v", p.Status.Phase, want, p.Status.ContainerStatuses)
		}
		return ""
	}
}

func readyPod(p *corev1.Pod) string {
	if p == nil || !api.IsPodReady(p) {
		return "not ready"
	}
	return ""
}

func (m *machine) log(name string, opts corev1.PodLogOptions) string {
	m.t.Helper()
	var out bytes.Buffer
	if err := m.agent.ContainerLog(m.t.Context(), "default", name, "c", &opts, &out); err != nil {
		m.t.Fatal(err)
	}
	return out.String()
}

func (m *machine) delete(name string) {
	m.t.Helper()
	if err := client.Of[*corev1.Pod](m.server).Delete(m.t.Context(), "default", name, metav1.DeleteOptions{}); err != nil {
		m.t.Fatal(err)
	}
	m.until(name, func(p *corev1.Pod) string {
		if p != nil {
			return "still there"
		}
		return ""
	})
}

// TestRealContainers runs pods on a real containerd.
func TestRealContainers(t *testing.T) {
	m := newMachine(t)
	cm := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "cm", Namespace: "default"}, Data: map[string]string{"greeting": "hello"}}
	if _, err := client.Of[*corev1.ConfigMap](m.server).Create(t.Context(), cm); err != nil {
		t.Fatal(err)
	}
	t.Run("surroundings", m.surroundings)
	t.Run("init and failure", m.initAndFailure)
	t.Run("restart of the agent", m.agentRestart)
	t.Run("probes, hooks and exec", m.probesAndHooks)
	t.Run("out of memory", m.outOfMemory)
	t.Run("no such command", m.noSuchCommand)
	left, err := m.runtime.Containers(t.Context())
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
	if dirs, _ := os.ReadDir(m.dir + "/kubelet/pods"); len(dirs) > 0 {
		t.Errorf("directories left behind: %v", dirs)
	}
}

// surroundings: variables, files and volumes are what a pod's processes see.
func (m *machine) surroundings(t *testing.T) {
	script := `echo "$GREETING from $POD at $NODE"; cat /config/greeting; echo; cat /labels/labels; echo; ` +
		`hostname; grep search /etc/resolv.conf; grep -c web /etc/hosts; echo done > /scratch/sub/f; ls /all/deep; echo bye > /dev/termination-log`
	m.create("web", script, func(p *corev1.Pod) {
		field := func(path string) *corev1.EnvVarSource {
			return &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: path}}
		}
		c := &p.Spec.Containers[0]
		c.Env = []corev1.EnvVar{
			{Name: "GREETING", ValueFrom: &corev1.EnvVarSource{ConfigMapKeyRef: &corev1.ConfigMapKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: "cm"}, Key: "greeting"}}},
			{Name: "POD", ValueFrom: field("metadata.name")}, {Name: "NODE", ValueFrom: field("status.hostIP")},
		}
		c.Resources.Requests = corev1.ResourceList{"cpu": resource.MustParse("10m"), "memory": resource.MustParse("16Mi")}
		c.VolumeMounts = []corev1.VolumeMount{
			{Name: "config", MountPath: "/config"}, {Name: "labels", MountPath: "/labels"},
			{Name: "scratch", MountPath: "/scratch/sub", SubPath: "deep"}, {Name: "scratch", MountPath: "/all"},
		}
		p.Spec.Volumes = []corev1.Volume{
			{Name: "config", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: "cm"}}}},
			{Name: "labels", VolumeSource: corev1.VolumeSource{DownwardAPI: &corev1.DownwardAPIVolumeSource{Items: []corev1.DownwardAPIVolumeFile{
				{Path: "labels", FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.labels"}}}}}},
			{Name: "scratch", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{Medium: corev1.StorageMediumMemory}}},
		}
	})
	m.until("web", phase(corev1.PodSucceeded))
	want := "hello from web at 10.89.0.2\nhello\napp=\"web\"\nweb\nsearch default.svc.cluster.local svc.cluster.local cluster.local"
	if got := m.log("web", corev1.PodLogOptions{}); !strings.HasPrefix(got, want) || !strings.HasSuffix(got, "1\nf\n") {
		t.Errorf("the pod saw\n%s, want\n%s…", got, want)
	}
	m.until("web", func(p *corev1.Pod) string {
		s := p.Status.ContainerStatuses[0].State.Terminated
		if s == nil || s.Message != "bye\n" || s.Reason != "Completed" {
			return fmt.Sprintf("terminated as %+v", s)
		}
		return ""
	})
	m.delete("web")
}

func (m *machine) initAndFailure(t *testing.T) {
	m.create("job", "echo out; echo oh no >&2; exit 3", func(p *corev1.Pod) {
		p.Spec.InitContainers = []corev1.Container{{Name: "first", Image: "busybox", ImagePullPolicy: corev1.PullNever, Command: []string{"true"}}}
		p.Spec.Containers[0].TerminationMessagePolicy = corev1.TerminationMessageFallbackToLogsOnError
	})
	m.until("job", phase(corev1.PodFailed))
	m.until("job", func(p *corev1.Pod) string {
		s := p.Status.ContainerStatuses[0].State.Terminated
		if s == nil || s.ExitCode != 3 || s.Reason != "Error" || !strings.Contains(s.Message, "oh no") {
			return fmt.Sprintf("terminated as %+v", s)
		}
		return ""
	})
	m.delete("job")
}

// pid is the first process of a pod's running container.
func (m *machine) pid(pod string) int {
	m.t.Helper()
	all, err := m.runtime.Containers(m.t.Context())
	for _, c := range all {
		if c.PodName == pod && c.State == container.StateRunning {
			return c.PID
		}
	}
	m.t.Fatalf("no container of %s runs: %v %v", pod, all, err)
	return 0
}

// kill has a process end, and waits until it has.
func kill(t *testing.T, pid int) {
	t.Helper()
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(2 * time.Minute); syscall.Kill(pid, 0) == nil; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("process %d does not end", pid)
		}
	}
}

// agentRestart: containers do not notice, what ended meanwhile is noticed, what was deleted
// meanwhile goes.
func (m *machine) agentRestart(t *testing.T) {
	m.create("stays", "i=0; while true; do i=$((i+1)); echo $i; sleep 0.05; done")
	m.create("ends", "trap 'exit 4' TERM; echo up; while true; do sleep 0.05; done")
	m.create("goes", "sleep 1000", func(p *corev1.Pod) { p.Spec.TerminationGracePeriodSeconds = new(int64(1)) })
	for _, name := range []string{"stays", "ends", "goes"} {
		m.until(name, readyPod)
	}
	before, _ := client.Of[*corev1.Pod](m.server).Get(t.Context(), "default", "stays")
	m.until("ends", func(*corev1.Pod) string { // before that it may still be runc, which ends otherwise
		if got := m.log("ends", corev1.PodLogOptions{}); got != "up\n" {
			return fmt.Sprintf("said %q", got)
		}
		return ""
	})
	ends := m.pid("ends")
	m.stop()
	if err := m.server.Server.Delete(t.Context(), client.Request{Resource: api.ResourceFor[*corev1.Pod](), Namespace: "default", Name: "goes"}, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	kill(t, ends)
	m.startAgent()
	m.until("ends", phase(corev1.PodFailed))
	if p, _ := client.Of[*corev1.Pod](m.server).Get(t.Context(), "default", "ends"); p.Status.ContainerStatuses[0].State.Terminated.ExitCode != 4 {
		t.Errorf("what ended without an agent ended as %+v; it said %q", p.Status.ContainerStatuses[0].State, m.log("ends", corev1.PodLogOptions{}))
	}
	after, _ := client.Of[*corev1.Pod](m.server).Get(t.Context(), "default", "stays")
	if before.ResourceVersion != after.ResourceVersion {
		t.Errorf("the status of an undisturbed pod was written: %v, was %v", after.Status, before.Status)
	}
	m.until("stays", func(*corev1.Pod) string {
		all, err := m.runtime.Containers(t.Context())
		for _, c := range all {
			if c.PodName == "goes" {
				return "the deleted pod is not gone"
			}
		}
		if err != nil {
			return err.Error()
		}
		return ""
	})
	for i, line := range strings.Split(strings.TrimSpace(m.log("stays", corev1.PodLogOptions{})), "\n") {
		if line != fmt.Sprint(i+1) {
			t.Fatalf("line %d of the log is %q: lines were lost", i+1, line)
		}
	}
	m.delete("stays")
	m.delete("ends")
}

// notReadyYet complains about a pod that is ready before its probe can have succeeded.
func notReadyYet(p *corev1.Pod) string {
	if api.IsPodReady(p) {
		return "ready too early"
	}
	return ""
}

func (m *machine) probesAndHooks(t *testing.T) {
	run := func(script string) corev1.ProbeHandler {
		return corev1.ProbeHandler{Exec: &corev1.ExecAction{Command: []string{"sh", "-c", script}}}
	}
	dir := t.TempDir()
	m.create("web", "trap 'exit 0' TERM; while true; do sleep 0.1; done", func(p *corev1.Pod) {
		p.Spec.TerminationGracePeriodSeconds = new(int64(120)) // the hook is waited for, however busy the machine
		c := &p.Spec.Containers[0]
		c.ReadinessProbe = &corev1.Probe{PeriodSeconds: 1, TimeoutSeconds: 60, ProbeHandler: run("test -e /tmp/ready")}
		c.Lifecycle = &corev1.Lifecycle{
			PostStart: &corev1.LifecycleHandler{Exec: &corev1.ExecAction{Command: []string{"touch", "/tmp/started"}}},
			PreStop:   &corev1.LifecycleHandler{Exec: &corev1.ExecAction{Command: []string{"touch", "/host/stopping"}}},
		}
		c.VolumeMounts = []corev1.VolumeMount{{Name: "host", MountPath: "/host"}}
		p.Spec.Volumes = []corev1.Volume{{Name: "host", VolumeSource: corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: dir}}}}
	})
	m.until("web", func(p *corev1.Pod) string {
		if s := p.Status.ContainerStatuses; len(s) == 0 || s[0].Started == nil || !*s[0].Started {
			return "not started"
		}
		return notReadyYet(p)
	})
	id, err := m.agent.ContainerID("default", "web", "c")
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	code, err := m.agent.Exec(t.Context(), id, container.ExecRequest{Command: []string{"sh", "-c", "ls /tmp; touch /tmp/ready; exit 5"}, Stdout: &out})
	if err != nil || code != 5 || !strings.Contains(out.String(), "started") {
		t.Errorf("exec: %d %v %q", code, err, out.String())
	}
	m.until("web", readyPod)
	m.delete("web")
	if _, err := os.Stat(filepath.Join(dir, "stopping")); err != nil {
		t.Errorf("the preStop hook did not run: %v", err)
	}
}

func (m *machine) outOfMemory(t *testing.T) {
	m.create("greedy", "head -c 100000000 /dev/zero | tail", func(p *corev1.Pod) {
		p.Spec.Containers[0].Resources.Limits = corev1.ResourceList{"memory": resource.MustParse("20Mi")}
	})
	m.until("greedy", phase(corev1.PodFailed))
	p, _ := client.Of[*corev1.Pod](m.server).Get(t.Context(), "default", "greedy")
	if s := p.Status.ContainerStatuses[0].State.Terminated; s.Reason != "OOMKilled" {
		t.Errorf("terminated as %+v, want OOMKilled", s)
	}
	m.delete("greedy")
}

func (m *machine) noSuchCommand(t *testing.T) {
	m.create("typo", "", func(p *corev1.Pod) { p.Spec.Containers[0].Command = []string{"/no/such/command"} })
	m.until("typo", phase(corev1.PodFailed))
	p, err := client.Of[*corev1.Pod](m.server).Get(t.Context(), "default", "typo")
	if s := p.Status.ContainerStatuses[0].State.Terminated; err != nil || s == nil || s.Reason != "StartError" || s.ExitCode != 128 {
		t.Errorf("terminated as %+v", errors.Join(err, fmt.Errorf("%+v", s)))
	}
	m.delete("typo")
}

// BenchmarkPodStart measures from the pod's creation in the API to its status Running there,
// with real containers, one pod at a time.
func BenchmarkPodStart(b *testing.B) {
	m := newMachine(b)
	var took []time.Duration
	for i := 0; b.Loop(); i++ {
		name := fmt.Sprint("p", i)
		began := time.Now()
		m.create(name, "exec sleep 1000")
		for {
			p, err := client.Of[*corev1.Pod](m.server).Get(b.Context(), "default", name)
			if err == nil && p.Status.Phase == corev1.PodRunning {
				break
			}
			time.Sleep(200 * time.Microsecond)
		}
		took = append(took, time.Since(began))
		b.StopTimer()
		m.delete(name)
		b.StartTimer()
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Milliseconds()), "p50-ms")
	b.ReportMetric(float64(took[len(took)*99/100].Milliseconds()), "p99-ms")
}
