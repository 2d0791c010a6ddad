package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"golang.org/x/sys/unix"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/miniorch/miniorch/kubelet/csi/csitest"
)

const diskDriver = "disk.example.com"

// testDriver plays a CSI driver for disks that can be in one machine at a time: its part on every node, and its
// attacher. The disk follows the pods that use it, with what they have written.
func (w *world) testDriver(t *testing.T) {
	disk := t.TempDir()
	check(t, os.Chmod(disk, 0o777))
	for _, h := range w.Plan.Hosts[1:] {
		driverOn(disk).Start(t, filepath.Join(h.Dir, "plugins_registry"))
	}
	manifest, err := os.ReadFile("testdata/driver.yaml")
	check(t, err)
	w.apply(t, string(manifest))
	for _, h := range w.Plan.Hosts[1:] {
		eventually(t, "the driver on "+h.Name, func() error {
			if out, err := w.run("get", "csinode", h.Name, "-o", "jsonpath={.spec.drivers[*].name}"); err != nil || !strings.Contains(out, diskDriver) {
				return fmt.Errorf("it has %q (%v)", out, err)
			}
			return nil
		})
	}

	w.apply(t, strings.NewReplacer("NAME", "writer", "NODE", "node-1", "COMMAND", "echo kept > /disk/note; sleep 3600").Replace(diskUser))
	w.attaches(t, "node-1")
	w.kubectl(t, "wait", "--for=condition=Ready", "pod/writer", "--timeout=3m")
	expect(t, w.kubectl(t, "get", "node", "node-1", "-o", "jsonpath={.status.volumesInUse} {.status.volumesAttached}"),
		`["kubernetes.io/csi/disk.example.com^disk-1"] [{"devicePath":"","name":"kubernetes.io/csi/disk.example.com^disk-1"}]`)

	eventually(t, "the note", func() error { _, err := os.Stat(filepath.Join(disk, "note")); return err })
	w.apply(t, strings.NewReplacer("NAME", "reader", "NODE", "node-2", "COMMAND", "cat /disk/note && sleep 3600").Replace(diskUser))
	w.event(t, "reader", "FailedAttachVolume", "Volume is already used by pod(s) writer")
	w.kubectl(t, "delete", "pod", "writer", "--wait")
	w.detaches(t, "node-1")
	w.attaches(t, "node-2")
	w.kubectl(t, "wait", "--for=condition=Ready", "pod/reader", "--timeout=3m")
	w.reads(t, "reader")

	w.leavesDeadNode(t)
	w.kubectl(t, "delete", "pvc/disk", "pv/disk", "csidriver/"+diskDriver, "--wait")
}

// leavesDeadNode cuts the power of the reader's node: only somebody who says that nothing runs there gets the disk
// off it. When the node is back it lets go of what it had.
func (w *world) leavesDeadNode(t *testing.T) {
	check(t, w.Kill("node-2", false))
	w.apply(t, strings.NewReplacer("NAME", "third", "NODE", "node-1", "COMMAND", "cat /disk/note && sleep 3600").Replace(diskUser))
	w.kubectl(t, "wait", "--for=condition=Ready=Unknown", "node/node-2", "--timeout=3m")
	w.event(t, "third", "FailedAttachVolume", "Volume is already used by pod(s) reader")
	w.kubectl(t, "delete", "pod", "reader", "--wait=false")
	w.kubectl(t, "taint", "node", "node-2", "node.kubernetes.io/out-of-service=dead:NoSchedule") // others' pods stay
	w.letsGo(t, "node-2")
	w.attaches(t, "node-1")
	w.kubectl(t, "wait", "--for=condition=Ready", "pod/third", "--timeout=3m")
	w.reads(t, "third")

	check(t, w.Start(context.Background(), "node-2"))
	w.kubectl(t, "wait", "--for=condition=Ready", "node/node-2", "--timeout=3m")
	w.kubectl(t, "taint", "node", "node-2", "node.kubernetes.io/out-of-service-")
	w.field(t, "node/node-2", ".status.volumesInUse", "")
	w.kubectl(t, "delete", "pod", "third", "--wait")
	w.detaches(t, "node-1")
}

// reads waits until a pod has found what the first has written.
func (w *world) reads(t *testing.T, pod string) {
	t.Helper()
	eventually(t, "what "+pod+" reads", func() error {
		if out := w.kubectl(t, "logs", pod); out != "kept\n" {
			return fmt.Errorf("%q", out)
		}
		return nil
	})
}

const diskUser = `{apiVersion: v1, kind: Pod, metadata: {name: NAME}, spec: {nodeName: NODE, terminationGracePeriodSeconds: 0,
  containers: [{name: main, image: "busybox:1", imagePullPolicy: IfNotPresent, command: [sh, -c, "COMMAND"], volumeMounts: [{name: disk, mountPath: /disk}]}],
  volumes: [{name: disk, persistentVolumeClaim: {claimName: disk}}]}}`

// driverOn is the driver of one node. Its disk is a directory of the machine.
func driverOn(disk string) *csitest.Driver {
	return &csitest.Driver{
		Name: diskDriver, NodeID: "node", Can: []csi.NodeServiceCapability_RPC_Type{csi.NodeServiceCapability_RPC_STAGE_UNSTAGE_VOLUME},
		Publish: func(r *csi.NodePublishVolumeRequest) error {
			if r.PublishContext["slot"] != "1" {
				return fmt.Errorf("the attacher said %v", r.PublishContext)
			}
			if err := os.MkdirAll(r.TargetPath, 0o755); err != nil {
				return err
			}
			return unix.Mount(disk, r.TargetPath, "", unix.MS_BIND, "")
		},
		Unpublish: func(target string) error {
			if _, err := os.Stat(target); os.IsNotExist(err) {
				return nil
			}
			if err := unix.Unmount(target, 0); err != nil {
				return err
			}
			return os.Remove(target)
		},
	}
}

// attachment returns the only attachment, which must be to the node.
func (w *world) attachment(ctx context.Context, node string) (*storagev1.VolumeAttachment, error) {
	all, err := w.clients.StorageV1().VolumeAttachments().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	if len(all.Items) != 1 || all.Items[0].Spec.NodeName != node {
		return nil, fmt.Errorf("attachments are %v", all.Items)
	}
	return &all.Items[0], nil
}

// attaches plays the attacher: it holds the attachment, and says that it is made.
func (w *world) attaches(t *testing.T, node string) {
	t.Helper()
	eventually(t, "the disk to be attached to "+node, func() error {
		a, err := w.attachment(t.Context(), node)
		if err != nil {
			return err
		}
		a.Finalizers = []string{"example.com/attacher"}
		if a, err = w.clients.StorageV1().VolumeAttachments().Update(t.Context(), a, metav1.UpdateOptions{}); err != nil {
			return err
		}
		a.Status.Attached, a.Status.AttachmentMetadata = true, map[string]string{"slot": "1"}
		_, err = w.clients.StorageV1().VolumeAttachments().UpdateStatus(t.Context(), a, metav1.UpdateOptions{})
		return err
	})
}

// detaches plays the attacher, too: nobody may use the disk when it lets go.
func (w *world) detaches(t *testing.T, node string) {
	t.Helper()
	a := w.letsGo(t, node)
	n, err := w.clients.CoreV1().Nodes().Get(t.Context(), a.Spec.NodeName, metav1.GetOptions{})
	check(t, err)
	if len(n.Status.VolumesInUse) > 0 || len(n.Status.VolumesAttached) > 0 {
		t.Errorf("detached what is used: %v, attached are %v", n.Status.VolumesInUse, n.Status.VolumesAttached)
	}
}

// letsGo waits for an attachment to be deleted, and takes the attacher's hold off it.
func (w *world) letsGo(t *testing.T, node string) *storagev1.VolumeAttachment {
	t.Helper()
	var a *storagev1.VolumeAttachment
	eventually(t, "the disk to be detached from "+node, func() (err error) {
		if a, err = w.attachment(t.Context(), node); err != nil || a.DeletionTimestamp == nil {
			return fmt.Errorf("%v: %v", err, a)
		}
		a.Finalizers = nil
		_, err = w.clients.StorageV1().VolumeAttachments().Update(t.Context(), a, metav1.UpdateOptions{})
		return err
	})
	return a
}
