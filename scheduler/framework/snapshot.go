package framework

import (
	"slices"
	"strings"
)

// chunkSize is how many nodes a change of one of them copies. The list of chunks is copied
// as well, so something like the root of the largest number of nodes is best.
const chunkSize = 64

// Snapshot is all nodes at one moment, ordered by name. It is an immutable value: With
// returns another one, which shares all but one chunk with the first.
type Snapshot struct {
	chunks [][]*NodeInfo
	set    *nodeSet
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

// ChangedSince calls visit with the position of every node that is not as it was in an older
// snapshot, and reports whether both hold the same set of nodes; if not, it visits nothing.
func (s Snapshot) ChangedSince(old Snapshot, visit func(i int)) (sameNodes bool) {
	if s.set != old.set {
		return false
	}
	for c := range s.chunks {
		if &s.chunks[c][0] == &old.chunks[c][0] {
			continue
		}
		for i, n := range s.chunks[c] {
			if n != old.chunks[c][i] {
				visit(c*chunkSize + i)
			}
		}
	}
	return true
}
