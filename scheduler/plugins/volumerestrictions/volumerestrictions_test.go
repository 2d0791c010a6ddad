package volumerestrictions

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/miniorch/miniorch/pkg/client/clienttest"
	"github.com/miniorch/miniorch/pkg/leaktest"
	"github.com/miniorch/miniorch/scheduler/framework"
	"github.com/miniorch/miniorch/scheduler/framework/sample"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

var (
	_ framework.Signer = (*Plugin)(nil)
	_ framework.Hinter = (*Plugin)(nil)
)

func withVolume(name string, v corev1.VolumeSource) *corev1.Pod {
	return sample.With(sample.Pod(name), func(p *corev1.Pod) { p.Spec.Volumes = []corev1.Volume{{Name: "v", VolumeSource: v}} })
}

func uses1(claim string) corev1.VolumeSource {
	return corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: claim}}
}

// https://kubernetes.io/docs/concepts/storage/persistent-volumes/#access-modes
func TestFilter(t *testing.T) {
	claim := func(name string, mode corev1.PersistentVolumeAccessMode) *corev1.PersistentVolumeClaim {
		return &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Namespace: "d", Name: name},
			Spec: corev1.PersistentVolumeClaimSpec{AccessModes: []corev1.PersistentVolumeAccessMode{mode}}}
	}
	disk := func(name string, readOnly bool) corev1.VolumeSource {
		return corev1.VolumeSource{ISCSI: &corev1.ISCSIVolumeSource{IQN: name, ReadOnly: readOnly}}
	}
	informers := clienttest.NewInformers(t, clienttest.NewServer(t, claim("one", corev1.ReadWriteOncePod), claim("many", corev1.ReadWriteOnce)))
	p := New(informers)
	clienttest.Run(t, informers.Run)
	if err := informers.WaitForSync(t.Context()); err != nil {
		t.Fatal(err)
	}
	used := []string{"node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode"}
	elsewhere := sample.With(withVolume("b", uses1("one")), func(p *corev1.Pod) { p.Namespace = "e" })
	for _, tt := range []struct {
		name, reason string
		pod          *corev1.Pod
		there        *corev1.Pod
		want         []string
	}{
		{"alone", "nobody has it", withVolume("a", uses1("one")), sample.Pod("b"), nil},
		{"taken", "one pod only", withVolume("a", uses1("one")), withVolume("b", uses1("one")), used},
		{"of another namespace", "another claim of that name", withVolume("a", uses1("one")), elsewhere, nil},
		{"shared", "pods on one node may", withVolume("a", uses1("many")), withVolume("b", uses1("many")), nil},
		{"two writers", "one disk", withVolume("a", disk("d", false)), withVolume("b", disk("d", true)), []string{"node(s) had no available disk"}},
		{"two readers", "one disk", withVolume("a", disk("d", true)), withVolume("b", disk("d", true)), nil},
		{"two disks", "each its own", withVolume("a", disk("d", false)), withVolume("b", disk("e", false)), nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, sample.Fits(p, tt.pod, sample.Info(sample.Node("n"), tt.there))); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tt.reason, diff)
			}
		})
	}
}

// Preemption asks about nodes without some of their pods: then the claim is free.
func TestVictimsFreeTheClaim(t *testing.T) {
	informers := clienttest.NewInformers(t, clienttest.NewServer(t, &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Namespace: "d", Name: "one"},
		Spec: corev1.PersistentVolumeClaimSpec{AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOncePod}}}))
	p := New(informers)
	clienttest.Run(t, informers.Run)
	if err := informers.WaitForSync(t.Context()); err != nil {
		t.Fatal(err)
	}
	pod, user, state := framework.NewPodInfo(withVolume("a", uses1("one"))), withVolume("b", uses1("one")), framework.NewCycleState()
	full, empty, other := sample.Info(sample.Node("n"), user), sample.Info(sample.Node("n")), sample.Info(sample.Node("m"))
	if s := p.PreFilter(state, pod, framework.NewSnapshot([]*framework.NodeInfo{full, other})); !s.OK() {
		t.Fatal(s.Reasons)
	}
	for _, tt := range []struct {
		name string
		node *framework.NodeInfo
		fits bool
	}{{"as it is", full, false}, {"another node", other, false}, {"without the user", empty, true}} {
		if got := p.Filter(state, pod, tt.node).OK(); got != tt.fits {
			t.Errorf("%s: fits %v", tt.name, got)
		}
	}
	if !p.Helps(pod, framework.Event{Kind: framework.PodEvent, OldPod: framework.NewPodInfo(user)}) {
		t.Error("that the user went does not help")
	}
}
