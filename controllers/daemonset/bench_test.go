package daemonset

import (
	"fmt"
	"strings"
	"testing"
)

// BenchmarkDecide looks at a set on 5,000 nodes in the middle of a rollout.
func BenchmarkDecide(b *testing.B) {
	var text []string
	for i := range 5000 {
		text = append(text, fmt.Sprintf("n%d r%d", i, 1+i%2))
	}
	o := scene(newSet("2"), strings.Join(text, ","))
	for b.Loop() {
		if len(decide(o).Delete) != 1 {
			b.Fatal("one pod should go")
		}
	}
}
