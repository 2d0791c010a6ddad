package daemonset

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"

	"github.com/miniorch/miniorch/controllers/history"
)

var now = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

type edit = func(*appsv1.DaemonSetSpec)

// newSet is a set whose template is of the version.
func newSet(version string, edits ...edit) *appsv1.DaemonSet {
	s := &appsv1.DaemonSet{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "agent", UID: "set-uid", Generation: 1},
		Spec: appsv1.DaemonSetSpec{
			Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "agent"}},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "agent"}},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: version}}},
			},
		},
	}
	limits("1", "0")(&s.Spec)
	for _, e := range edits {
		e(&s.Spec)
	}
	return s
}

func limits(unavailable, surge string) edit {
	return func(s *appsv1.DaemonSetSpec) {
		s.UpdateStrategy = appsv1.DaemonSetUpdateStrategy{Type: appsv1.RollingUpdateDaemonSetStrategyType, RollingUpdate: &appsv1.RollingUpdateDaemonSet{
			MaxUnavailable: ptr.To(intstr.Parse(unavailable)), MaxSurge: ptr.To(intstr.Parse(surge)),
		}}
	}
}
func onDelete(s *appsv1.DaemonSetSpec) {
	s.UpdateStrategy = appsv1.DaemonSetUpdateStrategy{Type: appsv1.OnDeleteDaemonSetStrategyType}
}
func minReady(n int32) edit { return func(s *appsv1.DaemonSetSpec) { s.MinReadySeconds = n } }
func only(label string) edit {
	return func(s *appsv1.DaemonSetSpec) { s.Template.Spec.NodeSelector = map[string]string{label: ""} }
}

// revisions are those of the set's template with the images "1", "2", … in this order.
func revisions(set *appsv1.DaemonSet, n int) []*appsv1.ControllerRevision {
	var all []*appsv1.ControllerRevision
	for i := range n {
		set = set.DeepCopy()
		set.Spec.Template.Spec.Containers[0].Image = fmt.Sprint(i + 1)
		all = append(all, history.Decide(historyOf(set), all, func(*appsv1.ControllerRevision) bool { return true }).Update)
	}
	return all
}

// scene reads nodes and their pods in words: "n1 r1 u2, n2, n3:NoSchedule r1, n4=ssd r2". After a node's
// name come a taint's effect or a label, then its pods: how they are (ready, unready, going, failed, succeeded,
// new: ready for 3 seconds, waiting for the node) and of which revision.
func scene(set *appsv1.DaemonSet, text string) observed {
	all := revisions(set, 2)
	o := observed{
		Set: set, Revisions: all, Now: now, Name: func(node string) string { return "agent-" + node },
		Wait: func(_ types.UID, node string, _ time.Time) time.Duration {
			if node == "bad" {
				return 5 * time.Second
			}
			return 0
		},
	}
	for _, part := range strings.Split(text, ",") {
		words := strings.Fields(part)
		if len(words) == 0 {
			continue
		}
		name, taint, _ := strings.Cut(words[0], ":")
		name, label, _ := strings.Cut(name, "=")
		n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{label: ""}}}
		if taint != "" {
			n.Spec.Taints = []corev1.Taint{{Key: "k", Effect: corev1.TaintEffect(taint)}}
		}
		if name != "gone" {
			o.Nodes = append(o.Nodes, n)
		}
		for i, w := range words[1:] {
			o.Pods = append(o.Pods, podOf(set, all, name, i, w))
		}
	}
	return o
}

func podOf(set *appsv1.DaemonSet, all []*appsv1.ControllerRevision, node string, i int, word string) *corev1.Pod {
	p := newPod(set, Creation{node, fmt.Sprintf("%s-%d", node, i)}, hashOfRevision(all[word[1]-'1']))
	p.UID, p.CreationTimestamp, p.Status.Phase = types.UID(p.Name), metav1.NewTime(now.Add(time.Duration(i)*time.Minute-time.Hour)), corev1.PodRunning
	p.Spec.NodeName = node
	since := time.Hour
	switch word[0] {
	case 'w':
		p.Spec.NodeName, p.Status.Phase = "", corev1.PodPending
	case 'n':
		since = 3 * time.Second
	case 't':
		p.DeletionTimestamp = &metav1.Time{Time: now}
	case 'f':
		p.Status.Phase = corev1.PodFailed
	case 's':
		p.Status.Phase = corev1.PodSucceeded
	}
	if slices.Contains([]byte("rn"), word[0]) {
		p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: metav1.NewTime(now.Add(-since))}}
	}
	return p
}

func hashOfRevision(r *appsv1.ControllerRevision) string {
	return r.Labels[appsv1.DefaultDaemonSetUniqueLabelKey]
}

// What https://kubernetes.io/docs/concepts/workloads/controllers/daemonset/ and
// https://kubernetes.io/docs/tasks/manage-daemon/update-daemon-set/ say.
func TestDecide(t *testing.T) {
	cases := []struct {
		reason string
		set    *appsv1.DaemonSet
		scene  string
		want   string
	}{
		{"every node gets one", newSet("2"), "a, b r2, c", "create on a, create on c"},
		{"one that goes is waited for", newSet("2"), "a t2", "nothing"},
		{"one that failed is removed", newSet("2"), "a f2", "delete a-0 (it has failed)"},
		{"not at once if it fails again and again", newSet("2"), "bad f2", "nothing"},
		{"one that ended is removed", newSet("2"), "a s2", "delete a-0 (it has ended)"},
		{"the oldest stays", newSet("2"), "a r2 r2", "delete a-1 (one is enough)"},
		{"selected nodes only", newSet("2", only("ssd")), "a=ssd, b=hdd", "create on a"},
		{"a node that is not selected any more", newSet("2", only("ssd")), "a=hdd r2", "delete a-0 (not for this node)"},
		{"no new pod comes to a tainted node", newSet("2"), "a:NoSchedule", "nothing"},
		{"one that is there may stay", newSet("2"), "a:NoSchedule r2", "nothing"},
		{"unless the taint drives it out", newSet("2"), "a:NoExecute r2", "delete a-0 (not for this node)"},
		{"a pod that waits for a node that is gone", newSet("2"), "gone w2", "delete gone-0 (its node is gone)"},
		{"a pod on a node that is gone is no concern of ours", newSet("2"), "gone r2", "nothing"},

		{"one node at a time", newSet("2"), "a r1, b r1, c r1", "delete a-0 (another revision)"},
		{"the next waits for the one before", newSet("2"), "a u2, b r1, c r1", "nothing"},
		{"for one that goes", newSet("2"), "a t1, b r1", "nothing"},
		{"for one that is not there", newSet("2"), "a, b r1", "create on a"},
		{"for minReadySeconds", newSet("2", minReady(10)), "a n2, b r1", "nothing"},
		{"and goes on", newSet("2"), "a r2, b r1, c r1", "delete b-0 (another revision)"},
		{"who is of no use goes at once", newSet("2"), "a r1, b u1, c u1", "delete b-0 (another revision), delete c-0 (another revision)"},
		{"two nodes at a time", newSet("2", limits("2", "0")), "a r1, b r1, c r1", "delete a-0 (another revision), delete b-0 (another revision)"},
		{"a share, rounded up", newSet("2", limits("34%", "0")), "a r1, b r1, c r1", "delete a-0 (another revision), delete b-0 (another revision)"},
		{"on delete nothing is replaced", newSet("2", onDelete), "a r1, b r1", "nothing"},

		{"first a new one beside the old one", newSet("2", limits("0", "1")), "a r1, b r1", "create on a"},
		{"both stay until the new one is available", newSet("2", limits("0", "1")), "a r1 u2, b r1", "nothing"},
		{"then the old one goes, and it is the next node's turn", newSet("2", limits("0", "1")), "a r1 r2, b r1", "delete a-0 (another revision), create on b"},
		{"who goes does not count", newSet("2", limits("0", "1")), "a t1 r2, b r1", "create on b"},
		{"an old one of no use is replaced beyond the surge", newSet("2", limits("0", "1")), "a u1, b r1", "create on a, create on b"},
		{"an old one that breaks goes", newSet("2", limits("0", "1")), "a u1 u2", "delete a-0 (another revision)"},
		{"one of each is enough", newSet("2", limits("0", "1")), "a r1 r1 u2 u2", "delete a-1 (one is enough), delete a-3 (one is enough)"},
	}
	for _, tc := range cases {
		t.Run(tc.reason, func(t *testing.T) {
			if got := decide(scene(tc.set, tc.scene)).String(); got != tc.want {
				t.Errorf("decide: %s, want %s", got, tc.want)
			}
		})
	}
}

func TestStatus(t *testing.T) {
	o := scene(newSet("2", only("ssd"), minReady(10)), "a=ssd r1, b=ssd n2, c=ssd, d=hdd r2, e=ssd u2, f=ssd:NoSchedule r2")
	p := decide(o)
	s := p.Status
	got := fmt.Sprintf("desired %d current %d mis %d ready %d updated %d available %d unavailable %d after %v", s.DesiredNumberScheduled, s.CurrentNumberScheduled,
		s.NumberMisscheduled, s.NumberReady, s.UpdatedNumberScheduled, s.NumberAvailable, s.NumberUnavailable, p.After)
	if want := "desired 4 current 3 mis 2 ready 2 updated 2 available 1 unavailable 3 after 7s"; got != want {
		t.Errorf("status is\n%s, want\n%s", got, want)
	}
}

// A revision that somebody made of the same template does not restart pods.
func TestTwins(t *testing.T) {
	o := scene(newSet("1"), "a r1, b r2")
	twin := o.Revisions[0].DeepCopy()
	twin.Name, twin.Revision = "twin", 3
	twin.Labels[appsv1.DefaultDaemonSetUniqueLabelKey] = "twin"
	o.Revisions = append(o.Revisions, twin)
	if got, want := decide(o).String(), "relabel 1, delete b-0 (another revision)"; got != want {
		t.Errorf("decide: %s, want %s", got, want)
	}
}

func TestNewPod(t *testing.T) {
	set := newSet("1", func(s *appsv1.DaemonSetSpec) {
		s.Template.Spec.HostNetwork = true
		s.Template.Spec.Tolerations = []corev1.Toleration{{Key: corev1.TaintNodeNotReady, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute}}
	})
	p := newPod(set, Creation{"n1", "agent-x"}, "h")
	var keys []string
	for _, t := range p.Spec.Tolerations {
		keys = append(keys, strings.TrimPrefix(t.Key, "node.kubernetes.io/")+":"+string(t.Effect))
	}
	want := "not-ready:NoExecute unreachable:NoExecute disk-pressure:NoSchedule memory-pressure:NoSchedule pid-pressure:NoSchedule unschedulable:NoSchedule network-unavailable:NoSchedule"
	if got := strings.Join(keys, " "); got != want {
		t.Errorf("tolerations are %s, want %s", got, want)
	}
	if got := targetOf(p); got != "n1" {
		t.Errorf("the pod is for %q", got)
	}
	if set.Spec.Template.Spec.Affinity != nil || len(set.Spec.Template.Labels) != 1 {
		t.Error("the template was changed")
	}
}
