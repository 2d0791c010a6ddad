package controllers

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"github.com/miniorch/miniorch/controllers/control"
	"github.com/miniorch/miniorch/controllers/controllertest"
	"github.com/miniorch/miniorch/controllers/localpath"
	"github.com/miniorch/miniorch/controllers/persistentvolume"
	"github.com/miniorch/miniorch/controllers/volumeprotection"
	"github.com/miniorch/miniorch/pkg/claims"
	"github.com/miniorch/miniorch/pkg/client"
)

func makeBinder(t client.Transport, informers *client.Informers, cfg control.Config) controllertest.Runner {
	return persistentvolume.New(t, informers, cfg)
}

func makeProtection(t client.Transport, informers *client.Informers, cfg control.Config) controllertest.Runner {
	return volumeprotection.New(t, informers, cfg)
}

func makeLocalPath(t client.Transport, informers *client.Informers, cfg control.Config) controllertest.Runner {
	return localpath.New(t, informers, cfg)
}

func volumeByHand(name, size string, policy corev1.PersistentVolumeReclaimPolicy) *corev1.PersistentVolume {
	return &corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.PersistentVolumeSpec{
		Capacity: corev1.ResourceList{"storage": resource.MustParse(size)}, AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
		PersistentVolumeReclaimPolicy: policy, StorageClassName: "hand",
		PersistentVolumeSource: corev1.PersistentVolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/" + name}},
	}}
}

func newClaim(name, size, class string) *corev1.PersistentVolumeClaim {
	return &corev1.PersistentVolumeClaim{ObjectMeta: meta("default", name), Spec: corev1.PersistentVolumeClaimSpec{
		AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce}, StorageClassName: &class,
		Resources: corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{"storage": resource.MustParse(size)}},
	}}
}

// storageState tells who has what, and what is said of it.
func storageState(w controllertest.Host) string {
	var lines []string
	for _, v := range controllertest.List[*corev1.PersistentVolume](w, "", "") {
		line := fmt.Sprintf("%s %s", strings.SplitN(v.Name, "-", 2)[0], v.Status.Phase)
		if ref := v.Spec.ClaimRef; ref != nil {
			line += " for " + ref.Name
		}
		if !strings.HasPrefix(v.Name, "pvc-") {
			line = v.Name + strings.TrimPrefix(line, strings.SplitN(v.Name, "-", 2)[0])
		}
		lines = append(lines, line)
	}
	for _, c := range controllertest.List[*corev1.PersistentVolumeClaim](w, "default", "") {
		volume := c.Spec.VolumeName
		if strings.HasPrefix(volume, "pvc-") {
			volume = "pvc"
		}
		lines = append(lines, fmt.Sprintf("%s %s %s %s", c.Name, c.Status.Phase, volume, sizeOf(c)))
	}
	slices.Sort(lines)
	return strings.Join(lines, "; ")
}

func sizeOf(c *corev1.PersistentVolumeClaim) string {
	if c.Status.Capacity == nil {
		return "-"
	}
	return c.Status.Capacity.Storage().String()
}

// checkBindings checks what must hold of claims and volumes at all times: a claim that was told a
// volume keeps it, and no volume is two claims'.
func checkBindings(w controllertest.Host, fail func(string, ...any), before map[types.UID]string) {
	owner := map[string]string{}
	for _, c := range controllertest.List[*corev1.PersistentVolumeClaim](w, "default", "") {
		if c.Spec.VolumeName == "" || !claims.IsBound(c) {
			continue
		}
		if was := before[c.UID]; was != "" && was != c.Spec.VolumeName {
			fail("claim %s had volume %s and has %s", c.Name, was, c.Spec.VolumeName)
		}
		before[c.UID] = c.Spec.VolumeName
		if other := owner[c.Spec.VolumeName]; other != "" {
			fail("claims %s and %s have the same volume %s", other, c.Name, c.Spec.VolumeName)
		}
		owner[c.Spec.VolumeName] = c.Name
	}
	for _, v := range controllertest.List[*corev1.PersistentVolume](w, "", "") {
		if ref := v.Spec.ClaimRef; owner[v.Name] != "" && (ref == nil || ref.Name != owner[v.Name]) {
			fail("claim %s has volume %s, which does not know", owner[v.Name], v.Name)
		}
	}
}

// inPhase tells whether a claim is in a phase.
func inPhase(w controllertest.Host, claim string, want corev1.PersistentVolumeClaimPhase) bool {
	return controllertest.Exists[*corev1.PersistentVolumeClaim](w, "default", claim) &&
		controllertest.Get[*corev1.PersistentVolumeClaim](w, "default", claim).Status.Phase == want
}

// Three claims compete for volumes made by hand; one is deleted and its volume released, another comes
// for a volume that is set aside for it.
func handTrial() controllertest.Trial {
	before := map[types.UID]string{}
	step := 0
	return controllertest.Trial{
		Name: "volumes made by hand", Controllers: []controllertest.Make{makeBinder, makeProtection}, Leaders: 2,
		Want: "a Bound fit 2Gi; big Bound for c; c Bound big 5Gi; d Bound mine 1Gi; fit Bound for a; kept Released for b; mine Bound for d",
		Begin: func(w *controllertest.World) {
			step = 0
			for _, v := range []*corev1.PersistentVolume{volumeByHand("big", "5Gi", "Delete"), volumeByHand("fit", "2Gi", "Retain"), volumeByHand("kept", "3Gi", "Retain")} {
				controllertest.Create(w, v)
			}
		},
		Acts: []func(w *controllertest.World){
			func(w *controllertest.World) {
				step = 1
				controllertest.Create(w, newClaim("a", "2Gi", "hand"))
				controllertest.Create(w, newClaim("b", "3Gi", "hand"))
			},
			func(w *controllertest.World) {
				step = 2
				controllertest.Remove[*corev1.PersistentVolumeClaim](w, "default", "b", metav1.DeletePropagationBackground)
				controllertest.Create(w, newClaim("c", "2Gi", "hand"))
			},
			func(w *controllertest.World) {
				step = 3
				mine := volumeByHand("mine", "1Gi", "Retain")
				mine.Spec.ClaimRef = &corev1.ObjectReference{Namespace: "default", Name: "d"}
				controllertest.Create(w, mine)
				controllertest.Create(w, newClaim("d", "1Gi", "hand"))
			},
		},
		Always: func(w *controllertest.World, _ int) { checkBindings(w, w.Errorf, before) },
		AtRest: func(w *controllertest.World) bool {
			switch step {
			case 0:
				return !slices.ContainsFunc(controllertest.List[*corev1.PersistentVolume](w, "", ""), func(v *corev1.PersistentVolume) bool { return !claims.Free(v) })
			case 1:
				return inPhase(w, "a", corev1.ClaimBound) && inPhase(w, "b", corev1.ClaimBound)
			case 2:
				return inPhase(w, "c", corev1.ClaimBound) && controllertest.Get[*corev1.PersistentVolume](w, "", "kept").Status.Phase == corev1.VolumeReleased
			}
			return inPhase(w, "d", corev1.ClaimBound)
		},
		State: func(w *controllertest.World) string { return storageState(w) },
	}
}

// Claims of the local-path class get a volume each, one grows, one goes and takes its volume with it.
func localTrial() controllertest.Trial {
	before := map[types.UID]string{}
	step := 0
	return controllertest.Trial{
		Name: "local path", Nodes: 1, Controllers: []controllertest.Make{makeBinder, makeProtection, makeLocalPath}, Leaders: 2,
		Want: "a Bound pvc 4Gi; pvc Bound for a",
		Begin: func(w *controllertest.World) {
			step = 0
			wait := storagev1.VolumeBindingWaitForFirstConsumer
			controllertest.Create(w, &storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: "local-path"}, Provisioner: claims.LocalPath,
				VolumeBindingMode: &wait, AllowVolumeExpansion: ptr.To(true)})
			controllertest.Edit(w, "", "node-1", func(n *corev1.Node) {
				n.Labels = map[string]string{corev1.LabelHostname: "node-1"}
				n.Annotations = map[string]string{claims.LocalPathRoot: "/data"}
			})
			for _, name := range []string{"a", "b"} {
				c := newClaim(name, "1Gi", "local-path")
				c.Annotations = map[string]string{claims.SelectedNode: "node-1"}
				controllertest.Create(w, c)
			}
		},
		Acts: []func(w *controllertest.World){
			func(w *controllertest.World) {
				step = 1
				controllertest.Edit(w, "default", "a", func(c *corev1.PersistentVolumeClaim) {
					c.Spec.Resources.Requests["storage"] = resource.MustParse("4Gi")
				})
				controllertest.Remove[*corev1.PersistentVolumeClaim](w, "default", "b", metav1.DeletePropagationBackground)
			},
			func(w *controllertest.World) {
				step = 2 // the node goes with its data, and what was deleted there can go
				controllertest.Remove[*corev1.Node](w, "", "node-1", metav1.DeletePropagationBackground)
			},
		},
		Always: func(w *controllertest.World, _ int) { checkBindings(w, w.Errorf, before) },
		AtRest: func(w *controllertest.World) bool {
			switch step {
			case 0:
				return inPhase(w, "a", corev1.ClaimBound) && inPhase(w, "b", corev1.ClaimBound)
			case 1:
				return sizeOf(controllertest.Get[*corev1.PersistentVolumeClaim](w, "default", "a")) == "4Gi" && deletedVolumes(w) == 1
			}
			return len(controllertest.List[*corev1.PersistentVolume](w, "", "")) == 1
		},
		State: func(w *controllertest.World) string { return storageState(w) },
	}
}

func deletedVolumes(w controllertest.Host) int {
	n := 0
	for _, v := range controllertest.List[*corev1.PersistentVolume](w, "", "") {
		if v.DeletionTimestamp != nil {
			n++
		}
	}
	return n
}

func TestStorageUnderFaults(t *testing.T) {
	controllertest.Faults(t, handTrial(), localTrial())
}
