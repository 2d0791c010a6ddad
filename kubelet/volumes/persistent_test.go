package volumes

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/miniorch/miniorch/pkg/api"
	"github.com/miniorch/miniorch/pkg/claims"
	"github.com/miniorch/miniorch/pkg/client"
	"github.com/miniorch/miniorch/pkg/client/clienttest"
	"github.com/miniorch/miniorch/pkg/reconcile"
)

func claimVolume(change ...func(*corev1.PersistentVolumeClaimVolumeSource)) corev1.Volume {
	src := &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "c"}
	for _, f := range change {
		f(src)
	}
	return corev1.Volume{Name: "data", VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: src}}
}

func boundClaim(change ...func(*corev1.PersistentVolumeClaim)) *corev1.PersistentVolumeClaim {
	c := &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "c", UID: "cu"}, Spec: corev1.PersistentVolumeClaimSpec{VolumeName: "pv"},
		Status: corev1.PersistentVolumeClaimStatus{Phase: corev1.ClaimBound},
	}
	for _, f := range change {
		f(c)
	}
	return c
}

func volumeOf(src corev1.PersistentVolumeSource, change ...func(*corev1.PersistentVolume)) *corev1.PersistentVolume {
	v := &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: "pv", UID: "vu"}, Spec: corev1.PersistentVolumeSpec{
			PersistentVolumeSource: src, Capacity: corev1.ResourceList{"storage": resource.MustParse("1Gi")},
			ClaimRef: &corev1.ObjectReference{Namespace: "default", Name: "c", UID: "cu"},
		},
	}
	for _, f := range change {
		f(v)
	}
	return v
}

func TestPersistentVolumes(t *testing.T) {
	dir := t.TempDir()
	hostPath := corev1.PersistentVolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: dir}}
	nfs := corev1.PersistentVolumeSource{NFS: &corev1.NFSVolumeSource{Server: "files", Path: "/export"}}
	local := func(path string) corev1.PersistentVolumeSource {
		return corev1.PersistentVolumeSource{Local: &corev1.LocalVolumeSource{Path: path}}
	}
	elsewhere := func(v *corev1.PersistentVolume) {
		v.Spec.NodeAffinity = &corev1.VolumeNodeAffinity{Required: &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{{
			MatchExpressions: []corev1.NodeSelectorRequirement{{Key: "kubernetes.io/hostname", Operator: corev1.NodeSelectorOpIn, Values: []string{"other"}}}}}}}
	}
	for _, tc := range []struct {
		name, reason string
		volume       corev1.Volume
		objs         []api.Object
		err          string
		path         string // empty: in the pod's own directory
		readOnly     bool
		content      string // of the file "mounted"
	}{
		{name: "no claim", reason: "it may still be made", volume: claimVolume(),
			err: `unmounted volumes=[data], unattached volumes=[], failed to process volumes=[data]: error processing PVC default/c: failed to fetch PVC from API server: persistentvolumeclaims "c" not found`},
		{name: "not bound", reason: "the binder is not done", volume: claimVolume(),
			objs: []api.Object{boundClaim(func(c *corev1.PersistentVolumeClaim) { c.Status.Phase = corev1.ClaimPending })}, err: "error processing PVC default/c: PVC is not bound"},
		{name: "going", reason: "who deletes a claim wants no new users", volume: claimVolume(),
			objs: []api.Object{boundClaim(func(c *corev1.PersistentVolumeClaim) { c.DeletionTimestamp = &metav1.Time{Time: time.Unix(1, 0)} })}, err: "PVC is being deleted"},
		{name: "volume gone", reason: "there is nothing to mount", volume: claimVolume(), objs: []api.Object{boundClaim()}, err: "failed to fetch PV pv from API server"},
		{name: "volume of another", reason: "it is not this claim's data", volume: claimVolume(),
			objs: []api.Object{boundClaim(), volumeOf(hostPath, func(v *corev1.PersistentVolume) { v.Spec.ClaimRef.UID = "x" })}, err: "found PV pv bound to another PVC"},
		{name: "host path", reason: "as without a claim", volume: claimVolume(), objs: []api.Object{boundClaim(), volumeOf(hostPath)}, path: dir},
		{name: "read only", reason: "the pod asks for it", volume: claimVolume(func(s *corev1.PersistentVolumeClaimVolumeSource) { s.ReadOnly = true }),
			objs: []api.Object{boundClaim(), volumeOf(hostPath)}, path: dir, readOnly: true},
		{name: "local", reason: "a directory of this node", volume: claimVolume(),
			objs: []api.Object{boundClaim(), volumeOf(local(dir))}, path: dir},
		{name: "local without a directory", reason: "an administrator has to make it", volume: claimVolume(),
			objs: []api.Object{boundClaim(), volumeOf(local(dir + "/no"))},
			err:  `MountVolume.NewMounter initialization failed for volume "pv" : path "` + dir + `/no" does not exist`},
		{name: "on another node", reason: "a pod that was sent here past the scheduler", volume: claimVolume(),
			objs: []api.Object{boundClaim(), volumeOf(hostPath, elsewhere)}, err: `MountVolume.NodeAffinity check failed for volume "pv" : no matching NodeSelectorTerms`},
		{name: "block", reason: "as in Kubernetes, a device is a local volume", volume: claimVolume(), objs: []api.Object{boundClaim(), volumeOf(hostPath, block)},
			err: `MountVolume.SetUp failed for volume "pv" : volumes of type hostPath and mode Block are not supported`},
		{name: "no device", reason: "a directory cannot be one", volume: claimVolume(), objs: []api.Object{boundClaim(), volumeOf(local(dir), block)}, err: `path "` + dir + `" is not a block device`},
		{name: "neither", reason: "a file is no volume", volume: claimVolume(), objs: []api.Object{boundClaim(), volumeOf(local("/proc/version"))}, err: "neither a directory nor a block device"},
		{name: "nfs", reason: "mounted with the volume's options", volume: claimVolume(), objs: []api.Object{boundClaim(), volumeOf(nfs, func(v *corev1.PersistentVolume) {
			v.Spec.MountOptions = []string{"nfsvers=4.2", "soft"}
		})}, content: "nfs files:/export nfsvers=4.2,soft"},
		{name: "nfs in the pod", reason: "a volume needs no claim", volume: corev1.Volume{Name: "data", VolumeSource: corev1.VolumeSource{NFS: &corev1.NFSVolumeSource{Server: "fd00::1", Path: "/", ReadOnly: true}}},
			readOnly: true, content: "nfs [fd00::1]:/ ro"},
		{name: "nfs away", reason: "the words of mount are told", volume: corev1.Volume{Name: "data", VolumeSource: corev1.VolumeSource{NFS: &corev1.NFSVolumeSource{Server: "away", Path: "/"}}},
			err: `MountVolume.SetUp failed for volume "data" : mount failed: exit status 32`},
		{name: "driver", reason: "this node speaks to none", volume: claimVolume(),
			objs: []api.Object{boundClaim(), volumeOf(corev1.PersistentVolumeSource{CSI: &corev1.CSIPersistentVolumeSource{Driver: "d"}})}, err: "volumes of type csi are not supported"},
		{name: "ephemeral of another pod", reason: "the claim holds somebody's data", volume: corev1.Volume{Name: "c", VolumeSource: corev1.VolumeSource{Ephemeral: &corev1.EphemeralVolumeSource{}}},
			objs: []api.Object{boundClaim(func(c *corev1.PersistentVolumeClaim) { c.Name = "p-c" })}, err: "PVC default/p-c was not created for pod default/p (pod is not owner)"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1", Labels: map[string]string{"kubernetes.io/hostname": "n1"}}}
			m, _ := manager(t, append(tc.objs, node)...)
			m.cfg.NodeName = "n1"
			pod := podWith(tc.volume)
			mounts, err := m.Prepare(t.Context(), pod)
			if tc.err != "" {
				if err == nil || !strings.Contains(err.Error(), tc.err) {
					t.Fatalf("%s: error %v, want %q", tc.reason, err, tc.err)
				}
				return
			}
			if err != nil {
				t.Fatalf("%s: %v", tc.reason, err)
			}
			got := mounts[tc.volume.Name]
			want := tc.path
			if want == "" {
				want = m.volumeDir(pod.UID, &tc.volume)
			}
			if got.HostPath != want || got.ReadOnly != tc.readOnly {
				t.Errorf("%s: got %+v, want %s, read only %v", tc.reason, got, want, tc.readOnly)
			}
			if tc.content != "" {
				if b, err := os.ReadFile(filepath.Join(got.HostPath, "mounted")); string(b) != tc.content {
					t.Errorf("%s: mounted %q (%v), want %q", tc.reason, b, err, tc.content)
				}
			}
		})
	}
}

func TestNFSRemedy(t *testing.T) {
	found := func(string) (string, error) { return "/sbin/mount.nfs", nil }
	missing := func(string) (string, error) { return "", os.ErrNotExist }
	table := func(s string) func(string) ([]byte, error) {
		return func(string) ([]byte, error) { return []byte(s), nil }
	}
	for _, tc := range []struct {
		name string
		look func(string) (string, error)
		fs   string
		want string
	}{
		{"no program", missing, "nodev\tnfs4\n", "install the package nfs-common"},
		{"no support", found, "\text4\n", "modprobe nfs"},
		{"nothing to say", found, "nodev\tnfs\nnodev\tnfs4\n", ""},
	} {
		if got := nfsRemedy(tc.look, table(tc.fs)); !strings.Contains(got, tc.want) || (tc.want == "") != (got == "") {
			t.Errorf("%s: %q, want %q", tc.name, got, tc.want)
		}
	}
}

// localWorld is a node with one local-path volume.
func localWorld(t *testing.T) (*Manager, client.Transport, *corev1.PersistentVolume) {
	root := filepath.Join(t.TempDir(), "local-path")
	pv := volumeOf(corev1.PersistentVolumeSource{Local: &corev1.LocalVolumeSource{Path: claims.LocalPathDir(root, "pv", "default", "c")}}, func(v *corev1.PersistentVolume) {
		v.Annotations = map[string]string{claims.ProvisionedBy: claims.LocalPath}
		v.Labels = map[string]string{claims.LocalPathNode: "n1"}
		v.Finalizers = []string{claims.LocalPath}
		v.Spec.PersistentVolumeReclaimPolicy = corev1.PersistentVolumeReclaimDelete
	})
	m, transport := manager(t, boundClaim(), pv)
	m.cfg.LocalRoot = root
	return m, transport, pv
}

func TestLocalPathDirectoryIsMadeOnce(t *testing.T) {
	m, transport, pv := localWorld(t)
	pod := podWith(claimVolume())
	if _, err := m.Prepare(t.Context(), pod); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(pv.Spec.Local.Path)
	if err != nil || info.Mode().Perm() != 0o777 {
		t.Fatalf("the directory: %v, %v", info, err)
	}
	stored, err := client.Of[*corev1.PersistentVolume](transport).Get(t.Context(), "", "pv")
	if err != nil || stored.Annotations[claims.LocalPathMade] == "" {
		t.Fatalf("the volume does not say that its directory was made: %v, %v", stored.Annotations, err)
	}
	if _, err := m.Prepare(t.Context(), pod); err != nil {
		t.Errorf("once more: %v", err)
	}
	if err := os.Remove(pv.Spec.Local.Path); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Prepare(t.Context(), pod); err == nil || !strings.Contains(err.Error(), "does not exist") {
		t.Errorf("lost data was replaced by an empty directory: %v", err)
	}
}

func TestLocalPathOutsideOfItsRootIsRefused(t *testing.T) {
	m, transport, pv := localWorld(t)
	for _, path := range []string{"/etc", m.cfg.LocalRoot, filepath.Join(m.cfg.LocalRoot, "other_a_b"), filepath.Join(m.cfg.LocalRoot, "pv_a_b", "c")} {
		bad := pv.DeepCopy()
		bad.Spec.Local.Path = path
		if _, err := localName(m.cfg.LocalRoot, bad); err == nil {
			t.Errorf("%s was taken for a directory of the volume", path)
		}
	}
	if _, err := localName(m.cfg.LocalRoot, pv); err != nil {
		t.Error(err)
	}
	_ = transport
}

func TestLocalPathIsRemovedWithItsVolume(t *testing.T) {
	for _, tc := range []struct {
		name, reason string
		change       func(*corev1.PersistentVolume)
		gone, free   bool
	}{
		{"deleted", "nobody has it any more", func(*corev1.PersistentVolume) {}, true, true},
		{"retained", "the data outlives the volume", func(v *corev1.PersistentVolume) {
			v.Spec.PersistentVolumeReclaimPolicy = corev1.PersistentVolumeReclaimRetain
		}, false, true},
		{"protected", "it is bound still", func(v *corev1.PersistentVolume) { v.Finalizers = append(v.Finalizers, claims.VolumeProtection) }, false, false},
		{"alive", "it was not deleted", func(v *corev1.PersistentVolume) { v.DeletionTimestamp = nil }, false, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m, _, made := localWorld(t)
			if err := os.MkdirAll(filepath.Join(made.Spec.Local.Path, "a"), 0o755); err != nil {
				t.Fatal(err)
			}
			pv := made.DeepCopy()
			pv.DeletionTimestamp = &metav1.Time{Time: time.Unix(1, 0)}
			tc.change(pv)
			server := clienttest.NewServer(t, pv)
			informers := clienttest.NewInformers(t, server)
			r := NewLocalRemover(server, informers, LocalConfig{NodeName: "n1", Root: m.cfg.LocalRoot})
			clienttest.Run(t, informers.Run)
			if err := informers.WaitForSync(t.Context()); err != nil {
				t.Fatal(err)
			}
			if _, err := r.Reconcile(t.Context(), key("pv")); err != nil {
				t.Fatal(err)
			}
			_, err := os.Stat(made.Spec.Local.Path)
			if gone := os.IsNotExist(err); gone != tc.gone {
				t.Errorf("%s: the directory is gone: %v", tc.reason, gone)
			}
			now, err := client.Of[*corev1.PersistentVolume](server).Get(t.Context(), "", "pv")
			if free := err != nil || !slices.Contains(now.Finalizers, claims.LocalPath); free != tc.free {
				t.Errorf("%s: let go: %v (%v)", tc.reason, free, err)
			}
		})
	}
}

func TestGiveToGroup(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root gives files away")
	}
	root := t.TempDir()
	inner := filepath.Join(root, "dir", "file")
	if err := os.MkdirAll(filepath.Dir(inner), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(inner, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/etc/passwd", filepath.Join(root, "link")); err != nil {
		t.Fatal(err)
	}
	if err := giveToGroup(root, 2000, nil); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]os.FileMode{root: os.ModeDir | os.ModeSetgid | 0o775, filepath.Dir(inner): os.ModeDir | os.ModeSetgid | 0o775, inner: 0o660} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if gid := info.Sys().(*syscall.Stat_t).Gid; gid != 2000 || info.Mode()&groupFile != groupFile || info.IsDir() && info.Mode()&groupDir != groupDir {
			t.Errorf("%s has group %d and mode %v, want 2000 and at least %v", path, gid, info.Mode(), want)
		}
	}
	if info, err := os.Stat("/etc/passwd"); err != nil || info.Sys().(*syscall.Stat_t).Gid == 2000 {
		t.Errorf("a link was followed: %v", err)
	}
	if err := os.Chown(inner, -1, 0); err != nil {
		t.Fatal(err)
	}
	if err := giveToGroup(root, 2000, ptr.To(corev1.FSGroupChangeOnRootMismatch)); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(inner); err != nil || info.Sys().(*syscall.Stat_t).Gid != 0 {
		t.Errorf("a root that is as it should be was not enough (%v)", err)
	}
}

func key(name string) reconcile.Key { return reconcile.Key{Name: name} }
