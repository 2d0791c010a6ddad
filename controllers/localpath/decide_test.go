package localpath

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"sigs.k8s.io/yaml"
)

func from[T any](t *testing.T, text string) *T {
	t.Helper()
	if text == "" {
		return nil
	}
	obj := new(T)
	if err := yaml.UnmarshalStrict([]byte(text), obj); err != nil {
		t.Fatalf("reading YAML: %v\n%s", err, text)
	}
	return obj
}

const (
	class = "{metadata: {name: local-path}, provisioner: miniorch.dev/local-path, volumeBindingMode: WaitForFirstConsumer}"
	node  = "{metadata: {name: n1, labels: {kubernetes.io/hostname: n1}, annotations: {miniorch.dev/local-path-root: /data}}}"
	asked = "metadata: {namespace: a, name: c, uid: u, annotations: {volume.kubernetes.io/storage-provisioner: miniorch.dev/local-path, volume.kubernetes.io/selected-node: n1}}\n"
	size  = "resources: {requests: {storage: 2Gi}}"
)

func TestDecideClaim(t *testing.T) {
	for _, tc := range []struct {
		name, reason, claim, class, node, volume, want string
	}{
		{"made", "a node was selected", asked + "spec: {accessModes: [ReadWriteOnce], " + size + "}", class, node, "", "create pvc-u at /data/pvc-u_a_c"},
		{"made before", "one claim has one volume", asked + "spec: {accessModes: [ReadWriteOnce], " + size + "}", class, node, "{}", "nothing"},
		{"no node yet", "the scheduler has not chosen", "metadata: {annotations: {volume.kubernetes.io/storage-provisioner: miniorch.dev/local-path}}\nspec: {accessModes: [ReadWriteOnce], " + size + "}", class, "", "", "nothing"},
		{"another's", "we make our own only", "metadata: {annotations: {volume.kubernetes.io/storage-provisioner: x, volume.kubernetes.io/selected-node: n1}}\nspec: {}", class, node, "", "nothing"},
		{"node gone", "another has to be found", asked + "spec: {accessModes: [ReadWriteOnce], " + size + "}", class, "", "", `have another node selected: node "n1" not found`},
		{"node without a place", "simulated ones have none", asked + "spec: {accessModes: [ReadWriteOnce], " + size + "}", class, "{metadata: {name: n1}}", "",
			`have another node selected: node "n1" has no directory for local volumes`},
		{"many writers", "they could be on many nodes", asked + "spec: {accessModes: [ReadWriteMany], " + size + "}", class, node, "",
			"refuse: local volumes only support ReadWriteOnce and ReadWriteOncePod access modes"},
		{"block", "a directory is no device", asked + "spec: {accessModes: [ReadWriteOnce], volumeMode: Block, " + size + "}", class, node, "",
			"refuse: local volumes are directories, volumeMode Block is not supported"},
		{"at once", "nobody knows where the pod will run", asked + "spec: {accessModes: [ReadWriteOnce], " + size + "}", "{metadata: {name: x}, volumeBindingMode: Immediate}", node, "",
			"refuse: a class of local volumes needs volumeBindingMode WaitForFirstConsumer: a directory is on one node"},
		{"copy", "nothing fills it", asked + "spec: {accessModes: [ReadWriteOnce], dataSource: {kind: PersistentVolumeClaim, name: x}, " + size + "}", class, node, "",
			"refuse: local volumes start empty, a data source is not supported"},
		{"grows", "the claim asks for more than the volume says", bound("2Gi", "1Gi"), class, node, ours("1Gi"), "grow"},
		{"half grown", "the claim does not know yet", bound("2Gi", "1Gi"), class, node, ours("2Gi"), "grow"},
		{"grown", "all say the same", bound("2Gi", "2Gi"), class, node, ours("2Gi"), "nothing"},
		{"another's volume grows", "that is for another", bound("2Gi", "1Gi"), class, node, "{spec: {capacity: {storage: 1Gi}, claimRef: {namespace: a, name: c, uid: u}}}", "nothing"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			o := claimView{Claim: from[corev1.PersistentVolumeClaim](t, tc.claim), Class: from[storagev1.StorageClass](t, tc.class),
				Node: from[corev1.Node](t, tc.node), Volume: from[corev1.PersistentVolume](t, tc.volume)}
			if got := decideClaim(o).String(); got != tc.want {
				t.Errorf("%s: got %q, want %q", tc.reason, got, tc.want)
			}
		})
	}
}

func bound(asks, has string) string {
	return "{metadata: {namespace: a, name: c, uid: u, annotations: {pv.kubernetes.io/bind-completed: \"yes\"}}, " +
		"spec: {volumeName: pvc-u, resources: {requests: {storage: " + asks + "}}}, status: {phase: Bound, capacity: {storage: " + has + "}}}"
}

func ours(size string) string {
	return "{metadata: {annotations: {pv.kubernetes.io/provisioned-by: miniorch.dev/local-path}}, " +
		"spec: {capacity: {storage: " + size + "}, local: {path: /x}, claimRef: {namespace: a, name: c, uid: u}}}"
}

func TestDecideVolume(t *testing.T) {
	const (
		mine     = "annotations: {pv.kubernetes.io/provisioned-by: miniorch.dev/local-path}"
		deleting = `deletionTimestamp: "2026-01-01T00:00:00Z"`
	)
	for _, tc := range []struct {
		name, reason, volume string
		node                 bool
		want                 VolumePlan
	}{
		{"released", "its claim is gone", "{metadata: {" + mine + "}, spec: {local: {path: /x}, persistentVolumeReclaimPolicy: Delete}, status: {phase: Released}}", true, remove},
		{"retained", "somebody wants the data", "{metadata: {" + mine + "}, spec: {local: {path: /x}, persistentVolumeReclaimPolicy: Retain}, status: {phase: Released}}", true, nothing},
		{"bound", "it is in use", "{metadata: {" + mine + "}, spec: {local: {path: /x}, persistentVolumeReclaimPolicy: Delete}, status: {phase: Bound}}", true, nothing},
		{"another's", "not ours to delete", "{spec: {local: {path: /x}, persistentVolumeReclaimPolicy: Delete}, status: {phase: Released}}", true, nothing},
		{"deleted", "the agent removes the directory first", "{metadata: {" + mine + ", " + deleting + ", finalizers: [miniorch.dev/local-path]}, spec: {local: {path: /x}}}", true, nothing},
		{"deleted without a node", "there is nobody to wait for", "{metadata: {" + mine + ", " + deleting + ", finalizers: [miniorch.dev/local-path]}, spec: {local: {path: /x}}}", false, letGo},
		{"deleted and protected", "others come first", "{metadata: {" + mine + ", " + deleting + ", finalizers: [miniorch.dev/local-path, kubernetes.io/pv-protection]}, spec: {local: {path: /x}}}", false, nothing},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := decideVolume(from[corev1.PersistentVolume](t, tc.volume), tc.node); got != tc.want {
				t.Errorf("%s: got %q, want %q", tc.reason, got, tc.want)
			}
		})
	}
}
