package kubelet

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/miniorch/miniorch/kubelet/container"
	"github.com/miniorch/miniorch/kubelet/lifecycle"
	"github.com/miniorch/miniorch/kubelet/sandbox"
)

func specOf(t *testing.T, change func(*corev1.Pod, *corev1.Container)) (container.ContainerSpec, error) {
	t.Helper()
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p", Namespace: "ns", UID: "u"}}
	pod.Spec.Containers = []corev1.Container{{Name: "c", Image: "img"}}
	change(pod, &pod.Spec.Containers[0])
	around := surroundings{
		dir: "/pods/u", logs: "/logs/p", cgroup: "/kubepods/podu", memory: 1 << 30,
		sandbox: sandbox.Result{NetNSPath: "/net", IPCNSPath: "/ipc", UTSNSPath: "/uts"},
		volumes: map[string]container.Mount{"v": {HostPath: "/vol"}, "ro": {HostPath: "/ro", ReadOnly: true}, "disk": {HostPath: "/dev/d", Device: true, ReadOnly: true}},
	}
	return containerSpec(pod, &pod.Spec.Containers[0], lifecycle.Action{Kind: container.KindApp, RestartCount: 2}, around, []string{"A=1", "B=two"},
		func(_ int, root, sub string) (string, error) {
			if strings.Contains(sub, "..") {
				return "", errors.New("outside")
			}
			return root + "/" + sub, nil
		})
}

func TestContainerSpec(t *testing.T) {
	for _, tc := range []struct {
		name   string
		change func(*corev1.Pod, *corev1.Container)
		check  func(container.ContainerSpec) any
		want   any
		err    string
	}{
		{name: "commands are expanded", change: func(_ *corev1.Pod, c *corev1.Container) {
			c.Command, c.Args = []string{"run", "$(A)"}, []string{"$$(A)", "$(B)", "$(C)"}
		}, check: func(s container.ContainerSpec) any { return append(s.Command, s.Args...) }, want: []string{"run", "1", "$(A)", "two", "$(C)"}},
		{name: "files by instance", change: func(*corev1.Pod, *corev1.Container) {},
			check: func(s container.ContainerSpec) any { return []string{s.LogPath, s.TerminationMessageHostPath} },
			want:  []string{"/logs/p/c/2.log", "/pods/u/containers/c/2"}},
		{name: "mounts", change: func(_ *corev1.Pod, c *corev1.Container) {
			c.VolumeMounts = []corev1.VolumeMount{
				{Name: "v", MountPath: "/data", SubPathExpr: "x-$(A)"}, {Name: "ro", MountPath: "/ro"}, {Name: "v", MountPath: "/etc/hosts", ReadOnly: true}}
		}, check: func(s container.ContainerSpec) any { return s.Mounts }, want: []container.Mount{
			{HostPath: "/vol/x-1", ContainerPath: "/data"}, {HostPath: "/ro", ContainerPath: "/ro", ReadOnly: true},
			{HostPath: "/vol", ContainerPath: "/etc/hosts", ReadOnly: true},
			{HostPath: "/pods/u/etc/hostname", ContainerPath: "/etc/hostname"}, {HostPath: "/pods/u/etc/resolv.conf", ContainerPath: "/etc/resolv.conf"}}},
		{name: "unknown variable in a subPathExpr", change: func(_ *corev1.Pod, c *corev1.Container) {
			c.VolumeMounts = []corev1.VolumeMount{{Name: "v", MountPath: "/data", SubPathExpr: "$(NO)"}}
		}, err: "not set"},
		{name: "bad subPath", change: func(_ *corev1.Pod, c *corev1.Container) {
			c.VolumeMounts = []corev1.VolumeMount{{Name: "v", MountPath: "/data", SubPath: "../x"}}
		}, err: "outside"},
		{name: "unknown volume", change: func(_ *corev1.Pod, c *corev1.Container) {
			c.VolumeMounts = []corev1.VolumeMount{{Name: "no", MountPath: "/data"}}
		}, err: `cannot find volume "no"`},
		{name: "the container's security wins over the pod's", change: func(p *corev1.Pod, c *corev1.Container) {
			yes := true
			p.Spec.SecurityContext = &corev1.PodSecurityContext{RunAsUser: new(int64(1)), RunAsGroup: new(int64(2)), RunAsNonRoot: &yes,
				FSGroup: new(int64(3)), SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault}}
			c.SecurityContext = &corev1.SecurityContext{RunAsUser: new(int64(9)), AllowPrivilegeEscalation: new(bool),
				Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}}}
		}, check: func(s container.ContainerSpec) any { return s.Security }, want: container.Security{
			User: new(int64(9)), Group: new(int64(2)), RunAsNonRoot: true, SupplementalGroups: []int64{3}, NoNewPrivileges: true,
			Seccomp: container.SeccompRuntimeDefault, DropCapabilities: []string{"ALL"}}},
		{name: "resources", change: func(_ *corev1.Pod, c *corev1.Container) {
			c.Resources.Limits = corev1.ResourceList{"cpu": resource.MustParse("500m"), "memory": resource.MustParse("64Mi"), "hugepages-2Mi": resource.MustParse("4Mi")}
			c.Resources.Requests = corev1.ResourceList{"cpu": resource.MustParse("250m"), "memory": resource.MustParse("512Mi")}
		}, check: func(s container.ContainerSpec) any {
			r := s.Resources
			return []any{r.CPUShares, r.CPUQuota, r.MemoryLimit, r.OOMScoreAdj, r.HugepageLimit["2MB"]}
		}, want: []any{uint64(256), int64(50_000), int64(64 << 20), 500, uint64(4 << 20)}},
		{name: "namespaces", change: func(*corev1.Pod, *corev1.Container) {}, check: func(s container.ContainerSpec) any { return s.Network },
			want: container.Namespaces{NetPath: "/net", IPCPath: "/ipc", UTSPath: "/uts"}},
		{name: "no silent omissions", change: func(_ *corev1.Pod, c *corev1.Container) {
			c.VolumeDevices = []corev1.VolumeDevice{{Name: "v"}}
		}, err: `cannot find device "v"`},
		{name: "devices", change: func(_ *corev1.Pod, c *corev1.Container) {
			c.VolumeDevices = []corev1.VolumeDevice{{Name: "disk", DevicePath: "/dev/xvda"}}
		}, check: func(s container.ContainerSpec) any { return s.Devices }, want: []container.Device{{HostPath: "/dev/d", ContainerPath: "/dev/xvda", Permissions: "r"}}},
		{name: "a subPathExpr that leads out and back", change: func(_ *corev1.Pod, c *corev1.Container) {
			c.VolumeMounts = []corev1.VolumeMount{{Name: "v", MountPath: "/data", SubPathExpr: "a/../$(A)"}}
		}, err: "without '..'"},
		{name: "no AppArmor profile is promised", change: func(p *corev1.Pod, _ *corev1.Container) {
			p.Spec.SecurityContext = &corev1.PodSecurityContext{AppArmorProfile: &corev1.AppArmorProfile{Type: corev1.AppArmorProfileTypeLocalhost}}
		}, err: "AppArmor"},
		{name: "no restart rule is forgotten", change: func(_ *corev1.Pod, c *corev1.Container) {
			c.RestartPolicyRules = []corev1.ContainerRestartRule{{Action: corev1.ContainerRestartRuleActionRestartAllContainers}}
		}, err: "RestartAllContainers"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			spec, err := specOf(t, tc.change)
			if tc.err != "" {
				if err == nil || !strings.Contains(err.Error(), tc.err) {
					t.Fatalf("error %v, want %q", err, tc.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, tc.check(spec)); diff != "" {
				t.Error(diff)
			}
		})
	}
}
