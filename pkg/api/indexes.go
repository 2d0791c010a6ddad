package api

import (
	"fmt"
	"slices"
	"sort"
	"strconv"
	"strings"
)

// Indexes is a set of completion indexes of a Job, as its status and its success policy write it:
// "1,3-5,7". The zero value is the empty set. A value is never changed.
type Indexes struct {
	spans []span // in order, with gaps between them
	count int
}

// span is from first to last, both included.
type span struct{ first, last int }

// IndexesOf returns the set of these indexes, in any order.
func IndexesOf(all ...int) Indexes {
	sorted := slices.Clone(all)
	slices.Sort(sorted)
	var s Indexes
	for _, i := range sorted {
		s.add(span{i, i})
	}
	return s
}

// ParseIndexes reads a set whose indexes are all below limit, in increasing order.
func ParseIndexes(text string, limit int) (Indexes, error) {
	var s Indexes
	if text == "" {
		return s, nil
	}
	next := 0
	for part := range strings.SplitSeq(text, ",") {
		one, err := parseSpan(part, limit)
		if err != nil {
			return Indexes{}, err
		}
		if one.first < next {
			return Indexes{}, fmt.Errorf("non-increasing order, previous: %d, current: %d", next-1, one.first)
		}
		next = one.last + 1
		s.add(one)
	}
	return s, nil
}

func parseSpan(text string, limit int) (span, error) {
	from, to, isRange := strings.Cut(text, "-")
	first, err := parseIndex(from, limit)
	if err != nil || !isRange {
		return span{first, first}, err
	}
	last, err := parseIndex(to, limit)
	if err == nil && last <= first {
		err = fmt.Errorf("non-increasing order, previous: %d, current: %d", first, last)
	}
	return span{first, last}, err
}

func parseIndex(text string, limit int) (int, error) {
	n, err := strconv.Atoi(text)
	switch {
	case err != nil || n < 0:
		return 0, fmt.Errorf("cannot convert string to integer for index: %q", text)
	case n >= limit:
		return 0, fmt.Errorf("too large index: %q", text)
	}
	return n, nil
}

// add appends a span that does not begin before the last one.
func (s *Indexes) add(one span) {
	if n := len(s.spans); n > 0 && one.first <= s.spans[n-1].last+1 {
		end := &s.spans[n-1].last
		s.count += max(0, one.last-*end)
		*end = max(*end, one.last)
		return
	}
	s.spans = append(s.spans, one)
	s.count += one.last - one.first + 1
}

// Len returns how many there are.
func (s Indexes) Len() int { return s.count }

// Has tells whether i is among them.
func (s Indexes) Has(i int) bool {
	at := sort.Search(len(s.spans), func(n int) bool { return s.spans[n].last >= i })
	return at < len(s.spans) && s.spans[at].first <= i
}

// Union returns the indexes of both.
func (s Indexes) Union(t Indexes) Indexes {
	all := slices.Concat(s.spans, t.spans)
	slices.SortFunc(all, func(a, b span) int { return a.first - b.first })
	var u Indexes
	for _, one := range all {
		u.add(one)
	}
	return u
}

// Intersect returns the indexes that are in both.
func (s Indexes) Intersect(t Indexes) Indexes {
	var both Indexes
	for i, j := 0, 0; i < len(s.spans) && j < len(t.spans); {
		a, b := s.spans[i], t.spans[j]
		if first, last := max(a.first, b.first), min(a.last, b.last); first <= last {
			both.add(span{first, last})
		}
		if a.last < b.last {
			i++
		} else {
			j++
		}
	}
	return both
}

// Below returns the indexes that are smaller than limit.
func (s Indexes) Below(limit int) Indexes {
	if limit <= 0 {
		return Indexes{}
	}
	return s.Intersect(Indexes{spans: []span{{0, limit - 1}}})
}

// String writes the set: three or more in a row become a range.
func (s Indexes) String() string {
	var out []string
	for _, one := range s.spans {
		switch one.last - one.first {
		case 0:
			out = append(out, strconv.Itoa(one.first))
		case 1:
			out = append(out, strconv.Itoa(one.first), strconv.Itoa(one.last))
		default:
			out = append(out, fmt.Sprintf("%d-%d", one.first, one.last))
		}
	}
	return strings.Join(out, ",")
}
