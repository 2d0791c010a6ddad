package volumes

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	testingclock "k8s.io/utils/clock/testing"

	"github.com/miniorch/miniorch/pkg/api"
	"github.com/miniorch/miniorch/pkg/client"
	"github.com/miniorch/miniorch/pkg/client/clienttest"
)

// noMounts plays a kernel without mounting: directories stay directories.
type noMounts map[string]bool

func (n noMounts) Tmpfs(dir string, _ int64) error      { n[dir] = true; return nil }
func (n noMounts) Bind(f *os.File, target string) error { n[target] = true; return nil }
func (n noMounts) Mount(_ context.Context, fsType, source, dir string, options []string) error {
	if strings.HasPrefix(source, "away:") {
		return errors.New("exit status 32")
	}
	n[dir] = true
	return os.WriteFile(filepath.Join(dir, "mounted"), []byte(fsType+" "+source+" "+strings.Join(options, ",")), 0o644)
}
func (n noMounts) Mounted(dir string) (bool, error) { return n[dir], nil }
func (n noMounts) UnmountBeneath(dir string) error {
	for p := range n {
		if p == dir || strings.HasPrefix(p, dir+"/") {
			delete(n, p)
		}
	}
	return nil
}

// tokens answers token requests in front of another transport.
type tokens struct {
	client.Transport
	now    func() time.Time
	issued int
}

func (s *tokens) Create(ctx context.Context, req client.Request, obj api.Object, opts metav1.CreateOptions) (api.Object, error) {
	if req.Subresource != "token" {
		return s.Transport.Create(ctx, req, obj, opts)
	}
	s.issued++
	tr := obj.(*authenticationv1.TokenRequest).DeepCopy()
	tr.Status.Token = strings.Join([]string{"token", string(tr.Spec.BoundObjectRef.UID), string(rune('0' + s.issued))}, "-")
	tr.Status.ExpirationTimestamp = metav1.NewTime(s.now().Add(time.Duration(*tr.Spec.ExpirationSeconds) * time.Second))
	return tr, nil
}

func meta(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Name: name, Namespace: "default", UID: "u1"}
}

func podWith(volumes ...corev1.Volume) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: meta("p"), Spec: corev1.PodSpec{Volumes: volumes, ServiceAccountName: "sa", Containers: []corev1.Container{{
		Name: "c", Resources: corev1.ResourceRequirements{Limits: corev1.ResourceList{"cpu": resource.MustParse("1500m")}}}}}}
}

func configMapVolume(change ...func(*corev1.ConfigMapVolumeSource)) corev1.Volume {
	src := &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: "cm"}}
	for _, f := range change {
		f(src)
	}
	return corev1.Volume{Name: "v", VolumeSource: corev1.VolumeSource{ConfigMap: src}}
}

func manager(t *testing.T, objs ...api.Object) (*Manager, *tokens) {
	clk := testingclock.NewFakeClock(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	transport := &tokens{Transport: clienttest.NewServer(t, objs...), now: clk.Now}
	return New(transport, Config{RootDir: t.TempDir(), Mounter: noMounts{}, Clock: clk,
		Allocatable: func() corev1.ResourceList { return corev1.ResourceList{"memory": resource.MustParse("1Gi")} }}), transport
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestPrepareContents(t *testing.T) {
	yes, mode := true, int32(0o400)
	cm := &corev1.ConfigMap{ObjectMeta: meta("cm"), Data: map[string]string{"a": "1", "b": "2"}, BinaryData: map[string][]byte{"c": {3}}}
	secret := &corev1.Secret{ObjectMeta: meta("s"), Data: map[string][]byte{"pw": []byte("x")}}
	for _, tc := range []struct {
		name   string
		volume corev1.Volume
		want   map[string]string // path: content
		modes  map[string]os.FileMode
		err    string
	}{
		{name: "config map", volume: configMapVolume(), want: map[string]string{"a": "1", "b": "2", "c": "\x03"}, modes: map[string]os.FileMode{"a": 0o644}},
		{name: "items", volume: configMapVolume(func(s *corev1.ConfigMapVolumeSource) {
			s.Items, s.DefaultMode = []corev1.KeyToPath{{Key: "a", Path: "dir/x", Mode: &mode}, {Key: "b", Path: "dir/y"}}, new(int32(0o640))
		}), want: map[string]string{"dir/x": "1", "dir/y": "2"}, modes: map[string]os.FileMode{"dir/x": 0o400, "dir/y": 0o640}},
		{name: "missing", volume: configMapVolume(func(s *corev1.ConfigMapVolumeSource) { s.Name = "no" }), err: `configmaps "no" not found`},
		{name: "missing but optional", volume: configMapVolume(func(s *corev1.ConfigMapVolumeSource) { s.Name, s.Optional = "no", &yes })},
		{name: "missing key", volume: configMapVolume(func(s *corev1.ConfigMapVolumeSource) { s.Items = []corev1.KeyToPath{{Key: "z", Path: "z"}} }),
			err: "references non-existent config key: z"},
		{name: "escaping path", volume: configMapVolume(func(s *corev1.ConfigMapVolumeSource) { s.Items = []corev1.KeyToPath{{Key: "a", Path: "../x"}} }),
			err: `invalid path "../x"`},
		{name: "secret", volume: corev1.Volume{Name: "v", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "s"}}},
			want: map[string]string{"pw": "x"}},
		{name: "projected", volume: corev1.Volume{Name: "v", VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{
			{ConfigMap: &corev1.ConfigMapProjection{LocalObjectReference: corev1.LocalObjectReference{Name: "cm"}, Items: []corev1.KeyToPath{{Key: "a", Path: "a"}}}},
			{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Path: "token"}},
			{DownwardAPI: &corev1.DownwardAPIProjection{Items: []corev1.DownwardAPIVolumeFile{
				{Path: "name", FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.name"}},
				{Path: "cpu", ResourceFieldRef: &corev1.ResourceFieldSelector{ContainerName: "c", Resource: "limits.cpu"}},
				{Path: "memory", ResourceFieldRef: &corev1.ResourceFieldSelector{ContainerName: "c", Resource: "limits.memory", Divisor: resource.MustParse("1Mi")}},
			}}},
		}}}}, want: map[string]string{"a": "1", "token": "token-u1-1", "name": "p", "cpu": "2", "memory": "1024"}},
		{name: "unsupported", volume: corev1.Volume{Name: "v", VolumeSource: corev1.VolumeSource{ISCSI: &corev1.ISCSIVolumeSource{}}},
			err: "volumes of type iscsi are not supported"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m, _ := manager(t, cm, secret)
			mounts, err := m.Prepare(t.Context(), podWith(tc.volume))
			if tc.err != "" {
				if err == nil || !strings.Contains(err.Error(), tc.err) {
					t.Fatalf("error %v, want %q", err, tc.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			dir := mounts["v"].HostPath
			for path, want := range map[string]os.FileMode{dir: 0o777, filepath.Join(m.cfg.RootDir, "pods"): 0o750} {
				if info, err := os.Stat(path); err != nil || info.Mode().Perm() != want {
					t.Errorf("%s has mode %v, want %v (%v): open to the pod's users, closed to the host's", path, info.Mode(), want, err)
				}
			}
			for path, want := range tc.want {
				if got := read(t, filepath.Join(dir, path)); got != want {
					t.Errorf("%s holds %q, want %q", path, got, want)
				}
			}
			for path, want := range tc.modes {
				if info, err := os.Stat(filepath.Join(dir, path)); err != nil || info.Mode().Perm() != want {
					t.Errorf("%s: mode %v, want %v (%v)", path, info.Mode(), want, err)
				}
			}
			if err := m.Teardown(t.Context(), "u1"); err != nil {
				t.Fatal(err)
			}
			if _, err := os.Stat(dir); !os.IsNotExist(err) {
				t.Errorf("%s is still there: %v", dir, err)
			}
		})
	}
}

func TestWriteAtomically(t *testing.T) {
	dir := t.TempDir()
	group := int64(os.Getgid())
	write := func(files map[string]file) {
		t.Helper()
		if err := writeAtomically(dir, files, &group, time.Unix(0, 0)); err != nil {
			t.Fatal(err)
		}
	}
	write(map[string]file{"a": {data: []byte("1"), mode: 0o400}, "d/x": {data: []byte("1"), mode: 0o644}})
	before, _ := os.Readlink(filepath.Join(dir, dataLink))
	write(map[string]file{"a": {data: []byte("1"), mode: 0o400}, "d/x": {data: []byte("1"), mode: 0o644}})
	if again, _ := os.Readlink(filepath.Join(dir, dataLink)); again != before {
		t.Error("unchanged content was written again")
	}
	info, err := os.Stat(filepath.Join(dir, "a"))
	if err != nil || info.Mode().Perm() != 0o440 {
		t.Errorf("a file of a pod with a group has mode %v (%v), want 0440", info.Mode(), err)
	}
	write(map[string]file{"b": {data: []byte("2"), mode: 0o644}})
	entries, _ := os.ReadDir(dir)
	var names []string
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), "..1970") {
			names = append(names, e.Name())
		}
	}
	if got := strings.Join(names, " "); got != "..data b" {
		t.Errorf("the volume shows %q, want ..data and b", got)
	}
	if len(entries) != 3 {
		t.Errorf("old data was left behind: %v", entries)
	}
}

func TestUpdatesArrive(t *testing.T) {
	cm := &corev1.ConfigMap{ObjectMeta: meta("cm"), Data: map[string]string{"a": "1"}}
	m, transport := manager(t, cm)
	clienttest.Run(t, m.Run)
	pod := podWith(configMapVolume())
	mounts, err := m.Prepare(t.Context(), pod)
	if err != nil {
		t.Fatal(err)
	}
	changed := cm.DeepCopy()
	changed.Data["a"] = "2"
	if _, err := client.Of[*corev1.ConfigMap](transport).Update(t.Context(), changed); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(mounts["v"].HostPath, "a")
	eventually(t, func() (bool, string) { got := read(t, path); return got == "2", got })
}

// TestDeletionDuringAnOutage: what vanished while nobody watched is gone for volumes, too.
func TestDeletionDuringAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, transport := manager(t, &corev1.ConfigMap{ObjectMeta: meta("cm"), Data: map[string]string{"a": "1"}})
		m.cfg.Clock = clock.RealClock{}
		clienttest.Run(t, m.Run)
		mounts, err := m.Prepare(t.Context(), podWith(configMapVolume(func(s *corev1.ConfigMapVolumeSource) { s.Optional = new(true) })))
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		transport.Transport.(*clienttest.Server).BreakWatches()
		synctest.Wait() // the next watch begins after a pause
		if err := client.Of[*corev1.ConfigMap](transport).Delete(t.Context(), "default", "cm", metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(mounts["v"].HostPath, "a")
		if _, err := os.Stat(path); err != nil {
			t.Fatalf("the deletion was seen at once, so the test proves nothing: %v", err)
		}
		time.Sleep(2 * watchRetry)
		synctest.Wait()
		if _, err := os.Stat(path); !os.IsNotExist(err) {
			t.Errorf("a file of the deleted ConfigMap is still there: %v", err)
		}
	})
}

func TestTokensAreRenewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, transport := manager(t)
		m.cfg.Clock, transport.now = clock.RealClock{}, time.Now
		clienttest.Run(t, m.Run)
		pod := podWith(corev1.Volume{Name: "v", VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{
			{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Path: "token", ExpirationSeconds: new(int64(1000))}}}}}})
		mounts, err := m.Prepare(t.Context(), pod)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(mounts["v"].HostPath, "token")
		for _, step := range []struct {
			wait time.Duration
			want string
		}{{799 * time.Second, "token-u1-1"}, {2 * time.Second, "token-u1-2"}, {800 * time.Second, "token-u1-3"}} {
			time.Sleep(step.wait)
			synctest.Wait()
			if got := read(t, path); got != step.want {
				t.Errorf("after %s more the token is %s, want %s", step.wait, got, step.want)
			}
		}
	})
}

func TestDownwardFollowsThePod(t *testing.T) {
	m, _ := manager(t)
	pod := podWith(corev1.Volume{Name: "v", VolumeSource: corev1.VolumeSource{DownwardAPI: &corev1.DownwardAPIVolumeSource{Items: []corev1.DownwardAPIVolumeFile{
		{Path: "labels", FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.labels"}}}}}})
	mounts, err := m.Prepare(t.Context(), pod)
	if err != nil {
		t.Fatal(err)
	}
	changed := pod.DeepCopy()
	changed.Labels = map[string]string{"x": "y"}
	if err := m.Sync(t.Context(), changed); err != nil {
		t.Fatal(err)
	}
	if got := read(t, filepath.Join(mounts["v"].HostPath, "labels")); got != `x="y"` {
		t.Errorf("labels are %q", got)
	}
}

func TestHostPathTypes(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "f")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		kind corev1.HostPathType
		path string
		ok   bool
	}{
		{"", "/no/such/path", true}, {"Directory", dir, true}, {"Directory", file, false}, {"Directory", dir + "/no", false},
		{"DirectoryOrCreate", dir + "/new", true}, {"DirectoryOrCreate", file, false}, {"File", file, true}, {"File", dir, false},
		{"FileOrCreate", dir + "/newfile", true}, {"FileOrCreate", dir, false}, {"Socket", file, false},
		{"CharDevice", "/dev/null", true}, {"BlockDevice", "/dev/null", false},
	} {
		if err := checkHostPath(&corev1.HostPathVolumeSource{Path: tc.path, Type: &tc.kind}); (err == nil) != tc.ok {
			t.Errorf("%s %s: %v", tc.kind, tc.path, err)
		}
	}
}

func TestMemorySize(t *testing.T) {
	m, _ := manager(t) // of a node that gives 1Gi to pods
	limited := func(limits ...string) *corev1.Pod {
		p := &corev1.Pod{}
		for _, l := range limits {
			c := corev1.Container{}
			if l != "" {
				c.Resources.Limits = corev1.ResourceList{"memory": resource.MustParse(l)}
			}
			p.Spec.Containers = append(p.Spec.Containers, c)
		}
		return p
	}
	for _, tc := range []struct {
		reason string
		pod    *corev1.Pod
		limit  string
		want   int64
	}{
		{"without limits it is the node's", limited(""), "0", 1 << 30},
		{"the volume's own limit", limited(""), "1Mi", 1 << 20},
		{"the containers' limits together", limited("1Mi", "2Mi"), "0", 3 << 20},
		{"a container without a limit may use all", limited("1Mi", ""), "0", 1 << 30},
		{"the smallest counts", limited("1Mi"), "2Mi", 1 << 20},
		{"not more than there is", limited("8Gi"), "9Gi", 1 << 30},
	} {
		limit := resource.MustParse(tc.limit)
		if got := m.memorySize(tc.pod, &limit); got != tc.want {
			t.Errorf("%s: got %d, want %d", tc.reason, got, tc.want)
		}
	}
}

// Real mounts: subPath shows what it should, never what a link points to outside.
func TestSubpathStaysInside(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("mounting needs root")
	}
	m, _ := manager(t)
	m.cfg.Mounter = Kernel{}
	pod := podWith(corev1.Volume{Name: "v", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{Medium: "Memory", SizeLimit: new(resource.MustParse("1Mi"))}}})
	mounts, err := m.Prepare(t.Context(), pod)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Teardown(context.Background(), "u1"); err != nil {
			t.Error(err)
		}
		if left, _ := mountPoints(); strings.Contains(strings.Join(left, "\n"), m.cfg.RootDir) {
			t.Error("mounts were left behind")
		}
	})
	root := mounts["v"].HostPath
	var st syscall.Statfs_t
	if err := syscall.Statfs(root, &st); err != nil || st.Type != 0x01021994 || int64(st.Blocks)*st.Bsize != 1<<20 {
		t.Errorf("not a tmpfs of 1Mi: type %x, %d bytes, %v", st.Type, int64(st.Blocks)*st.Bsize, err)
	}
	c := &pod.Spec.Containers[0]
	path, err := m.Subpath(pod, c, 0, root, "a/b")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(path, "f"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := read(t, filepath.Join(root, "a/b/f")); got != "x" {
		t.Errorf("the volume holds %q", got)
	}
	if err := os.Symlink("/etc", filepath.Join(root, "out")); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"out", "out/passwd", "../x", "/etc"} {
		if p, err := m.Subpath(pod, c, 1, root, bad); err == nil {
			t.Errorf("subPath %s escaped to %s", bad, p)
		}
	}
}

func eventually(t *testing.T, f func() (bool, string)) {
	t.Helper()
	deadline := time.Now().Add(2 * time.Minute)
	for {
		ok, state := f()
		if ok {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("still %q", state)
		}
		time.Sleep(2 * time.Millisecond)
	}
}
