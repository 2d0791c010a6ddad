package framework

// CycleState carries what a plugin has worked out about one pod from one extension point
// to the next. It has one writer (PreFilter, PreScore) and then only readers.
type CycleState struct {
	values     map[string]any
	skipFilter map[string]bool
	skipScore  map[string]bool
}

// NewCycleState returns an empty state.
func NewCycleState() *CycleState {
	return &CycleState{values: make(map[string]any), skipFilter: make(map[string]bool), skipScore: make(map[string]bool)}
}

// Put keeps v under a plugin's name.
func (s *CycleState) Put(plugin string, v any) { s.values[plugin] = v }

// Value returns what a plugin kept, or T's zero value.
func Value[T any](s *CycleState, plugin string) T {
	v, _ := s.values[plugin].(T)
	return v
}
