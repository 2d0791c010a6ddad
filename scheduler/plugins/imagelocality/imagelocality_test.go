package imagelocality

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/miniorch/miniorch/scheduler/framework"
	"github.com/miniorch/miniorch/scheduler/framework/sample"
)

var (
	_ framework.Signer = Plugin{}
	_ framework.Aging  = Plugin{}
)

func with(name string, image string, bytes int64) *framework.NodeInfo {
	return sample.Info(sample.With(sample.Node(name), func(n *corev1.Node) {
		if image != "" {
			n.Status.Images = []corev1.ContainerImage{{Names: []string{image}, SizeBytes: bytes}}
		}
	}))
}

func runs(image string) *corev1.Pod {
	return sample.With(sample.Pod("p"), func(p *corev1.Pod) { p.Spec.Containers[0].Image = image })
}

func TestScore(t *testing.T) {
	tests := []struct {
		name, reason string
		pod          *corev1.Pod
		nodes        []*framework.NodeInfo
		want         []int64
	}{
		{"nobody has it", "nothing to say", runs("a"), []*framework.NodeInfo{with("1", "", 0), with("2", "b:latest", 1<<30)}, nil},
		{"half have it", "half of its size counts", runs("a"), []*framework.NodeInfo{with("1", "a:latest", 1000<<20), with("2", "", 0)}, []int64{48, 0}},
		{"all have it", "it is large", runs("reg:5000/a:v1"), []*framework.NodeInfo{with("1", "reg:5000/a:v1", 1000<<20)}, []int64{100}},
		{"small", "fetched soon", runs("a"), []*framework.NodeInfo{with("1", "a:latest", 1<<20), with("2", "", 0)}, []int64{0, 0}},
		{"another tag", "is another image", runs("reg:5000/a"), []*framework.NodeInfo{with("1", "reg:5000/a:v1", 1000<<20)}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, sample.Scores(Plugin{}, tt.pod, tt.nodes...)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tt.reason, diff)
			}
		})
	}
}

func TestAges(t *testing.T) {
	pod := framework.NewPodInfo(runs("a"))
	none, a, b := with("1", "", 0), with("1", "a:latest", 1), with("1", "b:latest", 1)
	if !(Plugin{}).Ages(pod, none, a) || !(Plugin{}).Ages(pod, a, b) {
		t.Error("the node has the image now, or no longer: shares of nodes change")
	}
	if (Plugin{}).Ages(pod, none, b) || (Plugin{}).Ages(pod, a, a.WithPod(pod)) {
		t.Error("it is not about the pod's image")
	}
}
