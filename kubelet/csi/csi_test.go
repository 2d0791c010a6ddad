package csi

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"github.com/miniorch/miniorch/kubelet/csi/csitest"
	"github.com/miniorch/miniorch/pkg/api"
	"github.com/miniorch/miniorch/pkg/claims"
	"github.com/miniorch/miniorch/pkg/client"
	"github.com/miniorch/miniorch/pkg/client/clienttest"
)

const driverName = "disk.example.com"

// exists plays the kernel's table of mounts: what the driver has made is mounted.
func exists(path string) (bool, error) {
	_, err := os.Stat(path)
	return err == nil, nil
}

// world is a node with one driver.
type world struct {
	*testing.T
	m         *Manager
	transport client.Transport
	driver    *csitest.Driver
	root      string
	stop      func() // the driver
}

func newWorld(t *testing.T, objs ...api.Object) *world {
	objs = append(objs, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1", UID: "nu"}})
	w := &world{T: t, root: t.TempDir(), transport: clienttest.NewServer(t, objs...)}
	w.driver = &csitest.Driver{
		Name: driverName, NodeID: "id-1", Topology: map[string]string{"topology.disk.example.com/zone": "z"},
		Can:     []csi.NodeServiceCapability_RPC_Type{csi.NodeServiceCapability_RPC_STAGE_UNSTAGE_VOLUME},
		Publish: func(r *csi.NodePublishVolumeRequest) error { return os.MkdirAll(r.TargetPath, 0o750) }, Unpublish: os.RemoveAll,
	}
	w.m = w.manager()
	clienttest.Run(t, w.m.Run)
	w.stop = w.driver.Start(t, w.m.registryDir())
	w.eventually("the registration", func() bool { return w.driver.Registration() != nil })
	return w
}

func (w *world) manager() *Manager {
	return New(w.transport, Config{RootDir: w.root, NodeName: "n1", Mounted: exists, AttachPatience: time.Minute, Logger: slog.New(slog.DiscardHandler)})
}

func (w *world) eventually(what string, so func() bool) {
	w.Helper()
	for end := time.Now().Add(time.Minute); !so(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			w.Fatalf("waited for %s in vain", what)
		}
	}
}

func (w *world) node() *corev1.Node {
	w.Helper()
	n, err := client.Of[*corev1.Node](w.transport).Get(w.Context(), "", "n1")
	if err != nil {
		w.Fatal(err)
	}
	return n.DeepCopy()
}

// attach plays the attacher and the controller.
func (w *world) attach(pv *corev1.PersistentVolume) {
	w.Helper()
	a := &storagev1.VolumeAttachment{ObjectMeta: metav1.ObjectMeta{Name: claims.AttachmentName(pv.Spec.CSI, "n1")},
		Status: storagev1.VolumeAttachmentStatus{Attached: true, AttachmentMetadata: map[string]string{"slot": "7"}}}
	if _, err := client.Of[*storagev1.VolumeAttachment](w.transport).Create(w.Context(), a); err != nil {
		w.Fatal(err)
	}
	n := w.node()
	n.Status.VolumesAttached = []corev1.AttachedVolume{{Name: claims.UniqueName(pv.Spec.CSI)}}
	if _, err := client.Of[*corev1.Node](w.transport).UpdateStatus(w.Context(), n); err != nil {
		w.Fatal(err)
	}
}

func pod(uid types.UID) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "p-" + string(uid), UID: uid}}
}

func volume(change ...func(*corev1.PersistentVolume)) *corev1.PersistentVolume {
	pv := &corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: "pv"}, Spec: corev1.PersistentVolumeSpec{
		AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
		PersistentVolumeSource: corev1.PersistentVolumeSource{CSI: &corev1.CSIPersistentVolumeSource{
			Driver: driverName, VolumeHandle: "h1", FSType: "ext4", VolumeAttributes: map[string]string{"a": "b"}}},
	}}
	for _, f := range change {
		f(pv)
	}
	return pv
}

func (w *world) mount(uid types.UID, pv *corev1.PersistentVolume) string {
	w.Helper()
	path, _, err := w.m.Mount(w.Context(), pod(uid), pv, false)
	if err != nil {
		w.Fatalf("mounting: %v", err)
	}
	return path
}

func (w *world) unmount(m *Manager, uid types.UID) {
	w.Helper()
	if err := m.Unmount(w.Context(), uid); err != nil {
		w.Fatalf("unmounting: %v", err)
	}
}

func (w *world) expect(when string, inUse int, calls ...string) {
	w.Helper()
	if diff := cmp.Diff(calls, w.driver.Calls()); diff != "" {
		w.Errorf("%s: calls (-want +got)\n%s", when, diff)
	}
	if got := w.node().Status.VolumesInUse; len(got) != inUse {
		w.Errorf("%s: in use is %v, want %d", when, got, inUse)
	}
}

// The first pod's volume is staged and published, the second's published as well; the last to go
// has it unstaged, and only then it is not in use.
func TestVolumeOfTwoPods(t *testing.T) {
	w, pv := newWorld(t), volume()
	w.attach(pv)
	path := w.mount("u1", pv)
	w.expect("first", 1, "stage h1", "publish h1")
	if want := filepath.Join(w.root, "pods/u1/volumes/kubernetes.io~csi/pv/mount"); path != want {
		t.Errorf("mounted at %s, want %s", path, want)
	}
	w.mount("u1", pv)
	w.expect("again", 1)
	w.mount("u2", pv)
	w.expect("second", 1, "stage h1", "publish h1") // staging twice is nothing to a driver
	w.unmount(w.m, "u1")
	w.expect("first gone", 1, "unpublish h1")
	w.unmount(w.m, "u2")
	w.expect("second gone", 0, "unpublish h1", "unstage h1")
	w.unmount(w.m, "u2")
	w.expect("nothing left", 0)
	if left, _ := filepath.Glob(filepath.Join(w.root, "plugins/kubernetes.io/csi/*/*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// The driver hears what the volume, its attacher, its secret and its pod have to say.
func TestWhatTheDriverHears(t *testing.T) {
	w := newWorld(t,
		&storagev1.CSIDriver{ObjectMeta: metav1.ObjectMeta{Name: driverName}, Spec: storagev1.CSIDriverSpec{PodInfoOnMount: ptr.To(true)}},
		&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "s"}, Data: map[string][]byte{"key": []byte("k")}})
	pv := volume(func(pv *corev1.PersistentVolume) {
		pv.Spec.MountOptions = []string{"noatime"}
		pv.Spec.CSI.NodeStageSecretRef = &corev1.SecretReference{Namespace: "kube-system", Name: "s"}
	})
	w.attach(pv)
	w.mount("u1", pv)
	stage, publish := w.driver.Last()
	if stage.Secrets["key"] != "k" || stage.PublishContext["slot"] != "7" || stage.VolumeContext["a"] != "b" ||
		stage.VolumeCapability.GetMount().GetFsType() != "ext4" || stage.VolumeCapability.GetMount().GetMountFlags()[0] != "noatime" {
		t.Errorf("staged with %v", stage)
	}
	if publish.StagingTargetPath != stage.StagingTargetPath || publish.VolumeContext["csi.storage.k8s.io/pod.name"] != "p-u1" || publish.VolumeContext["a"] != "b" ||
		publish.VolumeCapability.AccessMode.Mode != csi.VolumeCapability_AccessMode_SINGLE_NODE_WRITER {
		t.Errorf("published with %v", publish)
	}
}

// Nothing is asked of the driver before a version of the node has the volume both attached and in use.
func TestMountWaitsForTheAttacher(t *testing.T) {
	w, pv := newWorld(t), volume()
	done := make(chan error, 1)
	go func() {
		_, _, err := w.m.Mount(context.Background(), pod("u1"), pv, false)
		done <- err
	}()
	w.eventually("the volume in use", func() bool { return len(w.node().Status.VolumesInUse) == 1 })
	w.expect("not attached", 1)
	w.attach(pv)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	w.expect("attached", 1, "stage h1", "publish h1")
}

func TestMountIsGivenUp(t *testing.T) {
	w := newWorld(t)
	w.m.cfg.AttachPatience = 50 * time.Millisecond
	if _, _, err := w.m.Mount(t.Context(), pod("u1"), volume(), false); err == nil || !strings.Contains(err.Error(), "does the driver's attacher run?") {
		t.Errorf("error %v", err)
	}
	w.unmount(w.m, "u1")
	w.expect("the pod went", 0, "unpublish h1", "unstage h1")
}

// A volume that needs no attaching is not in use as far as the controller is concerned.
func TestDriverThatAttachesNothing(t *testing.T) {
	w := newWorld(t, &storagev1.CSIDriver{ObjectMeta: metav1.ObjectMeta{Name: driverName}, Spec: storagev1.CSIDriverSpec{AttachRequired: ptr.To(false)}})
	w.mount("u1", volume())
	w.expect("mounted", 0, "stage h1", "publish h1")
	w.unmount(w.m, "u1")
	w.expect("unmounted", 0, "unpublish h1", "unstage h1")
}

// What an agent that died has left is given back by the next, were it only begun.
func TestAnotherAgentGoesOn(t *testing.T) {
	w, pv := newWorld(t), volume()
	w.attach(pv)
	w.driver.Publish = func(*csi.NodePublishVolumeRequest) error { return errors.New("no such disk") }
	if _, _, err := w.m.Mount(t.Context(), pod("u1"), pv, false); err == nil || !strings.Contains(err.Error(), "no such disk") {
		t.Errorf("the driver's words: %v", err)
	}
	w.expect("begun", 1, "stage h1", "publish h1")
	next := w.manager()
	if err := next.Unmount(t.Context(), "u1"); err == nil || !strings.Contains(err.Error(), "not found in the list of registered CSI drivers") {
		t.Errorf("before the driver is known: %v", err)
	}
	clienttest.Run(t, next.Run)
	w.eventually("the driver", func() bool { _, err := next.driver(driverName); return err == nil })
	w.unmount(next, "u1")
	w.expect("given back", 0, "unpublish h1", "unstage h1")
}

func TestRegistration(t *testing.T) {
	w := newWorld(t)
	nodes := client.Of[*storagev1.CSINode](w.transport)
	n, err := nodes.Get(t.Context(), "", "n1")
	if err != nil {
		t.Fatal(err)
	}
	want := []storagev1.CSINodeDriver{{Name: driverName, NodeID: "id-1", TopologyKeys: []string{"topology.disk.example.com/zone"}, Allocatable: &storagev1.VolumeNodeResources{Count: ptr.To[int32](8)}}}
	if diff := cmp.Diff(want, n.Spec.Drivers); diff != "" || len(n.OwnerReferences) != 1 || n.OwnerReferences[0].UID != "nu" {
		t.Errorf("CSINode of %v (-want +got)\n%s", n.OwnerReferences, diff)
	}
	if got := w.node().Labels["topology.disk.example.com/zone"]; got != "z" {
		t.Errorf("the node's label is %q", got)
	}
	if r := w.driver.Registration(); !r.PluginRegistered {
		t.Errorf("the driver was told %v", r)
	}
	w.stop()
	w.eventually("the driver to be forgotten", func() bool {
		n, err := nodes.Get(t.Context(), "", "n1")
		return err == nil && len(n.Spec.Drivers) == 0
	})
	fresh := &csitest.Driver{Name: driverName, NodeID: "id-2"}
	fresh.Start(t, w.m.registryDir())
	w.eventually("the driver's return", func() bool {
		n, err := nodes.Get(t.Context(), "", "n1")
		return err == nil && len(n.Spec.Drivers) == 1 && n.Spec.Drivers[0].NodeID == "id-2"
	})
}

// entries refuses to change an entry of a CSINode in place, as the API does.
type entries struct{ client.Transport }

func (e entries) Update(ctx context.Context, req client.Request, obj api.Object, opts metav1.UpdateOptions) (api.Object, error) {
	if now, ok := obj.(*storagev1.CSINode); ok {
		old, err := client.Of[*storagev1.CSINode](e.Transport).Get(ctx, "", now.Name)
		if err != nil {
			return nil, err
		}
		for _, a := range old.Spec.Drivers {
			for _, b := range now.Spec.Drivers {
				if a.Name == b.Name && !cmp.Equal(a, b) {
					return nil, errors.New("spec.drivers: field is immutable")
				}
			}
		}
	}
	return e.Transport.Update(ctx, req, obj, opts)
}

// A driver that was replaced while no agent ran says other things than the CSINode.
func TestEntryIsReplaced(t *testing.T) {
	node := &storagev1.CSINode{ObjectMeta: metav1.ObjectMeta{Name: "n1"}, Spec: storagev1.CSINodeSpec{Drivers: []storagev1.CSINodeDriver{{Name: driverName, NodeID: "old"}, {Name: "other", NodeID: "x"}}}}
	transport := entries{clienttest.NewServer(t, node)}
	m := New(transport, Config{NodeName: "n1"})
	for _, id := range []string{"new", "new", "newer"} {
		if err := m.changeCSINode(t.Context(), driverName, &storagev1.CSINodeDriver{Name: driverName, NodeID: id}); err != nil {
			t.Fatal(err)
		}
		n, err := client.Of[*storagev1.CSINode](transport).Get(t.Context(), "", "n1")
		if err != nil || len(n.Spec.Drivers) != 2 || n.Spec.Drivers[1].NodeID != id {
			t.Fatalf("drivers are %v (%v), want one with ID %s", n.Spec.Drivers, err, id)
		}
	}
}

func TestRefusals(t *testing.T) {
	for name, tc := range map[string]struct {
		spec storagev1.CSIDriverSpec
		want string
	}{
		"tokens":    {storagev1.CSIDriverSpec{TokenRequests: []storagev1.TokenRequest{{}}}, "tokens of service accounts"},
		"republish": {storagev1.CSIDriverSpec{RequiresRepublish: ptr.To(true)}, "again and again"},
		"ephemeral": {storagev1.CSIDriverSpec{VolumeLifecycleModes: []storagev1.VolumeLifecycleMode{storagev1.VolumeLifecycleEphemeral}}, "no persistent volumes"},
	} {
		m := New(clienttest.NewServer(t, &storagev1.CSIDriver{ObjectMeta: metav1.ObjectMeta{Name: driverName}, Spec: tc.spec}), Config{RootDir: t.TempDir()})
		if _, _, err := m.Mount(t.Context(), pod("u1"), volume(), false); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: error %v, want %q", name, err, tc.want)
		}
	}
}

func TestGivesToGroup(t *testing.T) {
	policy := func(p storagev1.FSGroupPolicy) *storagev1.CSIDriver {
		return &storagev1.CSIDriver{Spec: storagev1.CSIDriverSpec{FSGroupPolicy: &p}}
	}
	shared := func(pv *corev1.PersistentVolume) {
		pv.Spec.AccessModes = []corev1.PersistentVolumeAccessMode{corev1.ReadWriteMany}
	}
	for _, tc := range []struct {
		name   string
		driver *storagev1.CSIDriver
		pv     *corev1.PersistentVolume
		want   bool
	}{
		{"a disk", nil, volume(), true},
		{"a share", nil, volume(shared), false},
		{"a file system that nobody names", nil, volume(func(pv *corev1.PersistentVolume) { pv.Spec.CSI.FSType = "" }), false},
		{"a driver that says all", policy(storagev1.FileFSGroupPolicy), volume(shared), true},
		{"a driver that says none", policy(storagev1.NoneFSGroupPolicy), volume(), false},
	} {
		if got := givesToGroup(tc.pv, tc.driver); got != tc.want {
			t.Errorf("%s: %v, want %v", tc.name, got, tc.want)
		}
	}
}

func TestCapability(t *testing.T) {
	finer := map[csi.NodeServiceCapability_RPC_Type]bool{csi.NodeServiceCapability_RPC_SINGLE_NODE_MULTI_WRITER: true}
	group := map[csi.NodeServiceCapability_RPC_Type]bool{csi.NodeServiceCapability_RPC_VOLUME_MOUNT_GROUP: true}
	mode := func(m corev1.PersistentVolumeAccessMode) func(*corev1.PersistentVolume) {
		return func(pv *corev1.PersistentVolume) { pv.Spec.AccessModes[0] = m }
	}
	for _, tc := range []struct {
		name string
		can  map[csi.NodeServiceCapability_RPC_Type]bool
		pv   *corev1.PersistentVolume
		want string
	}{
		{"one node", nil, volume(), `mount:{fs_type:"ext4"} access_mode:{mode:SINGLE_NODE_WRITER}`},
		{"one node, told apart", finer, volume(), `mount:{fs_type:"ext4"} access_mode:{mode:SINGLE_NODE_MULTI_WRITER}`},
		{"one pod", finer, volume(mode(corev1.ReadWriteOncePod)), `mount:{fs_type:"ext4"} access_mode:{mode:SINGLE_NODE_SINGLE_WRITER}`},
		{"many", nil, volume(mode(corev1.ReadWriteMany)), `mount:{fs_type:"ext4"} access_mode:{mode:MULTI_NODE_MULTI_WRITER}`},
		{"many readers", nil, volume(mode(corev1.ReadOnlyMany)), `mount:{fs_type:"ext4"} access_mode:{mode:MULTI_NODE_READER_ONLY}`},
		{"a driver that knows groups", group, volume(), `mount:{fs_type:"ext4" volume_mount_group:"7"} access_mode:{mode:SINGLE_NODE_WRITER}`},
		{"a device", nil, volume(func(pv *corev1.PersistentVolume) { pv.Spec.VolumeMode = ptr.To(corev1.PersistentVolumeBlock) }), `block:{} access_mode:{mode:SINGLE_NODE_WRITER}`},
	} {
		got := (&driver{can: tc.can}).capability(tc.pv, "7").String()
		if strings.Join(strings.Fields(got), " ") != tc.want { // the blanks are random on purpose
			t.Errorf("%s: %s, want %s", tc.name, got, tc.want)
		}
	}
}
