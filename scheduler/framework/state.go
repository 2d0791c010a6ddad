package framework

import "maps"

// CycleState carries what a plugin has worked out about one pod from one extension point
// to the next. PreFilter and PreScore write it; Filter and Score only read it, because pods of
// one signature share it; from Reserve on each pod has a copy of its own.
type CycleState struct {
	values map[string]any
	// What PreFilter and PreScore did not skip; nil before they ran.
	filters []Filter
	scores  []WeightedScore
	only    map[string]bool // nodes that alone are worth asking about; nil: all
	others  *Status         // what is to be said of all others
}

// NewCycleState returns an empty state.
func NewCycleState() *CycleState {
	return &CycleState{values: make(map[string]any)}
}

// Clone returns a copy that can be written to without changing s.
func (s *CycleState) Clone() *CycleState {
	c := *s
	c.values = maps.Clone(s.values)
	return &c
}

// Restrict says, from PreFilter, that only the nodes of these names are worth asking about: of
// all others refusal is true.
func (s *CycleState) Restrict(names []string, refusal *Status) {
	only := make(map[string]bool, len(names))
	for _, n := range names {
		if s.only == nil || s.only[n] {
			only[n] = true
		}
	}
	s.only, s.others = only, refusal
}

// Restricted returns the nodes that alone are worth asking about, with what is to be said of
// all others; nil if all are.
func (s *CycleState) Restricted() (only map[string]bool, others *Status) { return s.only, s.others }

// Put keeps v under a plugin's name.
func (s *CycleState) Put(plugin string, v any) { s.values[plugin] = v }

// Value returns what a plugin kept, or T's zero value.
func Value[T any](s *CycleState, plugin string) T {
	v, _ := s.values[plugin].(T)
	return v
}
