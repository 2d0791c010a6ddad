package why

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/miniorch/miniorch/pkg/explain"
)

// write prints an answer for people: who refused, how the others scored, and what was asked
// beside.
func (o *options) write(out io.Writer, pod string, a *explain.Answer) error {
	limit := 20
	if o.all {
		limit = math.MaxInt
	}
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintf(w, "%s: %s\n", pod, a.State)
	for _, t := range a.Attempts {
		fmt.Fprintf(w, "  %s  %s\n", t.Time.Format(time.RFC3339), t.Result)
	}
	if a.Table != nil {
		writeTable(w, a.Table, limit)
	}
	if a.IfChanged != nil {
		fmt.Fprintf(w, "\nIf %s: %s\n", strings.Join(a.Changes, ", and "), verdict(a.IfChanged))
		writeTable(w, a.IfChanged, limit)
	}
	for i, f := range a.Fixes {
		if i == 0 {
			fmt.Fprintf(w, "\nIt would fit on node %s after: %s\n", f.Node, f.Change)
			continue
		}
		fmt.Fprintf(w, "  or on node %s after: %s\n", f.Node, f.Change)
	}
	if o.fix && len(a.Fixes) == 0 && a.Table != nil && a.Table.Node == "" {
		fmt.Fprintf(w, "\nNo single change that was tried lets it fit.\n")
	}
	return w.Flush()
}

func verdict(t *explain.Table) string {
	if t.Node != "" {
		return "it would go to node " + t.Node
	}
	return "it would still fit nowhere"
}

func writeTable(w io.Writer, t *explain.Table, limit int) {
	refused, passed := split(t)
	if len(refused) > 0 {
		fmt.Fprintf(w, "\nNODE\tREFUSED BY\tWHY\n")
		for _, r := range refused[:min(len(refused), limit)] {
			for i, by := range r.Refused {
				node := r.Node
				if i > 0 {
					node = "" // others would refuse it too
				}
				fmt.Fprintf(w, "%s\t%s\t%s\n", node, by.Plugin, strings.Join(by.Reasons, ", "))
			}
		}
		more(w, len(refused)-limit)
	}
	if len(passed) > 0 {
		fmt.Fprintf(w, "\nNODE\tTOTAL")
		for _, s := range t.Scores {
			fmt.Fprintf(w, "\t%s×%d", s.Plugin, s.Weight)
		}
		fmt.Fprintln(w)
		for _, r := range passed[:min(len(passed), limit)] {
			mark := ""
			if r.Node == t.Node {
				mark = " *"
			}
			fmt.Fprintf(w, "%s%s\t%d", r.Node, mark, r.Total)
			for _, s := range r.Scores {
				fmt.Fprintf(w, "\t%d", s)
			}
			fmt.Fprintln(w)
		}
		more(w, len(passed)-limit)
	}
	if len(t.Preemption) > 0 {
		fmt.Fprintf(w, "\nROOM COULD BE MADE ON\tBY EVICTING\tAGAINST BUDGETS\n")
		for _, c := range t.Preemption[:min(len(t.Preemption), limit)] {
			fmt.Fprintf(w, "%s\t%s\t%d\n", c.Node, strings.Join(c.Victims, ", "), c.Violations)
		}
	}
}

// split returns the rows that were refused, and the others with the best first.
func split(t *explain.Table) (refused, passed []explain.Row) {
	for _, r := range t.Nodes {
		if len(r.Refused) > 0 {
			refused = append(refused, r)
		} else {
			passed = append(passed, r)
		}
	}
	slices.SortStableFunc(passed, func(a, b explain.Row) int {
		if (a.Node == t.Node) != (b.Node == t.Node) {
			if a.Node == t.Node {
				return -1
			}
			return 1
		}
		return int(b.Total - a.Total)
	})
	return refused, passed
}

func more(w io.Writer, n int) {
	if n > 0 {
		fmt.Fprintf(w, "… and %d more (--all)\n", n)
	}
}
