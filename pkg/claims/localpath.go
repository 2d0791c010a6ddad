package claims

import (
	"path/filepath"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// What the built-in local-path provisioner and the node agents agree on. The provisioner makes
// and deletes PersistentVolumes; the agent of the one node that a volume is on makes the
// directory when the volume is first mounted, and removes it when the volume is deleted.
const (
	// LocalPath is the name of the provisioner, and the finalizer on its volumes: the agent takes
	// it off once the directory is gone.
	LocalPath = "miniorch.dev/local-path"
	// LocalPathRoot is on a Node: the directory in which its volumes are.
	LocalPathRoot = "miniorch.dev/local-path-root"
	// LocalPathNode is a label on a volume: the name of the node it is on.
	LocalPathNode = "miniorch.dev/local-path-node"
	// LocalPathMade is on a volume once its directory was made: if it is missing later, the data is lost.
	LocalPathMade = "miniorch.dev/local-path-made"
)

// LocalPathClass is the StorageClass that clusters begin with: whoever asks for a volume without
// saying more gets a directory on the node where the pod runs.
func LocalPathClass() *storagev1.StorageClass {
	wait, policy, grows := storagev1.VolumeBindingWaitForFirstConsumer, corev1.PersistentVolumeReclaimDelete, true
	return &storagev1.StorageClass{
		ObjectMeta:  metav1.ObjectMeta{Name: "local-path", Annotations: map[string]string{DefaultClass: "true"}},
		Provisioner: LocalPath, ReclaimPolicy: &policy, VolumeBindingMode: &wait, AllowVolumeExpansion: &grows,
	}
}

// IsLocalPath reports whether a volume was made by the local-path provisioner.
func IsLocalPath(v *corev1.PersistentVolume) bool {
	return v.Annotations[ProvisionedBy] == LocalPath && v.Spec.Local != nil
}

// LocalPathDir is where a claim's volume is, below the root of its node: named so that people
// who look around there know whose it is.
func LocalPathDir(root, volume, namespace, claim string) string {
	name := volume + "_" + namespace + "_" + claim
	return filepath.Join(root, name[:min(len(name), maxFileName)])
}

// maxFileName is how long the name of a file may be; those of claims alone may be nearly that.
const maxFileName = 255
