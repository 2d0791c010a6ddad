package api

import "testing"

func TestIndexesAreWrittenShortAndReadBack(t *testing.T) {
	for _, c := range []struct {
		reason string
		in     []int
		want   string
		count  int
	}{
		{"none", nil, "", 0},
		{"one", []int{7}, "7", 1},
		{"two in a row are no range", []int{2, 1}, "1,2", 2},
		{"the example of the API documentation", []int{7, 3, 4, 5, 1}, "1,3-5,7", 5},
		{"twice is once", []int{0, 0, 1, 2, 2}, "0-2", 3},
	} {
		s := IndexesOf(c.in...)
		if s.String() != c.want || s.Len() != c.count {
			t.Errorf("%s: %q with %d, want %q with %d", c.reason, s, s.Len(), c.want, c.count)
		}
		back, err := ParseIndexes(c.want, 100)
		if err != nil || back.String() != c.want || back.Len() != c.count {
			t.Errorf("%s: reading %q: %q, %v", c.reason, c.want, back, err)
		}
	}
}

func TestIndexesThatAreWrong(t *testing.T) {
	for text, reason := range map[string]string{
		"1,": "a comma needs a successor", "a": "not a number", "-1": "negative", "3-1": "backwards", "5,3": "not in order",
		"1,1": "twice", "10": "out of range", "1-10": "ends out of range", "2-2": "one is no range",
	} {
		if s, err := ParseIndexes(text, 10); err == nil {
			t.Errorf("%q was read as %q: %s", text, s, reason)
		}
	}
}

func TestIndexesAsSets(t *testing.T) {
	a, b := IndexesOf(0, 1, 2, 8, 9), IndexesOf(2, 3, 5, 9)
	for _, c := range []struct{ name, got, want string }{
		{"union", a.Union(b).String(), "0-3,5,8,9"},
		{"intersection", a.Intersect(b).String(), "2,9"},
		{"below", a.Below(9).String(), "0-2,8"},
		{"below nothing", a.Below(0).String(), ""},
	} {
		if c.got != c.want {
			t.Errorf("%s is %q, want %q", c.name, c.got, c.want)
		}
	}
	for i, want := range map[int]bool{0: true, 2: true, 3: false, 7: false, 9: true, 10: false} {
		if a.Has(i) != want {
			t.Errorf("Has(%d) = %v", i, !want)
		}
	}
}
