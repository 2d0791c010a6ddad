package scheduler

import (
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/miniorch/miniorch/pkg/explain"
	"github.com/miniorch/miniorch/scheduler/framework/sample"
)

func changes(t *testing.T, texts ...string) (out []Change) {
	t.Helper()
	for _, text := range texts {
		c, err := ParseChange(text, "default")
		if err != nil {
			t.Fatal(err)
		}
		if c.String() != text {
			t.Errorf("%q prints as %q", text, c)
		}
		out = append(out, c)
	}
	return out
}

func (w *world) why(name string, fix bool, ifs ...string) *explain.Answer {
	w.Helper()
	w.get(name) // waits until nothing moves
	a, err := w.scheduler.Why("default", name, changes(w.T, ifs...), fix)
	if err != nil {
		w.Fatal(err)
	}
	return a
}

// refusals prints who refuses which node: "n1:NodeResourcesFit,NodePorts n2:".
func refusals(x *explain.Table) string {
	var rows []string
	for _, r := range x.Nodes {
		var by []string
		for _, p := range r.Refused {
			by = append(by, p.Plugin)
		}
		rows = append(rows, r.Node+":"+strings.Join(by, ","))
	}
	return strings.Join(rows, " ")
}

// lab makes three nodes that a pod may be kept off for different reasons.
func (w *world) lab() {
	w.node(sample.Node("n1", "cpu", "2"))
	w.node(sample.With(sample.Node("n2", "cpu", "1"), func(n *corev1.Node) { n.Spec.Unschedulable = true }))
	w.node(sample.With(sample.Node("n3", "cpu", "1"), func(n *corev1.Node) {
		n.Spec.Taints = []corev1.Taint{{Key: "dedicated", Value: "x", Effect: corev1.TaintEffectNoSchedule}}
	}))
}

func TestWhy(t *testing.T) {
	inWorld(t, func(w *world) {
		w.lab()
		w.pod(sample.Pod("filler", "cpu", "1500m"))
		w.expectOn("filler", "n1")
		w.pod(sample.Pod("p", "cpu", "900m"))
		a := w.why("p", true)
		if got := refusals(a.Table); got != "n1:NodeResourcesFit n2:NodeUnschedulable n3:TaintToleration" {
			t.Errorf("refused by %s", got)
		}
		if !strings.HasPrefix(a.State, "It fits nowhere") || len(a.Attempts) != 1 || !strings.HasPrefix(a.Attempts[0].Result, "leave unscheduled") {
			t.Errorf("state %q, attempts %v", a.State, a.Attempts)
		}
		want := "[{uncordon n2 n2} {untaint n3 dedicated n3} {tolerate dedicated n3} {evict default/filler n1} {node n1 +400m cpu n1}]"
		if got := fmt.Sprint(a.Fixes); got != want {
			t.Errorf("fixes:\n%s\nwant\n%s", got, want)
		}
		placed := w.why("filler", true)
		if placed.State != "It runs on node n1." || placed.Table.Node != "n1" || placed.Fixes != nil || len(placed.Table.Scores) == 0 {
			t.Errorf("of a placed pod: %+v", placed)
		}
	})
}

func TestWhyIf(t *testing.T) {
	tests := []struct {
		name, reason string
		ifs          []string
		node         string // empty: still none
	}{
		{"more CPU", "n1 has 500m left", []string{"node n1 +1cpu"}, "n1"},
		{"too little", "it needs 400m more", []string{"node n1 +300m cpu"}, ""},
		{"uncordon", "n2 is empty", []string{"uncordon n2"}, "n2"},
		{"untaint", "n3 is empty", []string{"untaint n3 dedicated"}, "n3"},
		{"tolerate", "the same, from the other side", []string{"tolerate dedicated"}, "n3"},
		{"evict", "the filler's room is enough", []string{"evict filler"}, "n1"},
		{"request", "it needs no more than is left", []string{"request cpu=500m"}, "n1"},
		{"two", "one does not help, the other does", []string{"cordon n1", "untaint n3 dedicated"}, "n3"},
		{"undone", "n2 is not there", []string{"uncordon n2", "without n2"}, ""},
		{"label", "it wants no label", []string{"label n1 a=b"}, ""},
	}
	inWorld(t, func(w *world) {
		w.lab()
		w.pod(sample.Pod("filler", "cpu", "1500m"))
		w.expectOn("filler", "n1")
		w.pod(sample.Pod("p", "cpu", "900m"))
		for _, tt := range tests {
			a := w.why("p", false, tt.ifs...)
			if a.IfChanged.Node != tt.node || len(a.Changes) != len(tt.ifs) {
				t.Errorf("%s: node %q, want %q: %s\n%s", tt.name, a.IfChanged.Node, tt.node, tt.reason, refusals(a.IfChanged))
			}
			if a.Table.Node != "" {
				t.Errorf("%s: what is imagined became real", tt.name)
			}
		}
		w.expectOn("p", "")
	})
}

func TestWhyStates(t *testing.T) {
	inWorld(t, func(w *world) {
		w.pod(sample.With(sample.Pod("gated"), func(p *corev1.Pod) { p.Spec.SchedulingGates = []corev1.PodSchedulingGate{{Name: "example.com/g"}} }))
		if a := w.why("gated", true); !strings.Contains(a.State, "non-empty scheduling gates") || a.Table != nil {
			t.Errorf("gated: %+v", a)
		}
		w.pod(sample.Pod("early"))
		if a := w.why("early", true); len(a.Table.Nodes) != 0 || a.Table.Refusal != "no nodes available to schedule pods" {
			t.Errorf("no nodes: %+v", a.Table)
		}
		if _, err := w.scheduler.Why("default", "nobody", nil, false); err != errNoPod {
			t.Errorf("nobody: %v", err)
		}
		w.classes()
		w.node(sample.Node("n1", "cpu", "1"))
		time.Sleep(time.Minute)
		w.pod(classed(sample.Pod("low", "cpu", "800m"), "low"))
		w.expectOn("low", "n1")
		w.pod(classed(sample.Pod("high", "cpu", "800m"), "high"))
		a := w.why("high", false)
		if a.State != "It waits for room that is being made on node n1." || len(a.Table.Preemption) != 1 || fmt.Sprint(a.Table.Preemption[0].Victims) != "[default/low]" {
			t.Errorf("preempting: %q, %+v", a.State, a.Table.Preemption)
		}
	})
}

func TestChangesAreRefused(t *testing.T) {
	for text, want := range map[string]string{
		"":                   "an empty change",
		"explode n1":         "not known",
		"node n1 1cpu":       "does not begin with a +",
		"node n1 +manycpu":   "",
		"node n1 +1 2 3 cpu": "wrong number of words",
		"label n1 a":         "no KEY=VALUE",
		"request cpu":        "no RESOURCE=QUANTITY",
		"untaint n1":         "wrong number of words",
	} {
		if _, err := ParseChange(text, "default"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
	inWorld(t, func(w *world) {
		w.lab()
		w.pod(sample.Pod("p", "cpu", "9"))
		w.get("p")
		for text, want := range map[string]string{
			"uncordon n9": `there is no node "n9"`, "untaint n1 x": "node n1 has no taint x", "evict q": "pod default/q is on no node", "without n9": "there is no node",
		} {
			if _, err := w.scheduler.Why("default", "p", changes(t, text), false); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%q: %v, want %q", text, err, want)
			}
		}
	})
}
