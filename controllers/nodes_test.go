package controllers

import (
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/miniorch/miniorch/pkg/api"
	"github.com/miniorch/miniorch/pkg/client"
)

// where prints how many active, ready pods each node has.
func (w *world) where() string {
	n := map[string]int{}
	for _, p := range list[*corev1.Pod](w, "default", "app=web") {
		if api.IsPodActive(p) && api.IsPodReady(p) {
			n[p.Spec.NodeName]++
		}
	}
	return fmt.Sprint(n)
}

// endpoints prints how many ready endpoints each node has.
func (w *world) endpoints() string { return fmt.Sprint(w.endpointsByNode()) }

func (w *world) endpointsOn(node string) int { return w.endpointsByNode()[node] }

func (w *world) endpointsByNode() map[string]int {
	n := map[string]int{}
	for _, s := range list[*discoveryv1.EndpointSlice](w, "default", "kubernetes.io/service-name=web") {
		for _, e := range s.Endpoints {
			if *e.Conditions.Ready {
				n[*e.NodeName]++
			}
		}
	}
	return n
}

func (w *world) taints(node string) string {
	var out []string
	for _, t := range get[*corev1.Node](w, "", node).Spec.Taints {
		out = append(out, t.ToString())
	}
	return strings.Join(out, " ")
}

func webService() *corev1.Service {
	return &corev1.Service{ObjectMeta: meta("default", "web"), Spec: corev1.ServiceSpec{Selector: map[string]string{"app": "web"}, Ports: []corev1.ServicePort{{Port: 80}}}}
}

func TestNodeDeath(t *testing.T) {
	inWorld(t, 3, nil, func(w *world) {
		create(w, webDeployment(3, "v1"))
		create(w, webService())
		w.Tick(5 * time.Second)
		steps := []struct {
			reason                   string
			do                       func()
			wait                     time.Duration
			where, endpoints, taints string
		}{
			{"all is well", func() {}, 0, "map[node-1:1 node-2:1 node-3:1]", "map[node-1:1 node-2:1 node-3:1]", ""},
			{"a node falls silent: within the grace period nothing happens", func() { w.Machines.Kill("node-2", true) }, 29 * time.Second,
				"map[node-1:1 node-2:1 node-3:1]", "map[node-1:1 node-2:1 node-3:1]", ""},
			{"then it is unreachable, and takes no traffic", func() {}, 15 * time.Second, "map[node-1:1 node-3:1]", "map[node-1:1 node-3:1]",
				"node.kubernetes.io/unreachable:NoSchedule node.kubernetes.io/unreachable:NoExecute"},
			{"its pods are tolerated for five minutes, as admission says", func() {}, 280 * time.Second, "map[node-1:1 node-3:1]", "map[node-1:1 node-3:1]",
				"node.kubernetes.io/unreachable:NoSchedule node.kubernetes.io/unreachable:NoExecute"},
			{"then they are replaced elsewhere", func() {}, 25 * time.Second, "map[node-1:2 node-3:1]", "map[node-1:2 node-3:1]",
				"node.kubernetes.io/unreachable:NoSchedule node.kubernetes.io/unreachable:NoExecute"},
			{"the node comes back", func() { w.Machines.Kill("node-2", false) }, 15 * time.Second, "map[node-1:2 node-3:1]", "map[node-1:2 node-3:1]", ""},
		}
		for _, s := range steps {
			s.do()
			w.Tick(s.wait)
			if got := w.where(); got != s.where {
				t.Errorf("%s: pods are at %s, want %s", s.reason, got, s.where)
			}
			if got := w.endpoints(); got != s.endpoints {
				t.Errorf("%s: endpoints are at %s, want %s", s.reason, got, s.endpoints)
			}
			if got := w.taints("node-2"); got != s.taints {
				t.Errorf("%s: taints are %q, want %q", s.reason, got, s.taints)
			}
		}
	})
}

func TestFullOutageEvictsNobody(t *testing.T) {
	inWorld(t, 2, nil, func(w *world) {
		create(w, webDeployment(2, "v1"))
		w.Tick(5 * time.Second)
		before := list[*corev1.Pod](w, "default", "app=web")
		w.Machines.Kill("node-1", true)
		w.Machines.Kill("node-2", true)
		w.Tick(time.Hour)
		for _, p := range before {
			if get[*corev1.Pod](w, "default", p.Name).DeletionTimestamp != nil {
				t.Errorf("pod %s is evicted although no node is left", p.Name)
			}
		}
		if got := w.taints("node-1"); got != "node.kubernetes.io/unreachable:NoSchedule" {
			t.Errorf("taints are %q", got)
		}
		w.Machines.Kill("node-1", false)
		w.Machines.Kill("node-2", false)
		w.Tick(30 * time.Second)
		if got := w.where(); got != "map[node-1:1 node-2:1]" {
			t.Errorf("after the outage pods are at %s, want where they were", got)
		}
	})
}

// Conformance "Taint, Pod Eviction on taint removal" and "Pod Eviction, Toleration limits".
func TestTaintEviction(t *testing.T) {
	inWorld(t, 1, nil, func(w *world) {
		tolerating := func(name string, seconds ...int64) {
			p := &corev1.Pod{ObjectMeta: meta("default", name), Spec: template("v1").Spec}
			for _, s := range seconds {
				p.Spec.Tolerations = append(p.Spec.Tolerations, corev1.Toleration{Key: "e2e", Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute, TolerationSeconds: &s})
			}
			create(w, p)
		}
		tolerating("never")
		tolerating("short", 5)
		tolerating("long", 60)
		w.Tick(5 * time.Second)
		left := func() string {
			var names []string
			for _, p := range list[*corev1.Pod](w, "default", "") {
				names = append(names, p.Name)
			}
			return strings.Join(names, " ")
		}
		taint := func(on bool) {
			edit(w, "", "node-1", func(n *corev1.Node) {
				n.Spec.Taints = nil
				if on {
					n.Spec.Taints = []corev1.Taint{{Key: "e2e", Value: "x", Effect: corev1.TaintEffectNoExecute}}
				}
			})
		}
		taint(true)
		w.Tick(100 * time.Millisecond)
		if p := get[*corev1.Pod](w, "default", "never"); p.DeletionTimestamp == nil || api.PodCondition(p, corev1.DisruptionTarget).Reason != "DeletionByTaintManager" {
			t.Errorf("a pod that does not tolerate the taint: %v, %v", p.DeletionTimestamp, p.Status.Conditions)
		}
		w.Tick(4 * time.Second)
		if got := left(); got != "long short" {
			t.Errorf("after 4s %q are left", got)
		}
		w.Tick(3 * time.Second)
		if got := left(); got != "long" {
			t.Errorf("after 7s %q are left", got)
		}
		taint(false)
		w.Tick(time.Hour)
		if got := left(); got != "long" {
			t.Errorf("the taint was removed in time, but %q are left", got)
		}
		if said := w.Events("TaintManagerEviction"); len(said) == 0 {
			t.Log("no eviction events are left after an hour, which is their time to live")
		}
	})
}

func TestPodsOfVanishedNodes(t *testing.T) {
	inWorld(t, 2, nil, func(w *world) {
		create(w, webDeployment(2, "v1"))
		w.Tick(5 * time.Second)
		w.Machines.Kill("node-1", true)
		remove[*corev1.Node](w, "", "node-1", "Background")
		w.Tick(30 * time.Second)
		if got := len(list[*corev1.Pod](w, "default", "app=web")); got != 2 {
			t.Errorf("%d pods while the node may come back, want 2", got)
		}
		w.Tick(20 * time.Second)
		if got := w.where(); got != "map[node-2:2]" {
			t.Errorf("pods are at %s, want both on the node that is left", got)
		}
	})
}

func TestUnscheduledTerminatingPodGoes(t *testing.T) {
	inWorld(t, 0, nil, func(w *world) {
		p := &corev1.Pod{ObjectMeta: meta("default", "lost"), Spec: template("v1").Spec}
		p.Finalizers = []string{"example.com/hold"}
		create(w, p)
		remove[*corev1.Pod](w, "default", "lost", "Background")
		w.Tick(time.Second)
		if !exists[*corev1.Pod](w, "default", "lost") {
			t.Fatal("a finalizer was not waited for")
		}
		edit(w, "default", "lost", func(p *corev1.Pod) { p.Finalizers = nil })
		w.Tick(time.Second)
		if exists[*corev1.Pod](w, "default", "lost") {
			t.Error("the pod stays for ever")
		}
	})
}

func TestCordonAndPressure(t *testing.T) {
	inWorld(t, 1, nil, func(w *world) {
		edit(w, "", "node-1", func(n *corev1.Node) { n.Spec.Unschedulable = true })
		w.Tick(time.Second) // the taint is written: no more conflicts
		n := get[*corev1.Node](w, "", "node-1").DeepCopy()
		api.NodeCondition(n, corev1.NodeDiskPressure).Status = corev1.ConditionTrue
		if _, err := client.Of[*corev1.Node](w.Admin).UpdateStatus(t.Context(), n); err != nil {
			t.Fatal(err)
		}
		w.Tick(time.Second)
		if got := w.taints("node-1"); got != "node.kubernetes.io/unschedulable:NoSchedule node.kubernetes.io/disk-pressure:NoSchedule" &&
			got != "node.kubernetes.io/disk-pressure:NoSchedule node.kubernetes.io/unschedulable:NoSchedule" {
			t.Errorf("taints are %q", got)
		}
		edit(w, "", "node-1", func(n *corev1.Node) { n.Spec.Unschedulable = false })
		w.Tick(time.Second)
		if got := w.taints("node-1"); got != "node.kubernetes.io/disk-pressure:NoSchedule" {
			t.Errorf("taints are %q after uncordon", got)
		}
	})
}

// marked lists the nodes whose pods are to go.
func (w *world) marked() (names []string) {
	for _, n := range list[*corev1.Node](w, "", "") {
		for _, t := range n.Spec.Taints {
			if t.Key == corev1.TaintNodeUnreachable && t.Effect == corev1.TaintEffectNoExecute {
				names = append(names, n.Name)
			}
		}
	}
	return names
}

// Nodes of a zone are marked for eviction one after the other; when all of a zone are silent, none is.
func TestZones(t *testing.T) {
	inWorld(t, 7, nil, func(w *world) {
		for i := 1; i <= 7; i++ {
			zone := "a"
			if i > 4 {
				zone = "b"
			}
			edit(w, "", fmt.Sprint("node-", i), func(n *corev1.Node) {
				if n.Labels == nil {
					n.Labels = map[string]string{}
				}
				n.Labels[corev1.LabelTopologyZone] = zone
			})
		}
		w.Tick(5 * time.Second)
		w.Machines.Kill("node-1", true)
		w.Machines.Kill("node-2", true)
		w.Tick(36 * time.Second) // both were last heard of 40 to 46 seconds ago
		if got := w.marked(); len(got) != 1 {
			t.Errorf("at first %v are marked, want one", got)
		}
		w.Tick(10 * time.Second)
		if got := w.marked(); len(got) != 2 {
			t.Errorf("ten seconds later %v are marked, want two", got)
		}
		w.Machines.Kill("node-3", true)
		w.Machines.Kill("node-4", true)
		w.Tick(time.Minute)
		if got := w.marked(); len(got) != 0 {
			t.Errorf("the whole zone is silent, and %v are marked", got)
		}
		w.Machines.Kill("node-5", true)
		w.Tick(time.Minute)
		if got := w.marked(); len(got) != 1 || got[0] != "node-5" {
			t.Errorf("of the other zone %v are marked, want node-5", got)
		}
	})
}
