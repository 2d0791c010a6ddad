// Package claims knows what PersistentVolumeClaims and PersistentVolumes say to each other:
// which volume a claim may be bound to, on which node, and the annotations and finalizers by
// which binder, scheduler, provisioners and node agents work together. It is pure: who binds,
// provisions or mounts asks here, so that all of them answer alike.
package claims

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/miniorch/miniorch/pkg/api"
)

// Annotations and finalizers, as every part of Kubernetes that deals in storage knows them.
const (
	// BindCompleted is on a claim once its binding was completed: from then on a missing
	// volume means that data was lost.
	BindCompleted = "pv.kubernetes.io/bind-completed"
	// BoundByController is on whichever side the binder filled in: it may take that back.
	BoundByController = "pv.kubernetes.io/bound-by-controller"
	// SelectedNode is on a claim of a class that waits: where its first pod will run.
	SelectedNode = "volume.kubernetes.io/selected-node"
	// Provisioner is on a claim whose volume somebody is to make: who.
	Provisioner = "volume.kubernetes.io/storage-provisioner"
	// BetaProvisioner is the older name of Provisioner, which some provisioners still read.
	BetaProvisioner = "volume.beta.kubernetes.io/storage-provisioner"
	// ProvisionedBy is on a volume that was made for a claim: by whom.
	ProvisionedBy = "pv.kubernetes.io/provisioned-by"
	// BetaClass is the older way to name a class.
	BetaClass = corev1.BetaStorageClassAnnotation
	// DefaultClass is on the StorageClass that claims get that name none.
	DefaultClass = "storageclass.kubernetes.io/is-default-class"
	// BetaDefaultClass is the older name of DefaultClass.
	BetaDefaultClass = "storageclass.beta.kubernetes.io/is-default-class"

	// VolumeProtection keeps a volume while it is bound.
	VolumeProtection = "kubernetes.io/pv-protection"
	// ClaimProtection keeps a claim while pods use it.
	ClaimProtection = "kubernetes.io/pvc-protection"

	// NoProvisioner is the provisioner of a class whose volumes are made by hand.
	NoProvisioner = "kubernetes.io/no-provisioner"
)

// ClassOf returns the name of the class that a claim asks for; empty if it wants none.
func ClassOf(c *corev1.PersistentVolumeClaim) string {
	if name, ok := c.Annotations[BetaClass]; ok {
		return name
	}
	if c.Spec.StorageClassName != nil {
		return *c.Spec.StorageClassName
	}
	return ""
}

// NamesClass reports whether a claim says anything about its class, were it that it wants none.
func NamesClass(c *corev1.PersistentVolumeClaim) bool {
	_, beta := c.Annotations[BetaClass]
	return beta || c.Spec.StorageClassName != nil
}

// ClassOfVolume returns the name of the class that a volume belongs to.
func ClassOfVolume(v *corev1.PersistentVolume) string {
	if name, ok := v.Annotations[BetaClass]; ok {
		return name
	}
	return v.Spec.StorageClassName
}

// IsDefault reports whether a class is what claims get that name none.
func IsDefault(sc *storagev1.StorageClass) bool {
	return sc.Annotations[DefaultClass] == "true" || sc.Annotations[BetaDefaultClass] == "true"
}

// Default returns the default class: of several the newest, and of those the first by name.
// Nil: there is none.
func Default(classes []*storagev1.StorageClass) *storagev1.StorageClass {
	var best *storagev1.StorageClass
	for _, sc := range classes {
		if IsDefault(sc) && (best == nil || newer(sc, best)) {
			best = sc
		}
	}
	return best
}

func newer(a, b *storagev1.StorageClass) bool {
	if !a.CreationTimestamp.Equal(&b.CreationTimestamp) {
		return b.CreationTimestamp.Before(&a.CreationTimestamp)
	}
	return strings.Compare(a.Name, b.Name) < 0
}

// Waits reports whether claims of the class are bound only when their first pod is placed.
func Waits(sc *storagev1.StorageClass) bool {
	return sc != nil && sc.VolumeBindingMode != nil && *sc.VolumeBindingMode == storagev1.VolumeBindingWaitForFirstConsumer
}

// IsBound reports whether a claim's binding is complete.
func IsBound(c *corev1.PersistentVolumeClaim) bool {
	return c.Spec.VolumeName != "" && metav1.HasAnnotation(c.ObjectMeta, BindCompleted)
}

// Holds reports whether a volume is bound to the claim, or set aside for it by name.
func Holds(v *corev1.PersistentVolume, c *corev1.PersistentVolumeClaim) bool {
	ref := v.Spec.ClaimRef
	return ref != nil && ref.Namespace == c.Namespace && ref.Name == c.Name && (ref.UID == "" || ref.UID == c.UID)
}

// ModeOf returns how a claim's volume is used; a file system unless it says otherwise.
func ModeOf(mode *corev1.PersistentVolumeMode) corev1.PersistentVolumeMode {
	if mode == nil {
		return corev1.PersistentVolumeFilesystem
	}
	return *mode
}

// Reaches reports whether a volume can be used on a node.
func Reaches(v *corev1.PersistentVolume, node *corev1.Node) bool {
	return v.Spec.NodeAffinity == nil || api.NodeSelectorMatches(v.Spec.NodeAffinity.Required, node)
}

// NameFor returns the name of the claim behind a pod's volume, and whether it is one that is made for
// the pod alone; empty if the volume is none.
func NameFor(pod *corev1.Pod, v *corev1.Volume) (name string, ephemeral bool) {
	switch {
	case v.PersistentVolumeClaim != nil:
		return v.PersistentVolumeClaim.ClaimName, false
	case v.Ephemeral != nil:
		return pod.Name + "-" + v.Name, true
	}
	return "", false
}

// Names returns the claims that a pod uses.
func Names(pod *corev1.Pod) []string {
	var names []string
	for i := range pod.Spec.Volumes {
		if name, _ := NameFor(pod, &pod.Spec.Volumes[i]); name != "" && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// Keys returns the claims that a pod uses as "namespace/name", for indexes.
func Keys(pod *corev1.Pod) []string {
	names := Names(pod)
	for i := range names {
		names[i] = pod.Namespace + "/" + names[i]
	}
	return names
}

// MadeFor reports whether a claim was made for this very pod, as those of ephemeral volumes are.
func MadeFor(c *corev1.PersistentVolumeClaim, pod *corev1.Pod) bool {
	return metav1.IsControlledBy(c, pod)
}
