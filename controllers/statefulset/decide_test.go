package statefulset

import (
	"fmt"
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

type edit = func(*appsv1.StatefulSetSpec)

// newSet is a set of three whose template is of the version.
func newSet(version string, edits ...edit) *appsv1.StatefulSet {
	s := &appsv1.StatefulSet{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "db", UID: "set-uid", Generation: 1},
		Spec: appsv1.StatefulSetSpec{
			Replicas: ptr.To[int32](3), ServiceName: "svc", Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "db"}},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "db"}},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: version}}},
			},
			UpdateStrategy: appsv1.StatefulSetUpdateStrategy{Type: appsv1.RollingUpdateStatefulSetStrategyType, RollingUpdate: &appsv1.RollingUpdateStatefulSetStrategy{}},
		},
	}
	for _, e := range edits {
		e(&s.Spec)
	}
	return s
}

func size(n int32) edit                  { return func(s *appsv1.StatefulSetSpec) { s.Replicas = &n } }
func parallel(s *appsv1.StatefulSetSpec) { s.PodManagementPolicy = appsv1.ParallelPodManagement }
func split(n int32) edit {
	return func(s *appsv1.StatefulSetSpec) { s.UpdateStrategy.RollingUpdate.Partition = &n }
}
func first(n int32) edit {
	return func(s *appsv1.StatefulSetSpec) { s.Ordinals = &appsv1.StatefulSetOrdinals{Start: n} }
}
func minReady(n int32) edit { return func(s *appsv1.StatefulSetSpec) { s.MinReadySeconds = n } }
func onDelete(s *appsv1.StatefulSetSpec) {
	s.UpdateStrategy = appsv1.StatefulSetUpdateStrategy{Type: appsv1.OnDeleteStatefulSetStrategyType}
}
func unavailable(v string) edit {
	return func(s *appsv1.StatefulSetSpec) {
		s.UpdateStrategy.RollingUpdate.MaxUnavailable = ptr.To(intstr.Parse(v))
	}
}

// revisions are those of the templates "1", "2", … in this order.
func revisions(n int) []*appsv1.ControllerRevision {
	var all []*appsv1.ControllerRevision
	for i := range n {
		r := history.Decide(historyOf(newSet(fmt.Sprint(i+1))), all, func(*appsv1.ControllerRevision) bool { return true }).Update
		all = append(all, r)
	}
	return all
}

// scene reads pods in words: by ordinal from 0 on, "-" for none, else how it is (ready, unready,
// pending, going, failed, succeeded, new: ready for 3 seconds) and of which revision: "r1 u2 - t1".
func scene(t *testing.T, set *appsv1.StatefulSet, pods string) observed {
	t.Helper()
	all := revisions(2)
	o := observed{Set: set, Revisions: all, Claims: map[string]*corev1.PersistentVolumeClaim{}, Now: now}
	o.Wait = func(_ types.UID, pod string, _ time.Time) time.Duration {
		if pod == "db-5" {
			return time.Second
		}
		return 0
	}
	for n, word := range strings.Fields(pods) {
		if word == "-" {
			continue
		}
		p := newPod(set, &set.Spec.Template, all[word[1]-'1'].Name, n)
		p.UID, p.Status.Phase = types.UID(p.Name), corev1.PodRunning
		since := time.Hour
		switch word[0] {
		case 'n':
			since = 3 * time.Second
		case 't':
			p.DeletionTimestamp = &metav1.Time{Time: now}
		case 'p':
			p.Status.Phase = corev1.PodPending
		case 'f':
			p.Status.Phase = corev1.PodFailed
		case 's':
			p.Status.Phase = corev1.PodSucceeded
		}
		if strings.ContainsRune("rnt", rune(word[0])) {
			p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: metav1.NewTime(now.Add(-since))}}
		}
		o.Pods = append(o.Pods, p)
	}
	return o
}

// What https://kubernetes.io/docs/concepts/workloads/controllers/statefulset/ says.
func TestDecide(t *testing.T) {
	cases := []struct {
		reason string
		set    *appsv1.StatefulSet
		pods   string
		want   string
	}{
		{"in order, the first is made", newSet("2"), "", "create db-0"},
		{"in order, the next waits for the one before", newSet("2"), "u2", "nothing"},
		{"in order, the next comes when the one before is ready", newSet("2"), "r2", "create db-1"},
		{"ready for too short a time", newSet("2", minReady(10)), "n2", "nothing"},
		{"all at once", newSet("2", parallel), "u2", "create db-1, create db-2"},
		{"it is complete", newSet("2"), "r2 r2 r2", "nothing"},
		{"a gap is filled before what is above it is looked at", newSet("2"), "r2 - u2", "create db-1"},
		{"ordinals may start elsewhere", newSet("2", size(2), first(3)), "- - - r2", "create db-4"},
		{"ordinals moved: the new ones come first", newSet("2", size(2), first(1)), "r2 r2", "create db-2"},
		{"ordinals moved: then the old ones go", newSet("2", size(2), first(1)), "r2 r2 r2", "delete db-0 (too many)"},
		{"one that ended is removed, to be made anew", newSet("2"), "r2 f2 r2", "delete db-1 (it has ended)"},
		{"also if it ended well", newSet("2"), "s2", "delete db-0 (it has ended)"},
		{"also in parallel, all of them", newSet("2", parallel), "f2 f2 -", "delete db-0 (it has ended), delete db-1 (it has ended), create db-2"},
		{"not at once if it fails again and again", newSet("2", size(1), first(5)), "- - - - - f2", "nothing"},
		{"one that goes is waited for", newSet("2"), "r2 t2 r2", "nothing"},

		{"from above", newSet("2", size(1)), "r2 r2 r2", "delete db-2 (too many)"},
		{"one after the other", newSet("2", size(1)), "r2 r2 t2", "nothing"},
		{"none while one that stays is not well", newSet("2", size(1)), "u2 r2 r2", "nothing"},
		{"none while a lower one is not well", newSet("2", size(0)), "u2 r2 u2", "nothing"},
		{"a well one goes, also when a lower one is not well", newSet("2", size(0)), "u2 r2 r2", "delete db-2 (too many)"},
		{"the lowest one that is not well may go", newSet("2", size(1)), "r2 r2 u2", "delete db-2 (too many)"},
		{"in parallel all go", newSet("2", size(0), parallel), "u2 r2 t2", "delete db-1 (too many), delete db-0 (too many)"},

		{"a new template starts at the top", newSet("2"), "r1 r1 r1", "delete db-2 (another revision)"},
		{"and waits", newSet("2"), "r1 r1 t1", "nothing"},
		{"and waits for the new one", newSet("2"), "r1 r1 u2", "nothing"},
		{"and goes on", newSet("2"), "r1 r1 r2", "delete db-1 (another revision)"},
		{"a missing pod is of the new template", newSet("2"), "r1 r1 -", "create db-2"},
		{"not below the partition", newSet("2", split(2)), "r1 r1 r2", "nothing"},
		{"a partition beyond the end", newSet("2", split(9)), "r1 r1 r1", "nothing"},
		{"the partition counts from the start", newSet("2", size(2), first(1), split(1)), "- r1 r2", "nothing"},
		{"on delete, nothing is replaced", newSet("2", onDelete), "r1 r1 r1", "nothing"},
		{"two at a time", newSet("2", unavailable("2"), parallel), "r1 r1 r1", "delete db-2 (another revision), delete db-1 (another revision)"},
		{"a share, rounded up", newSet("2", unavailable("40%"), parallel), "r1 r1 r1", "delete db-2 (another revision), delete db-1 (another revision)"},
		{"whoever is missed counts", newSet("2", unavailable("2"), parallel), "u2 r1 r1", "delete db-2 (another revision)"},
		{"who is of no use goes first: it costs nothing", newSet("2", parallel), "u1 r1 r1", "delete db-0 (another revision)"},
		{"a bad template stops at the first", newSet("2", parallel), "u1 u1 u2", "nothing"},
	}
	for _, tc := range cases {
		t.Run(tc.reason, func(t *testing.T) {
			if got := decide(scene(t, tc.set, tc.pods)).String(); got != tc.want {
				t.Errorf("decide: %s, want %s", got, tc.want)
			}
		})
	}
}

func TestWhatIsDoneAtOnceIsBounded(t *testing.T) {
	if n := len(decide(scene(t, newSet("2", size(2000), parallel), "")).Create); n != burst {
		t.Errorf("%d pods are created at once, want %d", n, burst)
	}
	if n := len(decide(scene(t, newSet("2", size(0), parallel), strings.Repeat("r2 ", 700))).Delete); n != burst {
		t.Errorf("%d pods are deleted at once, want %d", n, burst)
	}
}

func TestADeletedSetDoesNothing(t *testing.T) {
	set := newSet("3")
	set.DeletionTimestamp = &metav1.Time{Time: now}
	if got := decide(scene(t, set, "r1 f1 -")).String(); got != "nothing" {
		t.Errorf("decide: %s", got)
	}
}

// Which template a pod that is missing gets.
func TestRevisionOfNewPods(t *testing.T) {
	cases := []struct {
		reason, pods string
		edits        []edit
		want         string // images by name
	}{
		{"below the partition the old one", "- r1 r2", []edit{split(2)}, "db-0=1"},
		{"above the new one", "r1 r1 -", []edit{split(2)}, "db-2=2"},
		{"on delete the new one", "- r1 r1", []edit{onDelete}, "db-0=2"},
		{"without a partition the new one", "- r1 r1", nil, "db-0=2"},
	}
	for _, tc := range cases {
		t.Run(tc.reason, func(t *testing.T) {
			set := newSet("2", tc.edits...)
			set.Status.CurrentRevision = revisions(1)[0].Name
			var got []string
			for _, p := range decide(scene(t, set, tc.pods)).Create {
				got = append(got, p.Name+"="+p.Spec.Containers[0].Image)
			}
			if s := strings.Join(got, " "); s != tc.want {
				t.Errorf("create %s, want %s", s, tc.want)
			}
		})
	}
}

func TestRevisions(t *testing.T) {
	names := revisions(3)
	set := newSet("1")
	set.Spec.RevisionHistoryLimit = ptr.To[int32](0)
	o := scene(t, set, "r2 r2 r2")
	o.Revisions = names
	if got, want := decide(o).String(), fmt.Sprintf("make %s revision 4, forget %s, delete db-2 (another revision)", names[0].Name, names[2].Name); got != want {
		t.Errorf("going back: %s, want %s", got, want)
	}
	o.Revisions = nil
	if got, want := decide(o).String(), fmt.Sprintf("create revision 1 %s, delete db-2 (another revision)", names[0].Name); got != want {
		t.Errorf("the first: %s, want %s", got, want)
	}
}

func TestStatus(t *testing.T) {
	cases := []struct {
		reason, pods string
		edits        []edit
		want         string
	}{
		{"in the middle", "r1 u1 n2", []edit{minReady(10)}, "replicas 3 ready 2 available 1 current 1:2 updated 2:1 after 7s"},
		{"one goes", "r1 r1 t1", nil, "replicas 3 ready 3 available 3 current 1:2 updated 2:0 after 0s"},
		{"complete", "r2 r2 r2", nil, "replicas 3 ready 3 available 3 current 2:3 updated 2:3 after 0s"},
		{"on delete it never is", "r2 r2 r2", []edit{onDelete}, "replicas 3 ready 3 available 3 current 1:0 updated 2:3 after 0s"},
		{"partly", "r1 r1 r2", []edit{split(2)}, "replicas 3 ready 3 available 3 current 1:2 updated 2:1 after 0s"},
	}
	version := map[string]string{}
	for i, r := range revisions(2) {
		version[r.Name] = fmt.Sprint(i + 1)
	}
	for _, tc := range cases {
		t.Run(tc.reason, func(t *testing.T) {
			set := newSet("2", tc.edits...)
			set.Status.CurrentRevision = revisions(1)[0].Name
			p := decide(scene(t, set, tc.pods))
			s := p.Status
			got := fmt.Sprintf("replicas %d ready %d available %d current %s:%d updated %s:%d after %v", s.Replicas, s.ReadyReplicas, s.AvailableReplicas,
				version[s.CurrentRevision], s.CurrentReplicas, version[s.UpdateRevision], s.UpdatedReplicas, p.After)
			if got != tc.want {
				t.Errorf("status: %s, want %s", got, tc.want)
			}
		})
	}
}
