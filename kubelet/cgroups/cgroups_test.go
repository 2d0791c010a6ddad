package cgroups

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/miniorch/miniorch/pkg/leaktest"
)

func TestConversions(t *testing.T) {
	for request, want := range map[string]uint64{"0": 2, "1m": 2, "100m": 102, "1": 1024, "2500m": 2560, "1000": 262144} {
		if got := Shares(resource.MustParse(request)); got != want {
			t.Errorf("Shares(%s) = %d, want %d", request, got, want)
		}
	}
	for limit, want := range map[string]int64{"0": 0, "1m": 1000, "100m": 10000, "1500m": 150000} {
		if got := Quota(resource.MustParse(limit)); got != want {
			t.Errorf("Quota(%s) = %d, want %d", limit, got, want)
		}
	}
	for shares, want := range map[uint64]uint64{0: 1, 2: 1, 1024: 100, 262144: 10000} {
		if got := Weight(shares); got != want {
			t.Errorf("Weight(%d) = %d, want %d", shares, got, want)
		}
	}
}

func list(cpu, memory string) corev1.ResourceList {
	out := corev1.ResourceList{}
	if cpu != "" {
		out[corev1.ResourceCPU] = resource.MustParse(cpu)
	}
	if memory != "" {
		out[corev1.ResourceMemory] = resource.MustParse(memory)
	}
	return out
}

func with(requests, limits corev1.ResourceList) corev1.Container {
	return corev1.Container{Resources: corev1.ResourceRequirements{Requests: requests, Limits: limits}}
}

func TestPod(t *testing.T) {
	always := corev1.ContainerRestartPolicyAlways
	sidecar := with(list("100m", ""), list("100m", "64Mi"))
	sidecar.RestartPolicy = &always
	cases := []struct {
		name, reason string
		init, app    []corev1.Container
		class        corev1.PodQOSClass
		want         Limits
	}{
		{
			"nothing", "no request, the least weight", nil, []corev1.Container{with(nil, nil)},
			corev1.PodQOSBestEffort, Limits{CPUShares: 2},
		},
		{
			"guaranteed", "limits equal requests in every container", nil,
			[]corev1.Container{with(list("500m", "1Gi"), list("500m", "1Gi")), with(list("500m", "1Gi"), list("500m", "1Gi"))},
			corev1.PodQOSGuaranteed, Limits{CPUShares: 1024, CPUQuota: 100000, Memory: 2 << 30},
		},
		{
			"one without limits", "no limit for the pod if one container has none", nil,
			[]corev1.Container{with(list("1", ""), list("1", "1Gi")), with(nil, nil)},
			corev1.PodQOSBurstable, Limits{CPUShares: 1024},
		},
		{
			"big init", "an init container runs alone: the larger need counts; a limit without request is one",
			[]corev1.Container{with(list("2", ""), list("2", "2Gi"))}, []corev1.Container{with(list("1", ""), list("1", "1Gi"))},
			corev1.PodQOSGuaranteed, Limits{CPUShares: 2048, CPUQuota: 200000, Memory: 2 << 30},
		},
		{
			"sidecar", "a sidecar runs beside the app and beside later init containers",
			[]corev1.Container{sidecar, with(list("1", ""), list("1", "1Gi"))}, []corev1.Container{with(list("500m", ""), list("500m", "512Mi"))},
			corev1.PodQOSGuaranteed, Limits{CPUShares: 1126, CPUQuota: 110000, Memory: 1<<30 + 64<<20},
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			pod := &corev1.Pod{Spec: corev1.PodSpec{InitContainers: c.init, Containers: c.app}}
			if got := QOSClass(pod); got != c.class {
				t.Errorf("%s: class %s, want %s", c.reason, got, c.class)
			}
			if diff := cmp.Diff(c.want, PodLimits(pod)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", c.reason, diff)
			}
		})
	}
}

// What the pod asks for and is limited to as a whole stands above its containers.
func TestPodLimitsOfTheWhole(t *testing.T) {
	one := corev1.Container{Resources: corev1.ResourceRequirements{
		Requests: list("100m", "64Mi"), Limits: list("200m", "128Mi"),
	}}
	whole := &corev1.ResourceRequirements{Requests: list("1", "512Mi"), Limits: list("", "1Gi")}
	pod := &corev1.Pod{Spec: corev1.PodSpec{Containers: []corev1.Container{one, {}}, Resources: whole}}
	want := Limits{CPUShares: 1024, Memory: 1 << 30}
	if diff := cmp.Diff(want, PodLimits(pod)); diff != "" {
		t.Errorf("memory limited by the pod, CPU by one container of two (-want +got):\n%s", diff)
	}
	pod.Spec.Containers = pod.Spec.Containers[:1]
	want.CPUQuota = 20_000
	if diff := cmp.Diff(want, PodLimits(pod)); diff != "" {
		t.Errorf("CPU limited by each container (-want +got):\n%s", diff)
	}
}

func TestParseMounts(t *testing.T) {
	const text = `27 1 254:0 / / rw,relatime - ext4 /dev/vda rw
30 29 0:26 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:9 - cgroup cgroup rw,cpu,cpuacct
31 29 0:27 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
32 29 0:28 / /sys/fs/cgroup/systemd rw - cgroup systemd rw,xattr,name=systemd
33 29 0:29 / /sys/fs/cgroup/unified rw - cgroup2 none rw
34 29 0:27 / /elsewhere/memory rw - cgroup cgroup rw,memory
`
	want := map[string]string{
		"cpu": "/sys/fs/cgroup/cpu,cpuacct", "cpuacct": "/sys/fs/cgroup/cpu,cpuacct", "memory": "/sys/fs/cgroup/memory",
		"systemd": "/sys/fs/cgroup/systemd", "unified": "/sys/fs/cgroup/unified",
	}
	if diff := cmp.Diff(want, parseMounts(bufio.NewScanner(strings.NewReader(text)))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestWrites: the same limits in the words of both versions.
func TestWrites(t *testing.T) {
	render := func(v Version, l Limits) []string {
		m := &Manager{hierarchy: Hierarchy{Version: v}}
		var out []string
		for _, w := range m.writes(l) {
			out = append(out, w.file+"="+w.value)
		}
		return out
	}
	some := Limits{CPUShares: 1024, CPUQuota: 50000, Memory: 1 << 20, PIDs: 9}
	for name, c := range map[string]struct{ got, want []string }{
		"v1":      {render(V1, some), []string{"cpu.shares=1024", "cpu.cfs_period_us=100000", "cpu.cfs_quota_us=50000", "memory.limit_in_bytes=1048576", "pids.max=9"}},
		"v1 none": {render(V1, Limits{}), []string{"cpu.shares=2", "cpu.cfs_period_us=100000", "cpu.cfs_quota_us=-1", "memory.limit_in_bytes=-1", "pids.max=max"}},
		"v2":      {render(V2, some), []string{"cpu.weight=100", "cpu.max=50000 100000", "memory.max=1048576", "pids.max=9"}},
		"v2 none": {render(V2, Limits{}), []string{"cpu.weight=1", "cpu.max=max 100000", "memory.max=max", "pids.max=max"}},
	} {
		if diff := cmp.Diff(c.want, c.got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// TestStatsV2 reads files as a version 2 kernel writes them.
func TestStatsV2(t *testing.T) {
	dir := t.TempDir()
	for file, text := range map[string]string{
		"memory.current": "5000\n", "memory.stat": "anon 3000\nfile 2000\ninactive_file 1500\npgfault 7\npgmajfault 1\n", "memory.swap.current": "4096\n",
		"memory.events": "low 0\noom 1\noom_kill 2\n", "cpu.stat": "usage_usec 1234\nuser_usec 1000\n", "pids.current": "3\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := Hierarchy{Version: V2, mounts: map[string]string{"": dir}}.Stats("/")
	if err != nil {
		t.Fatal(err)
	}
	want := Stats{CPU: 1234000, Memory: 5000, WorkingSet: 3500, RSS: 3000, Swap: 4096, Faults: 7, MajorFaults: 1, PIDs: 3, OOMKills: 2}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestManager makes real cgroups, runs a process in one, and removes them.
func TestManager(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("makes cgroups: needs root")
	}
	root := "/" + leaktest.Name() + "-test"
	m, err := NewManager(root)
	if err != nil {
		t.Skipf("no usable cgroups: %v", err)
	}
	t.Cleanup(func() {
		if err := m.hierarchy.remove(root); err != nil {
			t.Error(err)
		}
		for _, dir := range m.hierarchy.dirs(root) {
			if _, err := os.Stat(dir); err == nil {
				t.Errorf("%s is left", dir)
			}
		}
	})
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{UID: "1234"}, Spec: corev1.PodSpec{Containers: []corev1.Container{with(list("500m", "64Mi"), list("1", "64Mi"))}}}
	var parent string
	for range 2 { // again changes nothing
		if parent, err = m.EnsurePod(pod); err != nil {
			t.Fatal(err)
		}
	}
	if want := root + "/kubepods/burstable/pod1234"; parent != want {
		t.Errorf("parent %s, want %s", parent, want)
	}
	files := map[string]string{"cpu.shares": "512", "cpu.cfs_quota_us": "100000", "memory.limit_in_bytes": "67108864"}
	if m.hierarchy.Version == V2 {
		files = map[string]string{"cpu.max": "100000 100000", "memory.max": "67108864"}
	}
	for file, want := range files {
		dir, _ := m.hierarchy.dir(strings.SplitN(file, ".", 2)[0], parent)
		if got, err := os.ReadFile(filepath.Join(dir, file)); err != nil || strings.TrimSpace(string(got)) != want {
			t.Errorf("%s = %q, %v; want %s", file, got, err, want)
		}
	}
	useMemory(t, m, parent)
	if pods, err := m.Pods(); err != nil || len(pods) != 1 || pods[0] != "1234" {
		t.Errorf("pods %v %v", pods, err)
	}
	for range 2 {
		if err := m.RemovePod("1234"); err != nil {
			t.Error(err)
		}
	}
	if err := m.RemovePod("../x"); err == nil {
		t.Error("a path is taken for a UID")
	}
}

// useMemory runs a process in the cgroup and looks at its usage.
func useMemory(t *testing.T, m *Manager, cgroup string) {
	t.Helper()
	// The child waits for its input, so that it is moved before it does anything.
	cmd := exec.Command("sh", "-c", "read x; head -c 8000000 /dev/zero | tail -c 8000000 | { read -r y; sleep 0; }; echo ok; read z")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer in.Close()
	if m.hierarchy.Version == V2 { // where a group that divides what it has holds no processes itself
		cgroup += "/container"
	}
	for _, dir := range m.hierarchy.dirs(cgroup) {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte(strconv.Itoa(cmd.Process.Pid)), 0); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := in.Write([]byte("go\n")); err != nil {
		t.Fatal(err)
	}
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	stats, err := m.hierarchy.Stats(cgroup)
	if err != nil {
		t.Fatal(err)
	}
	if stats.CPU == 0 || stats.Memory == 0 || stats.PIDs != 1 || stats.WorkingSet > stats.Memory {
		t.Errorf("stats %+v", stats)
	}
}

func TestMachineUsage(t *testing.T) {
	m, err := NewManager("/")
	if err != nil {
		t.Skipf("no usable cgroups: %v", err)
	}
	got, err := m.Usage("")
	if err != nil || got.CPU <= 0 || got.WorkingSet == 0 || got.Memory == 0 {
		t.Errorf("usage of the machine: %+v, %v", got, err)
	}
	if got, want := busy("cpu  100 20 3 4000 500 6 7 8 9 10\ncpu0 1 1 1\n"), 1440*time.Millisecond; got != want {
		t.Errorf("busy for %s, want %s: neither idle, nor waiting, nor a guest's time twice", got, want)
	}
}

func TestCapacity(t *testing.T) {
	c, err := MachineCapacity()
	if err != nil || c.CPUs < 1 || c.Memory < 64<<20 {
		t.Errorf("%+v %v", c, err)
	}
	if free, err := MemoryAvailable(); err != nil || free <= 0 || free > c.Memory {
		t.Errorf("available %d of %d, %v", free, c.Memory, err)
	}
}
