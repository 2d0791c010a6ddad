package nodevolumelimits

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

var _ framework.Signer = (*Plugin)(nil)

// https://kubernetes.io/docs/concepts/storage/storage-limits/
func TestFilter(t *testing.T) {
	one, yes := int32(1), true
	objs := []api.Object{&storagev1.CSINode{ObjectMeta: metav1.ObjectMeta{Name: "n"}, Spec: storagev1.CSINodeSpec{Drivers: []storagev1.CSINodeDriver{
		{Name: "small", NodeID: "n", Allocatable: &storagev1.VolumeNodeResources{Count: &one}}, {Name: "large", NodeID: "n"}}}},
		&storagev1.CSIDriver{ObjectMeta: metav1.ObjectMeta{Name: "strict"}, Spec: storagev1.CSIDriverSpec{PreventPodSchedulingIfMissing: &yes}}}
	for name, driver := range map[string]string{"a": "small", "b": "small", "c": "large", "d": "large"} {
		objs = append(objs,
			&corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Namespace: "d", Name: name}, Spec: corev1.PersistentVolumeClaimSpec{VolumeName: name}},
			&corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.PersistentVolumeSpec{
				PersistentVolumeSource: corev1.PersistentVolumeSource{CSI: &corev1.CSIPersistentVolumeSource{Driver: driver, VolumeHandle: name}}}})
	}
	informers := clienttest.NewInformers(t, clienttest.NewServer(t, objs...))
	p := New(informers)
	clienttest.Run(t, informers.Run)
	if err := informers.WaitForSync(t.Context()); err != nil {
		t.Fatal(err)
	}
	user := func(name string, v corev1.VolumeSource) *corev1.Pod {
		return sample.With(sample.Pod(name), func(p *corev1.Pod) { p.Spec.Volumes = []corev1.Volume{{Name: "v", VolumeSource: v}} })
	}
	claim := func(n string) corev1.VolumeSource {
		return corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: n}}
	}
	inline := func(driver string) corev1.VolumeSource {
		return corev1.VolumeSource{CSI: &corev1.CSIVolumeSource{Driver: driver}}
	}
	full := []string{"node(s) exceed max volume count"}
	for _, tt := range []struct {
		name, reason string
		pod, there   *corev1.Pod
		want         []string
	}{
		{"room", "one may come", user("p", claim("a")), sample.Pod("q"), nil},
		{"full", "one is there", user("p", claim("a")), user("q", claim("b")), full},
		{"the same", "it is attached already", user("p", claim("a")), user("q", claim("a")), nil},
		{"no limit", "the driver names none", user("p", claim("c")), user("q", claim("d")), nil},
		{"inline", "each pod has its own", user("p", inline("small")), user("q", inline("small")), full},
		{"no driver", "the pod would wait there in vain", user("p", inline("strict")), sample.Pod("q"), []string{"node(s) did not have the CSI driver of the pod's volumes"}},
		{"unknown driver", "it says nothing", user("p", inline("x")), sample.Pod("q"), nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, sample.Fits(p, tt.pod, sample.Info(sample.Node("n"), tt.there))); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tt.reason, diff)
			}
		})
	}
}
