package names

import (
	"fmt"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
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

func TestRegister(t *testing.T) {
	s := For("web-", "a")
	next := func(r *Register) string {
		var out []string
		for _, name := range r.Snapshot(s, "a").Next(3) {
			n, _ := s.Ordinal(name)
			out = append(out, fmt.Sprint(n))
		}
		return strings.Join(out, " ")
	}
	cases := []struct {
		reason  string
		initial []uint64
		later   []uint64
		want    string
	}{
		{"from the start", nil, nil, "0 1 2"},
		{"after what was there before us", []uint64{4, 2}, nil, "5 6 7"},
		{"gaps first: what was made with 3 may not be seen yet", nil, []uint64{0, 3}, "1 2 4"},
		{"names of the dead are not given again", nil, []uint64{0, 1, 2}, "3 4 5"},
		{"gaps above what was there before us", []uint64{4}, []uint64{7, 5, 1}, "6 8 9"},
	}
	for _, tc := range cases {
		t.Run(tc.reason, func(t *testing.T) {
			var r Register
			for _, n := range tc.initial {
				r.See(s, "a", s.Name(n), true)
			}
			for _, n := range tc.later {
				r.See(s, "a", s.Name(n), false)
			}
			r.See(s, "a", "adopted", false)
			if got := next(&r); got != tc.want {
				t.Errorf("next are %s, want %s", got, tc.want)
			}
			r.Forget("a")
			if got := next(&r); got != "0 1 2" {
				t.Errorf("next are %s of a forgotten owner", got)
			}
		})
	}
}

func TestFree(t *testing.T) {
	got := Free([]string{"a", "b", "c", "d"}, 2, []*metav1.ObjectMeta{{Name: "b"}, {Name: "z"}})
	if len(got) != 2 || got[0] != "a" || got[1] != "c" {
		t.Errorf("Free = %v, want a and c", got)
	}
}
