package scheduler

import (
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/miniorch/miniorch/pkg/client"
	"github.com/miniorch/miniorch/scheduler/framework"
	"github.com/miniorch/miniorch/scheduler/framework/sample"
)

func inZone(name, zone string) *corev1.Node {
	return sample.With(sample.Node(name), func(n *corev1.Node) { n.Labels["zone"] = zone })
}

// apart makes a pod that wants to be in a zone without pods of its app.
func apart(name, app string) *corev1.Pod {
	return sample.With(sample.Pod(name), func(p *corev1.Pod) {
		p.Labels = map[string]string{"app": app}
		p.Spec.Affinity = &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{{
			TopologyKey: "zone", LabelSelector: &metav1.LabelSelector{MatchLabels: p.Labels},
		}}}}
	})
}

// TestHints parks pods that other pods keep off all nodes, and lets things happen: only what can
// help is a reason to try again.
func TestHints(t *testing.T) {
	near := func(p *corev1.Pod) {
		p.Spec.Affinity = &corev1.Affinity{PodAffinity: &corev1.PodAffinity{RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{{
			TopologyKey: "zone", LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "db"}},
		}}}}
	}
	spread := func(p *corev1.Pod) {
		p.Labels = map[string]string{"app": "web"}
		p.Spec.TopologySpreadConstraints = []corev1.TopologySpreadConstraint{{TopologyKey: "zone", MaxSkew: 1, WhenUnsatisfiable: corev1.DoNotSchedule,
			LabelSelector: &metav1.LabelSelector{MatchLabels: p.Labels}}}
	}
	tests := []struct {
		name, reason string
		pod          *corev1.Pod
		wake         func(w *world)
		tried        bool
		node         string
	}{
		{"anti-affinity, it goes", "the zone is free", apart("p", "web"), func(w *world) { w.delete("web-a") }, true, "a"},
		{"anti-affinity, a stranger goes", "it was not in the way", apart("p", "web"), func(w *world) { w.delete("other") }, false, ""},
		{"anti-affinity, it changes its label", "it is another app now", apart("p", "web"), func(w *world) {
			w.patch(types.MergePatchType, w.get("web-a"), `{"metadata":{"labels":{"app":"old"}}}`)
		}, true, "a"},
		{"anti-affinity, a zone comes", "there is nobody", apart("p", "web"), func(w *world) { w.node(inZone("c", "c")) }, true, "c"},
		{"affinity, a friend comes", "it may be near it now", sample.With(sample.Pod("p"), near), func(w *world) {
			w.pod(sample.With(sample.Pod("db"), func(p *corev1.Pod) {
				p.Labels, p.Spec.NodeSelector = map[string]string{"app": "db"}, map[string]string{"zone": "b"}
			}))
		}, true, "b"},
		{"affinity, a stranger comes", "it is no friend", sample.With(sample.Pod("p"), near), func(w *world) { w.pod(sample.Pod("x")) }, false, ""},
		{"spread, the full zone has less", "it is even again", sample.With(sample.Pod("p"), spread), func(w *world) { w.delete("web-a") }, true, "a"},
		{"spread, a stranger goes", "it did not count", sample.With(sample.Pod("p"), spread), func(w *world) { w.delete("other") }, false, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				w.node(inZone("a", "a"))
				w.node(inZone("b", "b"))
				for _, zone := range []string{"a", "b"} {
					w.pod(sample.With(sample.Pod("web-"+zone), func(p *corev1.Pod) {
						p.Labels, p.Spec.NodeSelector = map[string]string{"app": "web"}, map[string]string{"zone": zone}
					}))
				}
				w.pod(sample.With(sample.Pod("web-a2"), func(p *corev1.Pod) {
					if tt.name[:4] == "spre" {
						p.Labels = map[string]string{"app": "web"}
					}
					p.Spec.NodeSelector = map[string]string{"zone": "a"}
				}))
				w.pod(sample.With(sample.Pod("other"), func(p *corev1.Pod) { p.Spec.NodeSelector = map[string]string{"zone": "b"} }))
				w.expectOn("other", "b")
				if tt.name[:4] == "spre" { // zone b takes no more, zone a is one ahead
					w.patch(types.MergePatchType, sample.Node("b"), `{"spec":{"unschedulable":true}}`)
					w.get("other") // waits until the scheduler knows
				}
				w.pod(tt.pod)
				w.expectOn("p", "")
				time.Sleep(time.Minute)
				before := w.attempts("p")
				tt.wake(w)
				w.expectOn("p", tt.node)
				if tried := w.attempts("p") > before; tried != tt.tried {
					t.Errorf("tried again: %t, want %t: %s", tried, tt.tried, tt.reason)
				}
			})
		})
	}
}

// attempts counts what is remembered of a pod.
func (w *world) attempts(name string) int {
	w.Helper()
	uid := w.get(name).UID
	w.scheduler.mu.Lock()
	defer w.scheduler.mu.Unlock()
	return len(w.scheduler.kept.byUID[uid])
}

// whistle is a plugin that refuses pods until its event is reported.
type whistle struct {
	blown  bool
	report func(framework.Event)
}

func (*whistle) Name() string                          { return "Whistle" }
func (p *whistle) Events(report func(framework.Event)) { p.report = report }
func (p *whistle) Filter(*framework.CycleState, *framework.PodInfo, *framework.NodeInfo) *framework.Status {
	if p.blown {
		return nil
	}
	return framework.Refuse("not yet")
}
func (*whistle) Sign(b []byte, _ *framework.PodInfo) ([]byte, bool) { return b, false }

func TestEventsOfPlugins(t *testing.T) {
	p := &whistle{}
	profiles := []framework.Profile{{}}
	between := func(tr client.Transport) client.Transport {
		profiles[0] = DefaultProfile(Parts{Transport: tr})
		profiles[0].Plugins = append(profiles[0].Plugins, framework.Enabled{Plugin: p})
		return tr
	}
	inWorldWith(t, between, Config{Profiles: profiles}, func(w *world) {
		w.node(sample.Node("n1"))
		w.pod(sample.Pod("p"))
		w.expectOn("p", "")
		time.Sleep(30 * time.Second)
		before := w.attempts("p")
		w.pod(sample.Pod("q"))
		w.get("q")
		if got := w.attempts("p"); got != before {
			t.Errorf("%d attempts more although nothing helps", got-before)
		}
		w.scheduler.mu.Lock()
		p.blown = true
		w.scheduler.mu.Unlock()
		p.report(framework.Event{Kind: "Whistle"})
		w.expectOn("p", "n1")
	})
}

// TestFairUnderFlood lets one namespace flood the scheduler while it is not there: the one pod of
// another does not wait for all of them.
func TestFairUnderFlood(t *testing.T) {
	q := newQueueTest(t)
	for i := range 1000 {
		q.set(sample.With(sample.Pod(fmt.Sprint("flood-", i)), func(p *corev1.Pod) { p.Namespace = "busy" }))
	}
	q.set(sample.With(sample.Pod("quiet"), func(p *corev1.Pod) { p.Namespace = "quiet" }))
	for i := range 3 {
		if w := q.pop(); w.Pod.Name == "quiet" {
			return
		} else if i == 2 {
			t.Errorf("%s goes before the only pod of a namespace", w.Pod.Name)
		}
	}
}

// bell holds pods back and counts how often it is asked about them.
type bell struct {
	absent
	asked  *int
	report func(framework.Event)
}

func (b *bell) PreEnqueue(*framework.PodInfo) *framework.Status {
	*b.asked++
	return framework.Refuse("not yet")
}
func (b *bell) Events(report func(framework.Event))            { b.report = report }
func (b *bell) Helps(*framework.PodInfo, framework.Event) bool { *b.asked++; return true }

// TestGatedAreLeftAlone: pods that are held back cost nothing while others come and go, however many
// they are; only who holds them back can say that it is worth looking.
func TestGatedAreLeftAlone(t *testing.T) {
	asked := 0
	b := &bell{absent: "Bell", asked: &asked}
	profiles := []framework.Profile{{}, {}}
	between := func(tr client.Transport) client.Transport {
		profiles[0], profiles[1] = DefaultProfile(Parts{Transport: tr}), DefaultProfile(Parts{Transport: tr})
		profiles[1].SchedulerName = "other"
		profiles[1].Plugins = append(profiles[1].Plugins, framework.Enabled{Plugin: b})
		return tr
	}
	inWorldWith(t, between, Config{Profiles: profiles}, func(w *world) {
		w.node(sample.Node("n1"))
		for i := range 20 {
			w.pod(sample.With(sample.Pod(fmt.Sprint("held-", i)), func(p *corev1.Pod) { p.Spec.SchedulerName = "other" }))
		}
		w.expectOn("held-0", "")
		before := asked
		for i := range 5 {
			w.pod(sample.Pod(fmt.Sprint("p-", i)))
			w.expectOn(fmt.Sprint("p-", i), "n1")
			w.delete(fmt.Sprint("p-", i))
		}
		w.get("held-0")
		if asked != before {
			t.Errorf("asked %d times while others came and went", asked-before)
		}
		b.report(framework.Event{Kind: "Bell"})
		w.get("held-0")
		if got := asked - before; got < 20 {
			t.Errorf("asked %d times when it rang", got)
		}
	})
}
