package names

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/types"
)

func TestNamesNeverRepeatAndInvert(t *testing.T) {
	for _, uid := range []types.UID{"", "a", "3b1c9b5e-0d5f-4d53-b1b0-0c6b0f2f1c11", "9f"} {
		s, seen := For("web-", uid), map[string]bool{}
		for n := range uint64(5000) {
			name := s.Name(n)
			if seen[name] {
				t.Fatalf("uid %q: name %q of %d repeats", uid, name, n)
			}
			seen[name] = true
			if got, ok := s.Ordinal(name); !ok || got != n {
				t.Fatalf("uid %q: Ordinal(%q) = %d, %v; want %d", uid, name, got, ok, n)
			}
		}
	}
}

func TestOwnersDiffer(t *testing.T) {
	if a, b := For("web-", "a").Name(0), For("web-", "b").Name(0); a == b {
		t.Errorf("two owners give their first child the name %q", a)
	}
}

func TestOrdinalRefusesForeignNames(t *testing.T) {
	s := For("web-", "a")
	for _, name := range []string{"web-", "web-bcdf", "web-bcdfgh", "web-aaaaa", "other-bcdfg", "web-bcd-f"} {
		if n, ok := s.Ordinal(name); ok {
			t.Errorf("Ordinal(%q) = %d; want none", name, n)
		}
	}
}

func TestLongPrefixLeavesRoom(t *testing.T) {
	if name := For(strings.Repeat("x", 80)+"-", "a").Name(7); len(name) != 63 {
		t.Errorf("name has %d characters, want 63", len(name))
	}
}

func TestNextAndTake(t *testing.T) {
	s := For("web-", "a")
	if got := s.Next([]string{s.Name(3), s.Name(1), "adopted"}, 0); got != 4 {
		t.Errorf("Next = %d, want 4", got)
	}
	if got := s.Next(nil, 9); got != 9 {
		t.Errorf("Next = %d, want the floor 9", got)
	}
	got := s.Take(0, 2, func(n string) bool { return n == s.Name(1) })
	if len(got) != 2 || got[0] != s.Name(0) || got[1] != s.Name(2) {
		t.Errorf("Take = %v, want names 0 and 2", got)
	}
}
