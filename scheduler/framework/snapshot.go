package framework

import (
	"iter"
	"slices"
	"strings"
)

// chunkSize is how many nodes a change of one of them copies. The list of chunks is copied
// as well, so something like the root of the largest number of nodes is best.
const chunkSize = 64

// Snapshot is all nodes at one moment, ordered by name. It is an immutable value: With
// returns another one, which shares all but one chunk with the first.
type Snapshot struct {
	Namespaces *Namespaces
	chunks     [][]*NodeInfo
	set        *nodeSet
}

// nodeSet is which nodes there are; snapshots of the same nodes share it.
type nodeSet struct{ position map[string]int }

// NewSnapshot returns a snapshot of nodes, which it takes over.
func NewSnapshot(nodes []*NodeInfo) Snapshot {
	slices.SortFunc(nodes, func(a, b *NodeInfo) int { return strings.Compare(a.Name, b.Name) })
	s := Snapshot{set: &nodeSet{position: make(map[string]int, len(nodes))}}
	for i, n := range nodes {
		s.set.position[n.Name] = i
	}
	s.chunks = slices.Collect(slices.Chunk(nodes, chunkSize))
	return s
}

// Len returns the number of nodes.
func (s Snapshot) Len() int {
	if s.set == nil {
		return 0
	}
	return len(s.set.position)
}

// At returns the i-th node.
func (s Snapshot) At(i int) *NodeInfo { return s.chunks[i/chunkSize][i%chunkSize] }

// All goes over all nodes with their positions.
func (s Snapshot) All() iter.Seq2[int, *NodeInfo] {
	return func(yield func(int, *NodeInfo) bool) {
		i := 0
		for _, chunk := range s.chunks {
			for _, n := range chunk {
				if !yield(i, n) {
					return
				}
				i++
			}
		}
	}
}

// Get returns a node by name, nil if there is none.
func (s Snapshot) Get(name string) *NodeInfo {
	if i := s.Position(name); i >= 0 {
		return s.At(i)
	}
	return nil
}

// Position returns the place of a node, -1 if there is none.
func (s Snapshot) Position(name string) int {
	if s.set != nil {
		if i, ok := s.set.position[name]; ok {
			return i
		}
	}
	return -1
}

// With returns the snapshot with another version of the node at i.
func (s Snapshot) With(i int, n *NodeInfo) Snapshot {
	s.chunks = slices.Clone(s.chunks)
	c := slices.Clone(s.chunks[i/chunkSize])
	c[i%chunkSize] = n
	s.chunks[i/chunkSize] = c
	return s
}

// SameNodes reports whether both snapshots hold nodes of the same names, at the same positions.
func (s Snapshot) SameNodes(old Snapshot) bool { return s.set == old.set }

// ChangedSince calls visit for every node that is not as it was in an older snapshot. The
// position is the one in s; was is nil for a node that came, and now for one that went, which
// has no position (-1).
func (s Snapshot) ChangedSince(old Snapshot, visit func(i int, was, now *NodeInfo)) {
	if !s.SameNodes(old) {
		s.merge(old, visit)
		return
	}
	for c := range s.chunks {
		if &s.chunks[c][0] == &old.chunks[c][0] {
			continue
		}
		for i, n := range s.chunks[c] {
			if n != old.chunks[c][i] {
				visit(c*chunkSize+i, old.chunks[c][i], n)
			}
		}
	}
}

// merge walks two snapshots of different nodes by name.
func (s Snapshot) merge(old Snapshot, visit func(i int, was, now *NodeInfo)) {
	i, j := 0, 0
	for i < s.Len() || j < old.Len() {
		switch order := compareAt(s, i, old, j); {
		case order < 0:
			visit(i, nil, s.At(i))
			i++
		case order > 0:
			visit(-1, old.At(j), nil)
			j++
		default:
			if s.At(i) != old.At(j) {
				visit(i, old.At(j), s.At(i))
			}
			i, j = i+1, j+1
		}
	}
}

// compareAt orders the nodes at two positions by name; what is past the end comes last.
func compareAt(s Snapshot, i int, old Snapshot, j int) int {
	switch {
	case i >= s.Len():
		return 1
	case j >= old.Len():
		return -1
	}
	return strings.Compare(s.At(i).Name, old.At(j).Name)
}
