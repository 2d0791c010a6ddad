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

// Put keeps v under a plugin's name.
func (s *CycleState) Put(plugin string, v any) { s.values[plugin] = v }

// Value returns what a plugin kept, or T's zero value.
func Value[T any](s *CycleState, plugin string) T {
	v, _ := s.values[plugin].(T)
	return v
}
