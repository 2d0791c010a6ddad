package lifecycle

import (
	"flag"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/miniorch/miniorch/kubelet/container"
)

var update = flag.Bool("update", false, "write the diagram into the README")

// The README shows the table as it is.
func TestReadmeShowsTheTable(t *testing.T) {
	const path, begin, end = "../README.md", "<!-- lifecycle -->\n```\n", "```\n<!-- /lifecycle -->"
	readme, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok1 := strings.Cut(string(readme), begin)
	shown, after, ok2 := strings.Cut(rest, end)
	if !ok1 || !ok2 {
		t.Fatal("the README has no place for the diagram")
	}
	if shown == Diagram() {
		return
	}
	if !*update {
		t.Fatalf("the README shows another life than the table; run go test ./kubelet/lifecycle -update\n%s", Diagram())
	}
	if err := os.WriteFile(path, []byte(before+begin+Diagram()+end+after), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestTableIsComplete(t *testing.T) {
	known := map[State]bool{}
	for _, r := range Table {
		if known[r.State] {
			t.Errorf("%s has two rules", r.State)
		}
		known[r.State] = true
		if r.Why == "" {
			t.Errorf("%s does not say why", r.State)
		}
	}
	for _, r := range Table {
		for _, n := range r.Next {
			if !known[n] {
				t.Errorf("%s leads to %s, which has no rule", r.State, n)
			}
		}
	}
}

// Many random lives, walked with an obedient node: each step goes only where the table says,
// and every life that is ended comes to its end.
func TestRandomLivesFollowTheTable(t *testing.T) {
	next := map[State][]State{}
	for _, r := range Table {
		next[r.State] = r.Next
	}
	for seed := range uint64(500) {
		life := newLife(seed)
		state := State("")
		for step := range 200 {
			if step == 100 {
				life.end()
			}
			plan, status := Step(life.pod, life.seen, life.now)
			if state != "" && plan.State != state && !slices.Contains(next[state], plan.State) {
				t.Fatalf("seed %d, step %d: from %s to %s, which the table does not know", seed, step, state, plan.State)
			}
			if terminal(life.pod.Status.Phase) && status.Phase != life.pod.Status.Phase {
				t.Fatalf("seed %d, step %d: phase %s became %s", seed, step, life.pod.Status.Phase, status.Phase)
			}
			state = plan.State
			life.apply(t, plan, status)
		}
		if state != Gone {
			plan, _ := Step(life.pod, life.seen, life.now)
			t.Errorf("seed %d: the pod never left: %s, %+v", seed, plan, life.seen)
		}
	}
}

// life is a pod on an obedient node with bad luck.
type life struct {
	rand *rand.Rand
	pod  *corev1.Pod
	seen Observed
	now  time.Time
	made int
}

func newLife(seed uint64) *life {
	l := &life{rand: rand.New(rand.NewPCG(seed, 1)), now: t0}
	policies := []corev1.RestartPolicy{corev1.RestartPolicyAlways, corev1.RestartPolicyOnFailure, corev1.RestartPolicyNever}
	l.pod = pod(policy(policies[l.rand.IntN(3)]))
	l.pod.Status = corev1.PodStatus{}
	if l.rand.IntN(2) == 0 {
		withSidecar("s")(l.pod)
	}
	if l.rand.IntN(2) == 0 {
		withInit("i")(l.pod)
	}
	if l.rand.IntN(4) == 0 {
		l.pod.Spec.ActiveDeadlineSeconds = new(int64(600))
	}
	l.seen.Failures = map[string]Failure{}
	return l
}

// end deletes the pod, gracefully or not.
func (l *life) end() {
	if l.rand.IntN(3) == 0 {
		l.seen.Removed = true
		return
	}
	l.pod = l.pod.DeepCopy()
	l.pod.DeletionTimestamp, l.pod.DeletionGracePeriodSeconds = &metav1.Time{Time: l.now.Add(30 * time.Second)}, new(int64(30))
}

func (l *life) apply(t *testing.T, plan Plan, status corev1.PodStatus) {
	l.now = l.now.Add(time.Duration(l.rand.IntN(120)) * time.Second)
	l.seen.Reported = false
	if l.rand.IntN(3) > 0 { // the API is not always there
		l.pod = l.pod.DeepCopy()
		l.pod.Status = status
		l.seen.Reported = true
	}
	for _, a := range plan.Actions {
		if l.rand.IntN(4) > 0 { // actions do not always succeed
			l.act(t, a)
		}
	}
	for i := range l.seen.Containers {
		if c := &l.seen.Containers[i]; c.State == container.StateRunning && l.rand.IntN(6) == 0 {
			c.State, c.ExitCode, c.FinishedAt = container.StateExited, l.rand.IntN(2), l.now
		}
	}
}

func (l *life) act(t *testing.T, a Action) {
	index := slices.IndexFunc(l.seen.Containers, func(c container.Container) bool { return c.ID == a.ID })
	switch a.Verb {
	case Prepare:
		l.seen.Sandbox.Ready, l.seen.Held = true, true
	case Start:
		for _, c := range l.seen.Containers {
			if c.Name == a.Name && c.State == container.StateRunning {
				t.Fatalf("%s was started beside itself", a.Name)
			}
		}
		l.made++
		l.seen.Containers = append(slices.Clone(l.seen.Containers), container.Container{
			ID: a.Name + string(rune('A'+l.made)), Name: a.Name, State: container.StateRunning, StartedAt: l.now,
			RestartCount: a.RestartCount, SpecHash: SpecHash(&corev1.Container{Image: "img"}), Labels: a.Labels(l.pod),
		})
	case Stop:
		c := &l.seen.Containers[index]
		c.State, c.ExitCode, c.FinishedAt = container.StateExited, 0, l.now
	case Remove:
		if l.seen.Containers[index].State == container.StateRunning {
			t.Fatalf("%s was removed while it ran", a.Name)
		}
		l.seen.Containers = slices.Delete(slices.Clone(l.seen.Containers), index, index+1)
	case Teardown:
		for _, c := range l.seen.Containers {
			if c.State == container.StateRunning {
				t.Fatalf("the sandbox was torn down under %s", c.Name)
			}
		}
		l.seen.Sandbox, l.seen.Held = Sandbox{}, false
	case Delete:
		l.seen.Removed = true
	}
}
