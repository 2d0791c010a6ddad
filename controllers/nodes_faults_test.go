package controllers

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/miniorch/miniorch/controllers/control"
	"github.com/miniorch/miniorch/controllers/controllertest"
	"github.com/miniorch/miniorch/controllers/nodeipam"
	"github.com/miniorch/miniorch/controllers/nodelifecycle"
	"github.com/miniorch/miniorch/controllers/podgc"
	"github.com/miniorch/miniorch/controllers/tainteviction"
	"github.com/miniorch/miniorch/pkg/api"
	"github.com/miniorch/miniorch/pkg/client"
)

// acts turns what a story does into the form that trials take.
func acts(all ...func(w *world)) (out []func(*controllertest.World)) {
	for _, act := range all {
		out = append(out, func(stage *controllertest.World) { act(&world{stage}) })
	}
	return out
}

// pinned makes a pod that runs on a node for good, whatever is wrong there, unless it bears less.
func (w *world) pinned(name, node string, bears ...corev1.Toleration) {
	w.Helper()
	p := &corev1.Pod{ObjectMeta: meta("default", name), Spec: template("v1").Spec}
	p.Spec.NodeName, p.Spec.Tolerations = node, bears
	create(w, p)
}

func inZone(w *world, zone string, nodes ...string) {
	for _, name := range nodes {
		edit(w, "", name, func(n *corev1.Node) {
			if n.Labels == nil {
				n.Labels = map[string]string{}
			}
			n.Labels[corev1.LabelTopologyZone] = zone
		})
	}
}

// health tells of each node whether it is ready, by which taints it is marked, and how many of its pods are ready.
func (w *world) health() string {
	var out []string
	ready := map[string]int{}
	for _, p := range list[*corev1.Pod](w, "default", "") {
		if api.IsPodReady(p) {
			ready[p.Spec.NodeName]++
		}
	}
	for _, n := range list[*corev1.Node](w, "", "") {
		word := n.Name[len("node-"):]
		if c := api.NodeCondition(n, corev1.NodeReady); c != nil && c.Status != corev1.ConditionTrue {
			word += "?"
		}
		for _, t := range n.Spec.Taints {
			word += map[corev1.TaintEffect]string{corev1.TaintEffectNoSchedule: "-", corev1.TaintEffectNoExecute: "!"}[t.Effect]
		}
		out = append(out, fmt.Sprint(word, ":", ready[n.Name]))
	}
	return strings.Join(out, " ")
}

// Dead nodes are marked and those that come back are not any more; when a whole zone is silent nobody
// of it is, not for a moment, whatever becomes of who judges.
func TestNodeLifecycleUnderFaults(t *testing.T) {
	rests := []string{
		"1:1 2:1 3:1 4:1",
		"1:1 2?-!:0 3:1 4:1",
		"1?-:0 2?-:0 3?-:0 4:1",
		"1:1 2:1 3:1 4:1",
		"1:1 2:1 3:1 4?-!:0",
	}
	act, reached := 0, false
	kill := func(dead bool, nodes ...string) func(w *world) {
		return func(w *world) {
			act, reached = act+1, false
			for _, n := range nodes {
				w.Machines.Kill(n, dead)
			}
		}
	}
	controllertest.Faults(t, controllertest.Trial{
		Name: "a node, its zone, all back, another", Nodes: 4, Leaders: 2, Seeds: 8, Want: rests[4],
		Controllers: []controllertest.Make{func(t client.Transport, i *client.Informers, cfg control.Config) controllertest.Runner {
			return nodelifecycle.New(t, i, nodelifecycle.Config{Config: cfg})
		}},
		Begin: func(stage *controllertest.World) {
			w := &world{stage}
			act, reached = 0, false
			inZone(w, "a", "node-1", "node-2", "node-3")
			inZone(w, "b", "node-4")
			for _, n := range []string{"1", "2", "3", "4"} {
				w.pinned("on-"+n, "node-"+n, corev1.Toleration{Operator: corev1.TolerationOpExists})
			}
		},
		Acts: acts(kill(true, "node-2"), kill(true, "node-1", "node-3"), kill(false, "node-1", "node-2", "node-3"), kill(true, "node-4")),
		Always: func(stage *controllertest.World, leaders int) {
			w := &world{stage}
			for _, n := range w.marked() {
				switch {
				case act == 2 && reached && leaders == 1: // a second one may not have seen the whole zone go yet
					w.Errorf("%s is marked, and its whole zone is silent", n)
				case n == "node-4" && act < 4, act < 2 && n != "node-2":
					w.Errorf("%s is marked, and it has never been silent", n)
				}
			}
		},
		AtRest: func(stage *controllertest.World) bool {
			is := (&world{stage}).health() == rests[act]
			reached = reached || is
			return is
		},
		State: func(stage *controllertest.World) string { return (&world{stage}).health() },
	})
}

// Pods go from a tainted node when their time is up, not earlier, and not if the taint goes first.
func TestTaintEvictionUnderFaults(t *testing.T) {
	bears := func(seconds ...int64) corev1.Toleration {
		t := corev1.Toleration{Key: "t", Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute}
		if len(seconds) > 0 {
			t.TolerationSeconds = &seconds[0]
		}
		return t
	}
	taint := func(w *world, taints ...corev1.Taint) {
		edit(w, "", "node-1", func(n *corev1.Node) { n.Spec.Taints = taints })
	}
	pods := func(w *world) string {
		var names []string
		for _, p := range list[*corev1.Pod](w, "default", "") {
			if p.DeletionTimestamp == nil {
				names = append(names, p.Name)
			}
		}
		return strings.Join(names, " ")
	}
	var until time.Time // the taint goes then
	var since time.Time // it came
	controllertest.Faults(t, controllertest.Trial{
		Name: "half a minute, a minute, for ever", Nodes: 2, Leaders: 2, Seeds: 8, Want: "ever late other",
		Controllers: []controllertest.Make{func(t client.Transport, i *client.Informers, cfg control.Config) controllertest.Runner {
			return tainteviction.New(t, i, cfg)
		}},
		Begin: func(stage *controllertest.World) {
			w := &world{stage}
			since, until = time.Time{}, time.Time{}
			w.pinned("now", "node-1")
			w.pinned("half", "node-1", bears(30))
			w.pinned("late", "node-1", bears(3600))
			w.pinned("ever", "node-1", bears())
			w.pinned("other", "node-2")
		},
		Acts: acts(
			func(w *world) {
				since = time.Now()
				taint(w, corev1.Taint{Key: "t", Effect: corev1.TaintEffectNoExecute})
			},
			func(w *world) {
				taint(w)
				until = since.Add(2 * time.Hour)
				w.Tick(5 * time.Second) // everybody has heard of it
				w.Tick(time.Until(until))
			},
		),
		Always: func(stage *controllertest.World, _ int) {
			w := &world{stage}
			left := pods(w)
			for _, name := range []string{"ever", "late", "other"} {
				if !strings.Contains(left, name) {
					w.Errorf("%s is evicted: %s are left", name, left)
				}
			}
			if early := since.IsZero() || time.Since(since) < 29*time.Second; early && !strings.Contains(left, "half") {
				w.Errorf("half a minute is tolerated, the pod went after %v", time.Since(since))
			}
		},
		AtRest: func(stage *controllertest.World) bool {
			left := pods(&world{stage})
			return left == "ever half late now other" && since.IsZero() || left == "ever late other"
		},
		State: func(stage *controllertest.World) string { return pods(&world{stage}) },
	})
}

// Pods that nobody will ever finish go; those of a node that is made anew in time stay, and so do as many
// ended ones as are to be kept.
func TestPodGCUnderFaults(t *testing.T) {
	names := func(w *world) string {
		var names []string
		for _, p := range list[*corev1.Pod](w, "default", "") {
			names = append(names, p.Name)
		}
		return strings.Join(names, " ")
	}
	rests := []string{"back e2 e3 held live lost lost2 waits", "back e2 e3 held live waits", "back e3 held live"} // held has ended too, in the end
	act := 0
	drop := func(w *world, name string) {
		w.Machines.Kill(name, true)
		remove[*corev1.Node](w, "", name, metav1.DeletePropagationBackground)
	}
	controllertest.Faults(t, controllertest.Trial{
		Name: "a node goes, another is made anew", Nodes: 3, Leaders: 2, Seeds: 8, Want: rests[2],
		Controllers: []controllertest.Make{func(t client.Transport, i *client.Informers, cfg control.Config) controllertest.Runner {
			return podgc.New(t, i, podgc.Config{Config: cfg, Threshold: 2})
		}},
		Begin: func(stage *controllertest.World) {
			w := &world{stage}
			act = 0
			w.Machines.Ends = func(p *corev1.Pod) (int32, bool) { return 0, strings.HasPrefix(p.Name, "e") }
			for name, node := range map[string]string{"live": "node-1", "lost": "node-2", "lost2": "node-2", "back": "node-3"} {
				w.pinned(name, node)
			}
			for _, name := range []string{"e0", "e1", "e2", "e3"} {
				w.pinned(name, "node-1")
				w.Tick(2 * time.Second)
			}
			for _, name := range []string{"held", "waits"} { // never on a node
				p := &corev1.Pod{ObjectMeta: meta("default", name), Spec: template("v1").Spec}
				p.Spec.SchedulingGates = []corev1.PodSchedulingGate{{Name: "example.com/wait"}}
				p.Spec.TerminationGracePeriodSeconds = ptr.To(int64(600))
				if name == "held" {
					p.Finalizers = []string{"example.com/hold"}
				}
				create(w, p)
			}
		},
		Acts: acts(
			func(w *world) {
				act = 1
				drop(w, "node-2")
				old := get[*corev1.Node](w, "", "node-3").DeepCopy()
				drop(w, "node-3")
				w.Tick(20 * time.Second)
				create(w, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "node-3", Labels: old.Labels}})
			},
			func(w *world) {
				act = 2
				for _, name := range []string{"waits", "held"} {
					err := client.Of[*corev1.Pod](w.Admin).Delete(w.Context(), "default", name, metav1.DeleteOptions{})
					if err != nil && !apierrors.IsNotFound(err) {
						w.Fatal(err)
					}
				}
			},
		),
		Always: func(stage *controllertest.World, _ int) {
			w := &world{stage}
			there := names(w)
			for _, name := range []string{"back", "e3", "held", "live"} {
				if !strings.Contains(there, name) {
					w.Errorf("%s is gone: %s are left", name, there)
				}
			}
			if act < 2 && !strings.Contains(there, "e2") {
				w.Errorf("only %s are left, and two that ended are to be kept", there)
			}
			if act == 0 && !strings.Contains(there, "lost") {
				w.Errorf("the node is there, its pods are not: %s", there)
			}
		},
		AtRest: func(stage *controllertest.World) bool { return names(&world{stage}) == rests[act] },
		State:  func(stage *controllertest.World) string { return names(&world{stage}) },
	})
}

// Every node gets a range, no range is with two, and none is ever changed.
func TestNodeRangesUnderFaults(t *testing.T) {
	want := 0
	var given map[string]string
	add := func(w *world, names ...string) {
		want += len(names)
		for _, name := range names {
			create(w, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}})
		}
	}
	ranges := func(w *world) map[string]string {
		out := map[string]string{}
		for _, n := range list[*corev1.Node](w, "", "") {
			if n.Spec.PodCIDR != "" {
				out[n.Name] = n.Spec.PodCIDR
			}
		}
		return out
	}
	controllertest.Faults(t, controllertest.Trial{
		Name: "nodes come and go", Leaders: 2, Seeds: 20, Want: "7 nodes, 7 ranges",
		Controllers: []controllertest.Make{func(t client.Transport, i *client.Informers, cfg control.Config) controllertest.Runner {
			return nodeipam.New(t, i, nodeipam.Config{Config: cfg, Cluster: netip.MustParsePrefix("10.244.0.0/21")})
		}},
		Begin: func(stage *controllertest.World) {
			want, given = 0, map[string]string{}
			add(&world{stage}, "a", "b", "c")
		},
		Acts: acts(
			func(w *world) { add(w, "d", "e", "f", "g", "h") },
			func(w *world) {
				for _, name := range []string{"b", "e", "f"} {
					remove[*corev1.Node](w, "", name, metav1.DeletePropagationBackground)
					delete(given, name)
					want--
				}
				add(w, "i", "j")
			},
		),
		Always: func(stage *controllertest.World, _ int) {
			w := &world{stage}
			with := map[string]string{}
			for node, cidr := range ranges(w) {
				if was := given[node]; was != "" && was != cidr {
					w.Errorf("%s had %s and has %s", node, was, cidr)
				}
				if other := with[cidr]; other != "" {
					w.Errorf("%s and %s have %s", other, node, cidr)
				}
				given[node], with[cidr] = cidr, node
			}
		},
		AtRest: func(stage *controllertest.World) bool { return len(ranges(&world{stage})) == want },
		State: func(stage *controllertest.World) string {
			w := &world{stage}
			var all []string
			for _, cidr := range ranges(w) {
				all = append(all, cidr)
			}
			slices.Sort(all)
			return fmt.Sprintf("%d nodes, %d ranges", len(list[*corev1.Node](w, "", "")), len(slices.Compact(all)))
		},
	})
}
