package why

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/miniorch/miniorch/pkg/explain"
)

func TestWrite(t *testing.T) {
	a := &explain.Answer{
		State: "It fits nowhere.",
		Table: &explain.Table{Nodes: []explain.Row{
			{Node: "n1", Refused: []explain.Refusal{{Plugin: "NodeResourcesFit", Reasons: []string{"Insufficient cpu", "Insufficient memory"}}, {Plugin: "NodePorts", Reasons: []string{"taken"}}}},
			{Node: "n2", Refused: []explain.Refusal{{Plugin: "TaintToleration", Reasons: []string{"tainted"}}}},
		}, Preemption: []explain.Candidate{{Node: "n1", Victims: []string{"d/low"}, Violations: 1}}},
		Changes: []string{"node n1 +1cpu"},
		IfChanged: &explain.Table{Node: "n1", Scores: []explain.Score{{Plugin: "A", Weight: 2}}, Nodes: []explain.Row{
			{Node: "n0", Scores: []int64{3}, Total: 6}, {Node: "n1", Scores: []int64{50}, Total: 100},
		}},
		Fixes: []explain.Fix{{Change: "untaint n2 k", Node: "n2"}, {Change: "evict d/low", Node: "n1"}},
	}
	want := `d/p: It fits nowhere.

NODE  REFUSED BY        WHY
n1    NodeResourcesFit  Insufficient cpu, Insufficient memory
      NodePorts         taken
n2    TaintToleration   tainted

ROOM COULD BE MADE ON  BY EVICTING  AGAINST BUDGETS
n1                     d/low        1

If node n1 +1cpu: it would go to node n1

NODE  TOTAL  A×2
n1 *  100    50
n0    6      3

It would fit on node n2 after: untaint n2 k
  or on node n1 after: evict d/low
`
	var b strings.Builder
	if err := (&options{fix: true}).write(&b, "d/p", a); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Error(diff)
	}
	b.Reset()
	many := &explain.Answer{Table: &explain.Table{}}
	for range 30 {
		many.Table.Nodes = append(many.Table.Nodes, explain.Row{Node: "n", Refused: []explain.Refusal{{Plugin: "A"}}})
	}
	if err := (&options{fix: true}).write(&b, "d/p", many); err != nil || !strings.Contains(b.String(), "… and 10 more (--all)") || !strings.Contains(b.String(), "No single change") {
		t.Errorf("%v\n%s", err, b.String())
	}
}

func TestPodName(t *testing.T) {
	for arg, want := range map[string]string{"pod/a": "a", "pods/a": "a", "po/a": "a", "a": "a", "svc/a": "", "pod/": ""} {
		if got, err := podName(arg); got != want || (err == nil) != (want != "") {
			t.Errorf("%s: %q, %v", arg, got, err)
		}
	}
}
