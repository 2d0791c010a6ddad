package podgc

import (
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

func pod(node string, terminating bool) *corev1.Pod {
	p := &corev1.Pod{Spec: corev1.PodSpec{NodeName: node}}
	if terminating {
		p.DeletionTimestamp = ptr.To(metav1.NewTime(time.Unix(1, 0)))
	}
	return p
}

func node(ready corev1.ConditionStatus, taints ...string) *corev1.Node {
	n := &corev1.Node{Status: corev1.NodeStatus{Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: ready}}}}
	for _, t := range taints {
		n.Spec.Taints = append(n.Spec.Taints, corev1.Taint{Key: t})
	}
	return n
}

func TestDecide(t *testing.T) {
	const oos = corev1.TaintNodeOutOfService
	held := pod("", true)
	held.Finalizers = []string{"example.com/hold"}
	failed := held.DeepCopy()
	failed.Status.Phase = corev1.PodFailed
	cases := []struct {
		reason  string
		pod     *corev1.Pod
		node    *corev1.Node
		missing time.Duration
		want    string
	}{
		{"a pod at home", pod("n", false), node("True"), 0, "keep"},
		{"a pod that waits for a node", pod("", false), nil, 0, "keep"},
		{"a pod that was deleted while it waited", pod("", true), nil, 0, "delete: " + unscheduled},
		{"who holds it learns that it will never run", held, nil, 0, "delete: " + unscheduled},
		{"and is waited for", failed, nil, 0, "keep"},
		{"a node that is just missed may be back soon", pod("n", false), nil, 10 * time.Second, "wait 30s"},
		{"a node that is gone", pod("n", false), nil, 40 * time.Second, "delete: " + orphaned},
		{"a terminating pod on a dead node waits for it", pod("n", true), node("Unknown"), 0, "keep"},
		{"unless the node is declared out of service", pod("n", true), node("Unknown", oos), 0, "delete: " + outOfOrder},
		{"which a ready node is not", pod("n", true), node("True", oos), 0, "keep"},
		{"a pod that nobody deleted stays even there", pod("n", false), node("Unknown", oos), 0, "keep"},
	}
	for _, tc := range cases {
		t.Run(tc.reason, func(t *testing.T) {
			o := observed{Pod: tc.pod, Node: tc.node, Missing: tc.missing, Quarantine: 40 * time.Second}
			if got := decide(o).String(); got != tc.want {
				t.Errorf("decide = %s, want %s", got, tc.want)
			}
		})
	}
}

func TestSurplus(t *testing.T) {
	var pods []*corev1.Pod
	for n := range 4 {
		p := pod("n", false)
		p.Name, p.CreationTimestamp = fmt.Sprint("p", n), metav1.NewTime(time.Unix(int64(100-n), 0))
		pods = append(pods, p)
	}
	pods[0].Status.Reason = "Evicted"
	got := ""
	for _, p := range surplus(pods, 1) {
		got += p.Name + " "
	}
	if want := "p0 p3 p2 "; got != want {
		t.Errorf("surplus is %q, want %q: evicted ones first, then the oldest", got, want)
	}
	if got := surplus(pods, 4); got != nil {
		t.Errorf("surplus of as many as allowed is %v", got)
	}
}
