package volumebinding

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"

	"github.com/miniorch/miniorch/pkg/api"
	"github.com/miniorch/miniorch/pkg/claims"
	"github.com/miniorch/miniorch/scheduler/framework"
	"github.com/miniorch/miniorch/scheduler/framework/sample"
)

// TestScores: https://kubernetes.io/docs/concepts/storage/storage-capacity and KEP-4049. Claims ask
// for 2Gi each.
func TestScores(t *testing.T) {
	room := func(name, class, capacity, topology string) api.Object {
		return from[storagev1.CSIStorageCapacity](t, "{metadata: {namespace: d, name: "+name+"}, storageClassName: "+class+", capacity: "+capacity+", nodeTopology: "+topology+"}")
	}
	waits := func(name string) api.Object { return claim(t, name, "storageClassName: x", "") }
	driver := from[storagev1.CSIDriver](t, "{metadata: {name: csi}, spec: {storageCapacity: true}}")
	tests := []struct {
		name, reason string
		pod          *corev1.Pod
		objs         []api.Object
		want         int64 // with the emptiest storage best; -1: it is not asked
	}{
		{"no claims", "nothing to say", user(), nil, -1},
		{"bound", "it is there already", user("c"), []api.Object{bound(t, "c", "v"), on(t, "n1", "v", "2Gi", "x")}, -1},
		{"a volume of the right size", "all of it is used", user("c"), []api.Object{waits("c"), class("x", claims.NoProvisioner, true), on(t, "n1", "v", "2Gi", "x")}, 0},
		{"a larger volume", "a quarter of it", user("c"), []api.Object{waits("c"), class("x", claims.NoProvisioner, true), on(t, "n1", "v", "8Gi", "x")}, 75},
		{"two volumes", "what is asked for and what they hold are summed up", user("c", "e"),
			[]api.Object{waits("c"), waits("e"), class("x", claims.NoProvisioner, true), on(t, "n1", "v", "2Gi", "x"), on(t, "n1", "w", "6Gi", "x")}, 50},
		{"provisioned", "a fifth of what is left", user("c"), []api.Object{waits("c"), class("x", "csi", true), driver, room("r", "x", "10Gi", "{}")}, 80},
		{"two provisioned", "from one pool", user("c", "e"), []api.Object{waits("c"), waits("e"), class("x", "csi", true), driver, room("r", "x", "10Gi", "{}")}, 60},
		{"pools", "the largest that the node reaches", user("c"), []api.Object{waits("c"), class("x", "csi", true), driver,
			room("r", "x", "4Gi", "{}"), room("s", "x", "5Gi", "{}"), room("t", "x", "100Gi", "{matchLabels: {zone: far}}")}, 60},
		{"who does not say", "nothing is known of it", user("c"), []api.Object{waits("c"), class("x", "other", true)}, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p, _ := plugin(t, tt.objs...)
			s := Scoring{Plugin: p, Shape: framework.Shape{{Utilization: 0, Score: 100}, {Utilization: 100, Score: 0}}}
			state, pod, got := framework.NewCycleState(), framework.NewPodInfo(tt.pod), int64(-1)
			if st := s.PreFilter(state, pod, framework.Snapshot{}); !st.OK() && !st.IsSkip() {
				t.Fatal(st.Error())
			}
			if st := s.PreScore(state, pod, framework.Snapshot{}); !st.IsSkip() {
				got = s.Score(state, pod, sample.Info(sample.Node("n1")))
			}
			if got != tt.want {
				t.Errorf("score %d, want %d: %s", got, tt.want, tt.reason)
			}
		})
	}
}
