package claims

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

func from[T any](t *testing.T, text string) *T {
	t.Helper()
	obj := new(T)
	if err := yaml.UnmarshalStrict([]byte(text), obj); err != nil {
		t.Fatalf("reading YAML: %v\n%s", err, text)
	}
	return obj
}

func free(name, size, more string) string {
	return "{metadata: {name: " + name + "}, spec: {accessModes: [ReadWriteOnce], capacity: {storage: " + size + "}" + more + "}, status: {phase: Available}}"
}

func TestBest(t *testing.T) {
	const here = ", nodeAffinity: {required: {nodeSelectorTerms: [{matchExpressions: [{key: kubernetes.io/hostname, operator: In, values: [n1]}]}]}}"
	const there = ", nodeAffinity: {required: {nodeSelectorTerms: [{matchExpressions: [{key: kubernetes.io/hostname, operator: In, values: [n2]}]}]}}"
	const mine = ", claimRef: {namespace: a, name: c}"
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1", Labels: map[string]string{"kubernetes.io/hostname": "n1"}}}
	for _, tc := range []struct {
		name, reason string
		node         *corev1.Node
		waiting      bool
		taken        map[string]bool
		volumes      []string
		want         string
	}{
		{"smallest", "no more than needed", nil, false, nil, []string{free("a", "9Gi", ""), free("b", "2Gi", ""), free("c", "1Gi", "")}, "b"},
		{"on the node", "a volume that the pod cannot reach is none", node, true, nil, []string{free("a", "2Gi", there), free("b", "5Gi", here)}, "b"},
		{"nowhere", "none is on the node", node, true, nil, []string{free("a", "2Gi", there)}, ""},
		{"waiting", "nothing is chosen before the node is", nil, true, nil, []string{free("a", "2Gi", "")}, ""},
		{"waiting, set aside", "an administrator has chosen", nil, true, nil, []string{free("a", "2Gi", ""), free("b", "2Gi", mine)}, "b"},
		{"promised", "another will have it", nil, false, map[string]bool{"a": true}, []string{free("a", "2Gi", ""), free("b", "5Gi", "")}, "b"},
		{"set aside elsewhere", "the claim will have that one, and not here", node, true, nil, []string{free("a", "2Gi", mine+there), free("b", "2Gi", here)}, ""},
		{"set aside, too small", "it was a mistake", nil, false, nil, []string{free("a", "1Gi", mine), free("b", "2Gi", "")}, "b"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := Search{
				Claim: from[corev1.PersistentVolumeClaim](t, "{metadata: {namespace: a, name: c, uid: u}, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 2Gi}}}}"),
				Node:  tc.node, Waiting: tc.waiting, Taken: tc.taken,
			}
			var volumes []*corev1.PersistentVolume
			for _, v := range tc.volumes {
				volumes = append(volumes, from[corev1.PersistentVolume](t, v))
			}
			got := ""
			if v := s.Best(volumes); v != nil {
				got = v.Name
			}
			if got != tc.want {
				t.Errorf("%s: got %q, want %q", tc.reason, got, tc.want)
			}
		})
	}
}

func TestDefault(t *testing.T) {
	class := func(name, annotation string, age time.Duration) *storagev1.StorageClass {
		sc := &storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: name, CreationTimestamp: metav1.NewTime(time.Unix(100000, 0).Add(-age))}}
		if annotation != "" {
			sc.Annotations = map[string]string{annotation: "true"}
		}
		return sc
	}
	for _, tc := range []struct {
		name string
		all  []*storagev1.StorageClass
		want string
	}{
		{"none", []*storagev1.StorageClass{class("a", "", 0)}, ""},
		{"one", []*storagev1.StorageClass{class("a", "", 0), class("b", DefaultClass, 0)}, "b"},
		{"by the older name", []*storagev1.StorageClass{class("a", BetaDefaultClass, 0)}, "a"},
		{"the newest", []*storagev1.StorageClass{class("a", DefaultClass, time.Hour), class("b", DefaultClass, time.Minute), class("c", DefaultClass, time.Hour)}, "b"},
		{"the first of equals", []*storagev1.StorageClass{class("b", DefaultClass, 0), class("a", DefaultClass, 0)}, "a"},
	} {
		got := ""
		if sc := Default(tc.all); sc != nil {
			got = sc.Name
		}
		if got != tc.want {
			t.Errorf("%s: got %q, want %q", tc.name, got, tc.want)
		}
	}
}

func TestNames(t *testing.T) {
	pod := from[corev1.Pod](t, `{metadata: {name: web}, spec: {containers: [], volumes: [
	  {name: a, persistentVolumeClaim: {claimName: x}}, {name: b, persistentVolumeClaim: {claimName: x}}, {name: c, ephemeral: {}}, {name: d, emptyDir: {}}]}}`)
	got := Names(pod)
	if len(got) != 2 || got[0] != "x" || got[1] != "web-c" {
		t.Errorf("got %v, want [x web-c]", got)
	}
}

func TestLocalPathDir(t *testing.T) {
	if got, want := LocalPathDir("/data", "pvc-1", "ns", "c"), "/data/pvc-1_ns_c"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if name := filepath.Base(LocalPathDir("/data", "pvc-1", "ns", strings.Repeat("c", 253))); len(name) != 255 || !strings.HasPrefix(name, "pvc-1_ns_c") {
		t.Errorf("a long name gives a directory of %d characters: %s", len(name), name)
	}
}
