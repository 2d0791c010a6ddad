package deployment

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
)

var now = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

// deploy makes a Deployment whose template has the image img.
func deploy(size int32, img string, edits ...func(*appsv1.Deployment)) *appsv1.Deployment {
	d := &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "web", UID: "d", Generation: 1, Annotations: map[string]string{}},
		Spec: appsv1.DeploymentSpec{
			Replicas: ptr.To(size), Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}},
			Template: template(img), RevisionHistoryLimit: ptr.To(int32(10)), ProgressDeadlineSeconds: ptr.To(int32(600)),
			Strategy: appsv1.DeploymentStrategy{Type: appsv1.RollingUpdateDeploymentStrategyType},
		},
	}
	for _, e := range edits {
		e(d)
	}
	return d
}

func template(img string) corev1.PodTemplateSpec {
	return corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "web"}},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: img}}},
	}
}

func rolling(surge, unavailable string) func(*appsv1.Deployment) {
	return func(d *appsv1.Deployment) {
		s, u := intstr.Parse(surge), intstr.Parse(unavailable)
		d.Spec.Strategy.RollingUpdate = &appsv1.RollingUpdateDeployment{MaxSurge: &s, MaxUnavailable: &u}
	}
}
func recreate(d *appsv1.Deployment) { d.Spec.Strategy.Type = appsv1.RecreateDeploymentStrategyType }
func paused(d *appsv1.Deployment)   { d.Spec.Paused = true }
func keep(n int32) func(*appsv1.Deployment) {
	return func(d *appsv1.Deployment) { d.Spec.RevisionHistoryLimit = &n }
}
func annotated(k, v string) func(*appsv1.Deployment) {
	return func(d *appsv1.Deployment) { d.Annotations[k] = v }
}

// rs makes the set "web-<img>" of revision rev: size wanted, exist and available pods;
// noted is the Deployment's size and maximum when it was scaled last.
func rs(img string, rev int, size, exist, available int32, noted ...int32) *appsv1.ReplicaSet {
	s := &appsv1.ReplicaSet{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "default", Name: "web-" + img, UID: types.UID("uid-" + img), Generation: 1,
			CreationTimestamp: metav1.NewTime(now.Add(time.Duration(rev) * time.Minute)),
			Annotations:       map[string]string{revisionKey: fmt.Sprint(rev)},
		},
		Spec: appsv1.ReplicaSetSpec{Replicas: &size, Template: template(img)},
		Status: appsv1.ReplicaSetStatus{
			ObservedGeneration: 1, Replicas: exist, ReadyReplicas: available, AvailableReplicas: available, TerminatingReplicas: ptr.To(int32(0)),
		},
	}
	s.Spec.Template.Labels = map[string]string{"app": "web", "pod-template-hash": img}
	if len(noted) == 2 {
		s.Annotations[desiredKey], s.Annotations[maxKey] = fmt.Sprint(noted[0]), fmt.Sprint(noted[1])
	}
	return s
}

func terminating(s *appsv1.ReplicaSet) *appsv1.ReplicaSet {
	s.Status.TerminatingReplicas = ptr.To(int32(1))
	return s
}

func TestDecide(t *testing.T) {
	newName := func(d *appsv1.Deployment) string { return "web-" + hash(&d.Spec.Template, nil) }
	fresh := newName(deploy(0, "v2"))
	first := newName(deploy(0, "v1"))
	cases := []struct {
		reason string
		d      *appsv1.Deployment
		sets   []*appsv1.ReplicaSet
		want   string
	}{
		{"a new deployment gets its first set in full", deploy(3, "v1"), nil, "create " + first + " with 3, revision 1"},
		{"recreate too", deploy(3, "v1", recreate), nil, "create " + first + " with 3, revision 1"},
		{"a paused deployment gets no set", deploy(3, "v1", paused), nil, "nothing"},
		{"a finished rollout rests", deploy(3, "v1", annotated(revisionKey, "1")), []*appsv1.ReplicaSet{rs("v1", 1, 3, 3, 3, 3, 4)}, "nothing"},
		{"a new template starts with the surge", deploy(4, "v2"), []*appsv1.ReplicaSet{rs("v1", 1, 4, 4, 4, 4, 5)}, "create " + fresh + " with 1, revision 2"},
		{"no surge: the new set starts empty", deploy(4, "v2", rolling("0", "1")), []*appsv1.ReplicaSet{rs("v1", 1, 4, 4, 4, 4, 4)}, "create " + fresh + " with 0, revision 2"},
		{"what may be unavailable goes first", deploy(4, "v2", rolling("1", "1"), annotated(revisionKey, "2")),
			[]*appsv1.ReplicaSet{rs("v1", 1, 4, 4, 4, 4, 5), rs("v2", 2, 1, 1, 0, 4, 5)}, "scale web-v1 4→3"},
		{"a step up and a step down together", deploy(4, "v2", rolling("1", "1"), annotated(revisionKey, "2")),
			[]*appsv1.ReplicaSet{rs("v1", 1, 3, 3, 3, 4, 5), rs("v2", 2, 1, 1, 1, 4, 5)}, "scale web-v1 3→2, scale web-v2 1→2"},
		{"new pods that are not available hold the old ones", deploy(4, "v2", rolling("1", "1"), annotated(revisionKey, "2")),
			[]*appsv1.ReplicaSet{rs("v1", 1, 3, 3, 3, 4, 5), rs("v2", 2, 2, 2, 0, 4, 5)}, "nothing"},
		{"a stale status does not release more than the spec does", deploy(3, "v2", rolling("1", "1"), annotated(revisionKey, "2")),
			[]*appsv1.ReplicaSet{rs("v1", 1, 2, 3, 3, 3, 4), rs("v2", 2, 2, 1, 0, 3, 4)}, "nothing"},
		{"maxUnavailable 0: an old pod goes only when a new one is there", deploy(3, "v2", rolling("1", "0"), annotated(revisionKey, "2")),
			[]*appsv1.ReplicaSet{rs("v1", 1, 3, 3, 3, 3, 4), rs("v2", 2, 1, 1, 0, 3, 4)}, "nothing"},
		{"and then it does", deploy(3, "v2", rolling("1", "0"), annotated(revisionKey, "2")),
			[]*appsv1.ReplicaSet{rs("v1", 1, 3, 3, 3, 3, 4), rs("v2", 2, 1, 1, 1, 3, 4)}, "scale web-v1 3→2"},
		{"broken old pods go although nothing is spared", deploy(10, "v2", rolling("3", "2"), annotated(revisionKey, "2")),
			[]*appsv1.ReplicaSet{rs("v1", 1, 10, 10, 7, 10, 13), rs("v2", 2, 3, 3, 0, 10, 13)}, "scale web-v1 10→8"},
		{"rollover: the oldest set shrinks first", deploy(4, "v3", rolling("1", "1"), annotated(revisionKey, "3")),
			[]*appsv1.ReplicaSet{rs("v1", 1, 2, 2, 2, 4, 5), rs("v2", 2, 2, 2, 2, 4, 5), rs("v3", 3, 1, 1, 0, 4, 5)}, "scale web-v1 2→1"},
		{"surge and unavailability both 0 would never move", deploy(2, "v2", rolling("0", "0"), annotated(revisionKey, "2")),
			[]*appsv1.ReplicaSet{rs("v1", 1, 2, 2, 2, 2, 2), rs("v2", 2, 0, 0, 0)}, "scale web-v1 2→1"},
		{"percentages: surge rounds up, unavailability down", deploy(3, "v2", rolling("25%", "25%"), annotated(revisionKey, "2")),
			[]*appsv1.ReplicaSet{rs("v1", 1, 3, 3, 3, 3, 4), rs("v2", 2, 1, 1, 1, 3, 4)}, "scale web-v1 3→2"},

		{"recreate empties the old set first", deploy(3, "v2", recreate), []*appsv1.ReplicaSet{rs("v1", 1, 3, 3, 3, 3, 3)}, "scale web-v1 3→0"},
		{"recreate waits for the last old pod", deploy(3, "v2", recreate), []*appsv1.ReplicaSet{rs("v1", 1, 0, 1, 0, 3, 3)}, "nothing"},
		{"also for terminating ones", deploy(3, "v2", recreate), []*appsv1.ReplicaSet{terminating(rs("v1", 1, 0, 0, 0, 3, 3))}, "nothing"},
		{"recreate then creates", deploy(3, "v2", recreate), []*appsv1.ReplicaSet{rs("v1", 1, 0, 0, 0, 3, 3)}, "create " + fresh + " with 3, revision 2"},

		{"rollback: the old set is the newest again", deploy(2, "v1", annotated(revisionKey, "2")),
			[]*appsv1.ReplicaSet{rs("v1", 1, 0, 0, 0), rs("v2", 2, 2, 2, 2, 2, 3)}, "scale web-v1 0→1, revision 3"},
		{"scaling a settled deployment", deploy(5, "v1", annotated(revisionKey, "1")), []*appsv1.ReplicaSet{rs("v1", 1, 3, 3, 3, 3, 4)}, "scale web-v1 3→5"},
		{"scaling works while paused", deploy(5, "v2", paused), []*appsv1.ReplicaSet{rs("v1", 1, 3, 3, 3, 3, 4)}, "scale web-v1 3→5"},
		{"scaling to zero", deploy(0, "v1", annotated(revisionKey, "1")), []*appsv1.ReplicaSet{rs("v1", 1, 3, 3, 3, 3, 4)}, "scale web-v1 3→0"},
		{"scaling up amid a rollout is proportional (the documented example: 10 to 15)", deploy(15, "v2", rolling("3", "2"), annotated(revisionKey, "2")),
			[]*appsv1.ReplicaSet{rs("v1", 1, 8, 8, 8, 10, 13), rs("v2", 2, 5, 5, 0, 10, 13)}, "scale web-v1 8→11, scale web-v2 5→7"},
		{"scaling down amid a rollout is proportional", deploy(5, "v2", rolling("3", "2"), annotated(revisionKey, "2")),
			[]*appsv1.ReplicaSet{rs("v1", 1, 8, 8, 8, 10, 13), rs("v2", 2, 5, 5, 0, 10, 13)}, "scale web-v1 8→5, scale web-v2 5→3"},
		{"a paused rollout stands still", deploy(4, "v2", paused, annotated(revisionKey, "2")),
			[]*appsv1.ReplicaSet{rs("v1", 1, 3, 3, 3, 4, 5), rs("v2", 2, 2, 2, 2, 4, 5)}, "annotate"},

		{"history beyond the limit goes, lowest revision first", deploy(1, "v4", keep(1), annotated(revisionKey, "4")),
			[]*appsv1.ReplicaSet{rs("v1", 1, 0, 0, 0), rs("v2", 2, 0, 0, 0), rs("v3", 3, 0, 0, 0), rs("v4", 4, 1, 1, 1, 1, 2)}, "delete web-v1, delete web-v2"},
		{"a set with pods is not history yet", deploy(1, "v2", keep(0), annotated(revisionKey, "2")),
			[]*appsv1.ReplicaSet{rs("v1", 1, 0, 1, 0), rs("v2", 2, 1, 1, 1, 1, 2)}, "nothing"},
		{"the change cause is carried to the newest set", deploy(1, "v1", annotated(revisionKey, "1"), annotated("kubernetes.io/change-cause", "why")),
			[]*appsv1.ReplicaSet{rs("v1", 1, 1, 1, 1, 1, 2)}, "annotate web-v1"},
		{"the template hash is no difference; what kubectl last applied is not inherited",
			deploy(1, "v1", annotated(revisionKey, "1"), annotated(corev1.LastAppliedConfigAnnotation, "{}")),
			[]*appsv1.ReplicaSet{rs("v1", 1, 1, 1, 1, 1, 2)}, "nothing"},
	}
	for _, tc := range cases {
		t.Run(tc.reason, func(t *testing.T) {
			got := decide(observed{Deployment: tc.d, Sets: tc.sets, Now: now}).String()
			if tc.want == "annotate" && strings.Contains(got, "scale") || tc.want != "annotate" && got != tc.want {
				t.Errorf("decide = %q, want %q", got, tc.want)
			}
		})
	}
}

func TestRevisionHistoryOfARollback(t *testing.T) {
	back := rs("v1", 1, 0, 0, 0)
	p := decide(observed{Deployment: deploy(1, "v1"), Sets: []*appsv1.ReplicaSet{back, rs("v2", 2, 1, 1, 1, 1, 2)}, Now: now})
	got := p.Change[0].New.Annotations
	if got[revisionKey] != "3" || got[historyKey] != "1" {
		t.Errorf("annotations are %v, want revision 3 with history 1", got)
	}
	if back.Annotations[revisionKey] != "1" {
		t.Error("decide wrote to what it was given")
	}
}

func TestHashFollowsTemplateAndCollisions(t *testing.T) {
	a, b := template("v1"), template("v2")
	if hash(&a, nil) == hash(&b, nil) || hash(&a, nil) == hash(&a, ptr.To(int32(1))) {
		t.Error("different templates or collision counts have the same hash")
	}
	if hash(&a, nil) != hash(a.DeepCopy(), nil) {
		t.Error("the same template has two hashes")
	}
}

// The rollout, walked by hand to its end under every mix of bounds: it must end, must never
// have more pods than allowed, nor fewer available than promised.
func TestRolloutInvariants(t *testing.T) {
	for size := range int32(7) {
		for _, b := range [][2]string{{"1", "0"}, {"0", "1"}, {"25%", "25%"}, {"100%", "0"}, {"0", "100%"}, {"2", "3"}, {"0", "0"}} {
			t.Run(fmt.Sprintf("size %d surge %s unavailable %s", size, b[0], b[1]), func(t *testing.T) {
				d := deploy(size, "v2", rolling(b[0], b[1]))
				sets := []*appsv1.ReplicaSet{rs("v1", 1, size, size, size, size, size+maxSurge(d))}
				walk(t, d, sets)
			})
		}
	}
}

func walk(t *testing.T, d *appsv1.Deployment, sets []*appsv1.ReplicaSet) {
	for range 200 {
		p := decide(observed{Deployment: d, Sets: sets, Now: now})
		if p.Revision != "" {
			d.Annotations[revisionKey] = p.Revision
		}
		if p.Create != nil {
			p.Create.CreationTimestamp = metav1.NewTime(now.Add(time.Hour))
			p.Create.Status.TerminatingReplicas = ptr.To(int32(0))
			sets = append(sets, p.Create)
		}
		for _, c := range p.Change {
			for i := range sets {
				if sets[i].Name == c.New.Name {
					sets[i] = c.New
				}
			}
		}
		var total, available int32
		for _, s := range sets {
			total += replicas(s)
			available += min(s.Status.AvailableReplicas, replicas(s))
		}
		if total > desired(d)+maxSurge(d) || available < minAvailable(d) {
			t.Fatalf("%s: %d pods, %d available; bounds are %d and %d", p, total, available, desired(d)+maxSurge(d), minAvailable(d))
		}
		moved := false
		for _, s := range sets { // the pods follow, one at a time
			s.Status.ObservedGeneration = s.Generation
			if n := replicas(s); s.Status.Replicas != n || s.Status.AvailableReplicas != n {
				if s.Status.AvailableReplicas < n {
					s.Status.AvailableReplicas++
				} else {
					s.Status.AvailableReplicas = n
				}
				s.Status.Replicas = n
				moved = true
				break
			}
		}
		if p.Empty() && !moved {
			if !complete(d, sum(d, sets)) {
				t.Fatalf("the rollout rests unfinished at %+v", sum(d, sets))
			}
			return
		}
	}
	t.Fatal("the rollout does not end")
}
