package controllers

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/miniorch/miniorch/controllers/attachdetach"
	"github.com/miniorch/miniorch/controllers/control"
	"github.com/miniorch/miniorch/controllers/controllertest"
	"github.com/miniorch/miniorch/pkg/claims"
	"github.com/miniorch/miniorch/pkg/client"
)

func makeAttachDetach(t client.Transport, informers *client.Informers, cfg control.Config) controllertest.Runner {
	return attachdetach.New(t, informers, cfg)
}

// driven plays what is around the controller: a driver's attacher, which takes a volume to one node only,
// and the agents of the nodes, which mount what is attached for the pods they run.
type driven struct {
	name    corev1.UniqueVolumeName
	dead    map[string]bool
	mounted map[string]bool // by node
}

const holder = "example.com/attacher"

// attacher goes a step on with every attachment.
func (d *driven) attacher(w *controllertest.World) {
	all := controllertest.List[*storagev1.VolumeAttachment](w, "", "")
	busy := slices.ContainsFunc(all, func(a *storagev1.VolumeAttachment) bool { return a.Status.Attached })
	for _, a := range all {
		switch {
		case a.DeletionTimestamp != nil:
			controllertest.Edit(w, "", a.Name, func(a *storagev1.VolumeAttachment) { a.Finalizers = nil })
		case len(a.Finalizers) == 0:
			controllertest.Edit(w, "", a.Name, func(a *storagev1.VolumeAttachment) { a.Finalizers = []string{holder} })
		case !a.Status.Attached && !busy:
			busy = true
			controllertest.EditStatus(w, "", a.Name, func(a *storagev1.VolumeAttachment) { a.Status.Attached = true })
		}
	}
}

// agent says what it uses, and mounts what the version of the Node that it wrote has attached.
func (d *driven) agent(w *controllertest.World, node string) {
	wanted := slices.ContainsFunc(controllertest.List[*corev1.Pod](w, "default", ""), func(p *corev1.Pod) bool { return p.Spec.NodeName == node })
	n := controllertest.Get[*corev1.Node](w, "", node).DeepCopy()
	n.Status.VolumesInUse = nil
	if wanted {
		n.Status.VolumesInUse = []corev1.UniqueVolumeName{d.name}
	} else {
		d.mounted[node] = false
	}
	stored, err := client.Of[*corev1.Node](w.API()).UpdateStatus(w.Context(), n)
	if err == nil && wanted {
		d.mounted[node] = d.mounted[node] || d.listed(stored)
	}
}

func (d *driven) listed(n *corev1.Node) bool {
	return slices.ContainsFunc(n.Status.VolumesAttached, func(v corev1.AttachedVolume) bool { return v.Name == d.name })
}

// step plays all, and checks that nothing is mounted where it is not attached.
func (d *driven) step(w *controllertest.World, leaders int) {
	d.attacher(w)
	at := map[string]int{}
	for _, a := range controllertest.List[*storagev1.VolumeAttachment](w, "", "") {
		if at[a.Spec.NodeName]++; a.DeletionTimestamp != nil || !a.Status.Attached {
			at[a.Spec.NodeName]--
		}
	}
	for _, n := range []string{"node-1", "node-2"} {
		if d.dead[n] {
			continue
		}
		if d.mounted[n] && at[n] == 0 {
			w.Errorf("the volume is mounted on %s and not attached there", n)
		}
		d.agent(w, n)
	}
	if n := len(controllertest.List[*storagev1.VolumeAttachment](w, "", "")); n > 1 && leaders == 1 {
		w.Errorf("a volume for one node has %d attachments", n)
	}
}

func (d *driven) state(w *controllertest.World) string {
	var parts []string
	for _, n := range []string{"node-1", "node-2"} {
		word := n
		if d.listed(controllertest.Get[*corev1.Node](w, "", n)) {
			word += " attached"
		}
		if d.mounted[n] {
			word += " mounted"
		}
		parts = append(parts, word)
	}
	return fmt.Sprintf("%s, %d attachments", strings.Join(parts, ", "), len(controllertest.List[*storagev1.VolumeAttachment](w, "", "")))
}

// begin makes a volume of a driver, and a claim that has it.
func (d *driven) begin(w *controllertest.World) {
	d.dead, d.mounted = map[string]bool{}, map[string]bool{}
	controllertest.Create(w, &storagev1.CSIDriver{ObjectMeta: metav1.ObjectMeta{Name: "disk.example.com"}})
	c := newClaim("data", "1Gi", "driven")
	c.Spec.VolumeName = "data"
	c = controllertest.Create(w, c)
	v := volumeByHand("data", "1Gi", corev1.PersistentVolumeReclaimRetain)
	v.Spec.StorageClassName = "driven"
	v.Spec.PersistentVolumeSource = corev1.PersistentVolumeSource{CSI: &corev1.CSIPersistentVolumeSource{Driver: "disk.example.com", VolumeHandle: "d1"}}
	v.Spec.ClaimRef = &corev1.ObjectReference{Namespace: "default", Name: "data", UID: c.UID}
	d.name = claims.UniqueName(v.Spec.CSI)
	controllertest.Create(w, v)
	controllertest.EditStatus(w, "default", "data", func(c *corev1.PersistentVolumeClaim) { c.Status.Phase = corev1.ClaimBound })
	for _, n := range []string{"node-1", "node-2"} {
		controllertest.Edit(w, "", n, func(n *corev1.Node) { n.Annotations = map[string]string{claims.ControllerAttaches: "true"} })
	}
}

func (d *driven) pod(w *controllertest.World, name, node string) {
	p := &corev1.Pod{ObjectMeta: meta("default", name), Spec: template("v1").Spec}
	p.Spec.NodeName = node
	p.Spec.Volumes = []corev1.Volume{{Name: "d", VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "data"}}}}
	controllertest.Create(w, p)
}

// A driver's volume follows the pods that use it: to one node, to another while the first still has it mounted, away
// from a machine that was taken out of service, and off when nobody is left.
func TestAttachDetachUnderFaults(t *testing.T) {
	d := &driven{}
	rests := []string{
		"node-1, node-2, 0 attachments",
		"node-1 attached mounted, node-2, 1 attachments",
		"node-1, node-2 attached mounted, 1 attachments",
		"node-1 attached mounted, node-2 mounted, 1 attachments", // as far as anybody knows
		"node-1, node-2 mounted, 0 attachments",
	}
	act := 0
	then := func(do func(w *controllertest.World)) func(*controllertest.World) {
		return func(w *controllertest.World) { act++; do(w) }
	}
	gone := func(w *controllertest.World, name string) {
		none := int64(0)
		if err := client.Of[*corev1.Pod](w.API()).Delete(w.Context(), "default", name, metav1.DeleteOptions{GracePeriodSeconds: &none}); err != nil {
			w.Fatal(err)
		}
	}
	controllertest.Faults(t, controllertest.Trial{
		Name: "a volume moves", Nodes: 2, Controllers: []controllertest.Make{makeAttachDetach}, Leaders: 2, Want: rests[4],
		Begin: func(w *controllertest.World) { act = 0; d.begin(w) },
		Acts: []func(*controllertest.World){
			then(func(w *controllertest.World) { d.pod(w, "p", "node-1") }),
			then(func(w *controllertest.World) { d.pod(w, "q", "node-2"); gone(w, "p") }),
			then(func(w *controllertest.World) {
				d.dead["node-2"] = true
				gone(w, "q")
				controllertest.Edit(w, "", "node-2", func(n *corev1.Node) {
					n.Spec.Taints = append(n.Spec.Taints, corev1.Taint{Key: corev1.TaintNodeOutOfService, Effect: corev1.TaintEffectNoExecute})
				})
				d.pod(w, "r", "node-1")
			}),
			then(func(w *controllertest.World) { gone(w, "r") }),
		},
		Always: d.step,
		AtRest: func(w *controllertest.World) bool { return d.state(w) == rests[act] },
		State:  d.state,
	})
}
