package scheduler

import (
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/miniorch/miniorch/pkg/client"
	"github.com/miniorch/miniorch/scheduler/framework/sample"
	"github.com/miniorch/miniorch/scheduler/plugins/podgroups"
)

// member makes a pod of a group that needs least members.
func member(group string, i int, least string) *corev1.Pod {
	return sample.With(sample.Pod(fmt.Sprint(group, "-", i), "cpu", "1"), func(p *corev1.Pod) {
		p.Labels = map[string]string{podgroups.LabelGroup: group}
		p.Annotations = map[string]string{podgroups.AnnotationMin: least, podgroups.AnnotationTimeout: "20s"}
	})
}

// placed counts the pods of a group that have a node.
func (w *world) placed(group string, n int) (count int) {
	w.Helper()
	for i := range n {
		if w.get(fmt.Sprint(group, "-", i)).Spec.NodeName != "" {
			count++
		}
	}
	return count
}

func TestPodGroups(t *testing.T) {
	inWorld(t, func(w *world) {
		w.node(sample.Node("n1", "cpu", "2"))
		w.pod(member("g", 0, "3"))
		w.pod(member("g", 1, "3"))
		time.Sleep(time.Minute)
		if a := w.why("g-0", false); a.State != "It is held back: pod group default/g has 2 of 3 pods" {
			t.Errorf("state: %s", a.State)
		}
		w.pod(member("g", 2, "3"))
		time.Sleep(30 * time.Second)
		if n := w.placed("g", 3); n != 0 {
			t.Errorf("%d of 3 have a node although there is room for 2 only", n)
		}
		a := w.why("g-0", false)
		if last := a.Attempts[len(a.Attempts)-1].Result; !strings.Contains(last, "let go: PodGroups: pod group default/g: default/g-2 fits nowhere; 2 of 3 needed waited with a node") {
			t.Errorf("the last attempt: %s", last)
		}
		w.pod(sample.Pod("other", "cpu", "1"))
		w.expectOn("other", "n1") // nobody keeps room that is of no use
		w.node(sample.Node("n2", "cpu", "2"))
		time.Sleep(30 * time.Second)
		if n := w.placed("g", 3); n != 3 {
			t.Errorf("%d of 3 have a node although there is room for all", n)
		}
		w.pod(member("g", 3, "3"))
		time.Sleep(30 * time.Second)
		w.expectOn("g-3", "")
		w.delete("other")
		time.Sleep(30 * time.Second)
		w.expectOn("g-3", "n1") // the group has what it needs: who comes later goes alone
	})
}

// TestPodGroupsCompete lets two groups want the same room: one gets all it needs, the other
// nothing, and that when the first is gone.
func TestPodGroupsCompete(t *testing.T) {
	inWorld(t, func(w *world) {
		w.node(sample.Node("n1", "cpu", "2"))
		w.node(sample.Node("n2", "cpu", "2"))
		for i := range 3 {
			w.pod(member("a", i, "3"))
			w.pod(member("b", i, "3"))
		}
		time.Sleep(2 * time.Minute)
		a, b := w.placed("a", 3), w.placed("b", 3)
		if a+b != 3 || a*b != 0 {
			t.Fatalf("%d of a and %d of b have a node", a, b)
		}
		winner, loser := "a", "b"
		if b == 3 {
			winner, loser = "b", "a"
		}
		for i := range 3 {
			w.delete(fmt.Sprint(winner, "-", i))
		}
		time.Sleep(time.Minute)
		if n := w.placed(loser, 3); n != 3 {
			t.Errorf("%d of the second group have a node", n)
		}
	})
}

func TestPodGroupsSpeakUp(t *testing.T) {
	inWorld(t, func(w *world) {
		w.node(sample.Node("n1", "cpu", "2"))
		w.pod(member("g", 0, "many"))
		if a := w.why("g-0", false); a.State != `It is held back: annotation miniorch.dev/pod-group-min: "many" is no number of pods` {
			t.Errorf("state: %s", a.State)
		}
		p := w.get("g-0").DeepCopy()
		p.Annotations[podgroups.AnnotationMin] = "1"
		if _, err := client.Of[*corev1.Pod](w.admin).Update(w.Context(), p); err != nil {
			t.Fatal(err)
		}
		w.expectOn("g-0", "n1")
	})
}
