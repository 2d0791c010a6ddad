package volumezone

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/miniorch/miniorch/pkg/api"
	"github.com/miniorch/miniorch/pkg/client/clienttest"
	"github.com/miniorch/miniorch/pkg/leaktest"
	"github.com/miniorch/miniorch/scheduler/framework"
	"github.com/miniorch/miniorch/scheduler/framework/sample"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

var (
	_ framework.Signer      = (*Plugin)(nil)
	_ framework.EventSource = (*Plugin)(nil)
)

func TestFilter(t *testing.T) {
	claim := func(volume string) *corev1.PersistentVolumeClaim {
		class := "x"
		return &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Namespace: "d", Name: "c"}, Spec: corev1.PersistentVolumeClaimSpec{VolumeName: volume, StorageClassName: &class}}
	}
	volume := func(labels map[string]string) *corev1.PersistentVolume {
		return &corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: "v", Labels: labels}}
	}
	wait := storagev1.VolumeBindingWaitForFirstConsumer
	class := &storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: "x"}, VolumeBindingMode: &wait}
	in := func(labels map[string]string) *corev1.Node {
		return sample.With(sample.Node("n"), func(n *corev1.Node) { n.Labels = labels })
	}
	const zone, old, region = "topology.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/zone", "topology.kubernetes.io/region"
	refusal := []string{"node(s) had no available volume zone"}
	for _, tt := range []struct {
		name, reason string
		objs         []api.Object
		node         *corev1.Node
		want         []string
	}{
		{"same zone", "they meet", []api.Object{claim("v"), volume(map[string]string{zone: "a"})}, in(map[string]string{zone: "a"}), nil},
		{"another zone", "they do not", []api.Object{claim("v"), volume(map[string]string{zone: "a"})}, in(map[string]string{zone: "b"}), refusal},
		{"two zones", "the volume is in both", []api.Object{claim("v"), volume(map[string]string{zone: "a__b"})}, in(map[string]string{zone: "b"}), nil},
		{"older names", "they mean the same", []api.Object{claim("v"), volume(map[string]string{old: "a"})}, in(map[string]string{zone: "a"}), nil},
		{"another region", "zones of one name are many", []api.Object{claim("v"), volume(map[string]string{zone: "a", region: "r"})}, in(map[string]string{zone: "a", region: "s"}), refusal},
		{"nodes nowhere", "a cluster in one place", []api.Object{claim("v"), volume(map[string]string{zone: "a"})}, in(nil), nil},
		{"volume nowhere", "it may be used from everywhere", []api.Object{claim("v"), volume(nil)}, in(map[string]string{zone: "a"}), nil},
		{"not bound yet", "the volume will be where the pod is", []api.Object{claim(""), class}, in(map[string]string{zone: "a"}), nil},
		{"no claim", "it may come", nil, in(nil), []string{`persistentvolumeclaim "c" not found`}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			informers := clienttest.NewInformers(t, clienttest.NewServer(t, tt.objs...))
			p := New(informers)
			clienttest.Run(t, informers.Run)
			if err := informers.WaitForSync(t.Context()); err != nil {
				t.Fatal(err)
			}
			pod := sample.With(sample.Pod("p"), func(p *corev1.Pod) {
				p.Spec.Volumes = []corev1.Volume{{VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "c"}}}}
			})
			if diff := cmp.Diff(tt.want, sample.Fits(p, pod, sample.Info(tt.node))); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tt.reason, diff)
			}
		})
	}
}
