package lifecycle

import (
	"fmt"
	"strings"
)

// Diagram draws the Table in the order of a pod's life: every state, why a pod is in it, and
// the states that may follow. The README holds a copy; a test keeps the two the same.
func Diagram() string {
	order := []State{Preparing, Initializing, Running, Stopping, Cleaning, Finished, Leaving, Gone}
	var out strings.Builder
	for _, s := range order {
		for rank, r := range Table {
			if r.State != s {
				continue
			}
			next := make([]string, len(r.Next))
			for i, n := range r.Next {
				next[i] = string(n)
			}
			follow := "(end)"
			if len(next) > 0 {
				follow = strings.Join(next, " | ")
			}
			fmt.Fprintf(&out, "%-12s ──▶ %s\n", s, follow)
			for line := range strings.Lines(wrap(fmt.Sprintf("rule %d: %s", rank+1, r.Why), 84)) {
				fmt.Fprintf(&out, "    │ %s", line)
			}
		}
	}
	return out.String()
}

// wrap breaks text into lines of at most width.
func wrap(text string, width int) string {
	var out strings.Builder
	used := 0
	for _, word := range strings.Fields(text) {
		if used > 0 && used+1+len(word) > width {
			out.WriteString("\n")
			used = 0
		}
		if used > 0 {
			out.WriteString(" ")
			used++
		}
		out.WriteString(word)
		used += len(word)
	}
	return out.String() + "\n"
}
