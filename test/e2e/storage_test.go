package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// testStorage gives pods volumes by claims, of the default class and made by hand, and takes pods,
// agents and a node away under them: what was written stays as long as its claim does.
func (w *world) testStorage(t *testing.T) {
	manifest, err := os.ReadFile("testdata/storage.yaml")
	check(t, err)
	hand := t.TempDir()
	check(t, os.Chmod(hand, 0o777))
	w.apply(t, strings.ReplaceAll(string(manifest), "HOST_DIR", hand))
	eventually(t, "three notes", func() error { return w.readyPods("app=notes", 3) })
	expect(t, w.kubectl(t, "get", "storageclass"), "local-path (default)", "miniorch.dev/local-path", "WaitForFirstConsumer", "true")
	expect(t, w.kubectl(t, "get", "pvc", "data-notes-0"), "Bound", "1Gi", "RWO", "local-path")

	t.Run("by hand", func(t *testing.T) { w.volumesByHand(t, hand) })
	t.Run("data outlives pods, agents and the power of a node", w.dataSurvives)
	t.Run("growth", w.claimGrows)
	t.Run("protection and removal", w.claimsGo)
	t.Run("kills on the way", w.provisioningIsInterrupted)
	t.Run("data that is retained", w.dataIsRetained)
	t.Run("devices", w.devices)
}

// volumesByHand: a volume made by hand is found, read and written, and kept; a claim for one pod has one;
// an ephemeral volume goes with its pod.
func (w *world) volumesByHand(t *testing.T, dir string) {
	w.kubectl(t, "wait", "--for=condition=Ready", "pod/user", "--timeout=3m")
	eventually(t, "what the pod writes into the directory of the host", func() error { // it is Ready before it has
		if content, err := os.ReadFile(filepath.Join(dir, "from-pod")); string(content) != "found\n" {
			return fmt.Errorf("%q (%v)", content, err)
		}
		return nil
	})
	expect(t, w.inPod(t, "user", "cat", "/reader/from-pod"), "found")
	if out, err := w.run("exec", "user", "--", "touch", "/reader/x"); err == nil || !strings.Contains(out, "Read-only file system") {
		t.Errorf("a volume that is read only was written to: %v\n%s", err, out)
	}
	w.apply(t, `{apiVersion: v1, kind: Pod, metadata: {name: second, labels: {app: storage-users}}, spec: {terminationGracePeriodSeconds: 0,
  containers: [{name: main, image: "busybox:1", imagePullPolicy: IfNotPresent, command: [sleep, "3600"]}], volumes: [{name: alone, persistentVolumeClaim: {claimName: alone}}]}}`)
	eventually(t, "the second user of a claim for one pod to be told to wait", func() error {
		out := w.kubectl(t, "get", "pod", "second", "-o", `jsonpath={.status.conditions[?(@.type=="PodScheduled")].message}`)
		if !strings.Contains(out, "ReadWriteOncePod access mode") {
			return fmt.Errorf("it says %q", out)
		}
		return nil
	})
	w.kubectl(t, "delete", "pod", "user", "--wait")
	w.kubectl(t, "wait", "--for=condition=Ready", "pod/second", "--timeout=3m")
	eventually(t, "the ephemeral volume's end", w.gone("pvc", "user-scratch"))
	w.kubectl(t, "delete", "pod", "second", "--wait")
	w.kubectl(t, "delete", "pvc", "by-hand", "alone", "--wait")
	eventually(t, "the volume's release", func() error {
		if phase := w.kubectl(t, "get", "pv", "by-hand", "-o", "jsonpath={.status.phase}"); phase != "Released" {
			return fmt.Errorf("phase %s", phase)
		}
		return nil
	})
	if _, err := os.Stat(filepath.Join(dir, "from-pod")); err != nil {
		t.Errorf("what a retained volume held: %v", err)
	}
	w.kubectl(t, "delete", "pv", "by-hand", "--wait")
}

// gone returns nil when an object is not there any more.
func (w *world) gone(kind, name string) func() error {
	return func() error {
		out, err := w.run("get", kind, name)
		if err == nil || !strings.Contains(out, "NotFound") {
			return fmt.Errorf("%v: %s", err, out)
		}
		return nil
	}
}

// dataSurvives: each start of a pod adds a line, and finds those before.
func (w *world) dataSurvives(t *testing.T) {
	// A node that is only just back may be called Ready and its pods too before they are.
	notes := func(pod string, starts int) {
		t.Helper()
		eventually(t, "the notes of "+pod, func() error {
			got, err := w.run("exec", pod, "--", "cat", "/data/notes")
			if want := strings.Repeat("started as "+pod+"\n", starts); err != nil || !strings.HasPrefix(got, want) {
				return fmt.Errorf("it has\n%s(%v), want\n%s", got, err, want)
			}
			return nil
		})
	}
	notes("notes-0", 1)
	expect(t, w.inPod(t, "notes-0", "ls", "-ldn", "/data"), "drwxrwsrwx", "2000")
	w.inPod(t, "notes-0", "touch", "/part/x")
	expect(t, w.inPod(t, "notes-0", "ls", "/data/some/part"), "x")

	node := w.kubectl(t, "get", "pod", "notes-0", "-o", "jsonpath={.spec.nodeName}")
	w.kubectl(t, "delete", "pod", "notes-0", "--wait")
	eventually(t, "notes-0 again", func() error { return w.readyPods("app=notes", 3) })
	if now := w.kubectl(t, "get", "pod", "notes-0", "-o", "jsonpath={.spec.nodeName}"); now != node {
		t.Errorf("its data is on %s and notes-0 on %s", node, now)
	}
	notes("notes-0", 2)

	check(t, w.Kill(node, true)) // the agent alone: nothing happens to the pod
	check(t, w.Start(context.Background(), node))
	w.kubectl(t, "wait", "--for=condition=Ready", "node/"+node, "--timeout=3m")
	notes("notes-0", 2)
	w.kubectl(t, "delete", "pod", "notes-0", "--wait")
	eventually(t, "notes-0 after a restart of the agent", func() error { return w.readyPods("app=notes", 3) })
	notes("notes-0", 3)

	check(t, w.Kill(node, false)) // everything on the node
	w.kubectl(t, "delete", "pod", "notes-0", "--force", "--grace-period=0", "--wait=false")
	check(t, w.Start(context.Background(), node))
	w.kubectl(t, "wait", "--for=condition=Ready", "node/"+node, "--timeout=3m")
	notes("notes-0", 4)
	eventually(t, "all after a power cut", func() error { return w.readyPods("app=notes", 3) })
}

// claimGrows: a claim may ask for more, and not for less.
func (w *world) claimGrows(t *testing.T) {
	w.kubectl(t, "patch", "pvc", "data-notes-1", "-p", `{"spec":{"resources":{"requests":{"storage":"2Gi"}}}}`)
	eventually(t, "the claim's growth", func() error {
		if size := w.kubectl(t, "get", "pvc", "data-notes-1", "-o", "jsonpath={.status.capacity.storage}"); size != "2Gi" {
			return fmt.Errorf("capacity %s", size)
		}
		return nil
	})
	out, err := w.run("patch", "pvc", "data-notes-1", "-p", `{"spec":{"resources":{"requests":{"storage":"1Gi"}}}}`)
	if err == nil {
		t.Error("the claim could shrink")
	}
	expect(t, out, "field can not be less than status.capacity")
}

// claimsGo: a claim stays while a pod uses it; then its volume and its directory go with it.
func (w *world) claimsGo(t *testing.T) {
	w.kubectl(t, "delete", "pvc", "data-notes-0", "data-notes-1", "data-notes-2", "--wait=false")
	expect(t, w.kubectl(t, "get", "pvc", "data-notes-0", "data-notes-1", "data-notes-2"), "data-notes-0   Terminating", "data-notes-1   Terminating", "data-notes-2   Terminating")
	if dirs := w.localVolumes(t); len(dirs) != 3 {
		t.Errorf("directories of volumes on the nodes: %q, want three", dirs)
	}
	w.kubectl(t, "delete", "statefulset/notes", "svc/notes", "--wait")
	for i := range 3 {
		eventually(t, "the claim's end", w.gone("pvc", fmt.Sprint("data-notes-", i)))
	}
	w.noVolumesLeft(t)
}

func (w *world) noVolumesLeft(t *testing.T) {
	t.Helper()
	eventually(t, "the end of volumes and directories", func() error {
		volumes := w.kubectl(t, "get", "pv", "-o", "name")
		if dirs := w.localVolumes(t); strings.Contains(volumes, "persistentvolume/") || len(dirs) > 0 {
			return fmt.Errorf("volumes %q, directories %q", volumes, dirs)
		}
		return nil
	})
}

// localVolumes lists the directories of local volumes on all nodes.
func (w *world) localVolumes(t *testing.T) []string {
	t.Helper()
	var found []string
	for _, h := range w.Plan.Hosts {
		dirs, err := filepath.Glob(filepath.Join(h.Dir, "local-path", "*"))
		check(t, err)
		found = append(found, dirs...)
	}
	return found
}

// provisioningIsInterrupted kills master and agents while volumes are made, and while they go: every claim
// gets one directory, and none is left.
func (w *world) provisioningIsInterrupted(t *testing.T) {
	kills := func() {
		for _, host := range []string{"node-1", "master-1", "node-2", "master-1"} {
			check(t, w.Kill(host, strings.HasPrefix(host, "node")))
			check(t, w.Start(context.Background(), host))
		}
	}
	w.apply(t, `{apiVersion: apps/v1, kind: StatefulSet, metadata: {name: burst}, spec: {serviceName: burst, replicas: 8, podManagementPolicy: Parallel,
  selector: {matchLabels: {app: burst}}, template: {metadata: {labels: {app: burst}}, spec: {terminationGracePeriodSeconds: 0, containers: [{name: main, image: "busybox:1",
    imagePullPolicy: IfNotPresent, command: [sh, -c, "hostname > /data/name && sleep 3600"], volumeMounts: [{name: data, mountPath: /data}]}]}},
  volumeClaimTemplates: [{metadata: {name: data}, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Mi}}}}]}}`)
	kills()
	eventually(t, "eight pods", func() error { return w.readyPods("app=burst", 8) })
	eventually(t, "each pod's name in a directory of its own", func() error {
		dirs := w.localVolumes(t)
		for _, dir := range dirs {
			name, err := os.ReadFile(filepath.Join(dir, "name"))
			if err != nil || !strings.HasSuffix(dir, "_data-"+strings.TrimSpace(string(name))) {
				return fmt.Errorf("%s belongs to %q (%v)", dir, name, err)
			}
		}
		if len(dirs) != 8 {
			return fmt.Errorf("directories %q, want eight", dirs)
		}
		return nil
	})
	w.kubectl(t, "delete", "statefulset/burst", "--cascade=background")
	w.kubectl(t, "delete", "pvc", "--all", "--wait=false")
	kills()
	w.noVolumesLeft(t)
}

// dataIsRetained: a class may keep what its volumes held when claim and volume are gone.
func (w *world) dataIsRetained(t *testing.T) {
	w.apply(t, `{apiVersion: storage.k8s.io/v1, kind: StorageClass, metadata: {name: keep}, provisioner: miniorch.dev/local-path, reclaimPolicy: Retain, volumeBindingMode: WaitForFirstConsumer}`)
	w.apply(t, `{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: kept}, spec: {storageClassName: keep, accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Mi}}}}`)
	w.apply(t, `{apiVersion: v1, kind: Pod, metadata: {name: keeper}, spec: {restartPolicy: Never, containers: [{name: main, image: "busybox:1", imagePullPolicy: IfNotPresent,
  command: [sh, -c, "echo gold > /kept/note"], volumeMounts: [{name: kept, mountPath: /kept}]}], volumes: [{name: kept, persistentVolumeClaim: {claimName: kept}}]}}`)
	w.kubectl(t, "wait", "--for=jsonpath={.status.phase}=Succeeded", "pod/keeper", "--timeout=3m")
	volume := w.kubectl(t, "get", "pvc", "kept", "-o", "jsonpath={.spec.volumeName}")
	w.kubectl(t, "delete", "pod/keeper", "pvc/kept", "--wait")
	w.field(t, "pv/"+volume, ".status.phase", "Released")
	w.kubectl(t, "delete", "pv/"+volume, "storageclass/keep", "--wait")
	dirs := w.localVolumes(t)
	if len(dirs) != 1 {
		t.Fatalf("directories of volumes on the nodes: %q, want the one that was retained", dirs)
	}
	if note, err := os.ReadFile(filepath.Join(dirs[0], "note")); string(note) != "gold\n" {
		t.Errorf("it holds %q (%v)", note, err)
	}
	check(t, os.RemoveAll(dirs[0]))
}

// devices gives a container a block device of its node.
func (w *world) devices(t *testing.T) {
	disk := filepath.Join(t.TempDir(), "disk")
	check(t, os.WriteFile(disk, make([]byte, 1<<20), 0o600))
	out, err := exec.Command("losetup", "--find", "--show", disk).Output()
	if err != nil {
		t.Skipf("this machine has no loop devices: %v", err)
	}
	device := strings.TrimSpace(string(out))
	defer func() { check(t, exec.Command("losetup", "--detach", device).Run()) }()
	manifest, err := os.ReadFile("testdata/device.yaml")
	check(t, err)
	w.apply(t, strings.ReplaceAll(string(manifest), "DEVICE", device))
	w.kubectl(t, "wait", "--for=jsonpath={.status.phase}=Succeeded", "pod/raw", "--timeout=3m")
	if content, err := os.ReadFile(disk); err != nil || !strings.HasPrefix(string(content), "from the pod") {
		t.Errorf("the disk begins with %q (%v)", content[:min(len(content), 20)], err)
	}
	w.kubectl(t, "delete", "pod/raw", "pvc/raw", "pv/raw", "--wait")
}
