package framework

import (
	"slices"
	"strings"
)

// Topology counts pods by domain: by the value that a label (the topology key) has on their
// node. It follows the cluster change by change, so that a decision looks numbers up instead
// of walking over all pods. It has one user at a time.
type Topology struct {
	nodes    Snapshot
	domains  map[string]*Domains // by topology key; those in use
	counters map[string]*Counter
	uses     uint64 // counts calls of Count: the clock of Counter.used
	standing standingTerms
}

// countersKept is how many different questions are remembered. More are answered too, by
// counting anew what has not been asked for longest.
const countersKept = 512

// NewTopology returns a topology without nodes.
func NewTopology() *Topology {
	return &Topology{domains: make(map[string]*Domains), counters: make(map[string]*Counter), standing: newStandingTerms()}
}

// Nodes returns the snapshot that the counts are about.
func (t *Topology) Nodes() Snapshot { return t.nodes }

// Follow brings all counts up to a later snapshot.
func (t *Topology) Follow(nodes Snapshot) {
	if t.overgrown() {
		*t = *NewTopology()
	}
	before := t.nodes
	t.nodes = nodes
	nodes.ChangedSince(before, t.changed)
	if !nodes.SameNodes(before) {
		for _, d := range t.domains {
			d.arrange(nodes)
		}
	}
	if nodes.Namespaces != before.Namespaces {
		t.forget(func(c *Counter) bool { return c.byNamespaceLabels })
	}
	if len(t.counters) > countersKept {
		t.forgetOldest()
	}
}

// overgrown reports whether most domains that are remembered are of nodes long gone.
func (t *Topology) overgrown() bool {
	for _, d := range t.domains {
		if len(d.ids) > 2*t.nodes.Len()+1000 {
			return true
		}
	}
	return false
}

// Swap replaces the node at i for a moment: what if it were like this? The caller swaps back.
func (t *Topology) Swap(i int, node *NodeInfo) (before *NodeInfo) {
	before = t.nodes.At(i)
	t.nodes = t.nodes.With(i, node)
	t.changed(i, before, node)
	return before
}

func (t *Topology) changed(i int, was, now *NodeInfo) {
	gone, came := difference(was, now)
	for _, c := range t.counters {
		c.changed(was, now, gone, came)
	}
	t.standing.changed(t, was, now, gone, came)
	if i >= 0 && !sameNode(was, now) {
		for _, d := range t.domains {
			d.place(i, now)
		}
	}
}

// difference returns the pods that left and that came, when a node was and is now. All did if
// the node itself is another version: it may be in another domain.
func difference(was, now *NodeInfo) (gone, came []*PodInfo) {
	if was != nil {
		gone = was.Pods
	}
	if now != nil {
		came = now.Pods
	}
	if !sameNode(was, now) {
		return gone, came
	}
	same := 0
	for same < len(gone) && same < len(came) && gone[same] == came[same] {
		same++
	}
	gone, came = gone[same:], came[same:]
	for len(gone) > 0 && len(came) > 0 && gone[len(gone)-1] == came[len(came)-1] {
		gone, came = gone[:len(gone)-1], came[:len(came)-1]
	}
	return gone, came
}

// sameNode reports whether only the pods of a node changed.
func sameNode(was, now *NodeInfo) bool {
	return was != nil && now != nil && was.Node == now.Node
}

// Domains is how one topology key divides the nodes.
type Domains struct {
	key   string
	ids   map[string]int32 // by value of the label
	of    []int32          // by position of the node; -1: it has no such label
	users int              // counters and standing terms
}

// Of returns the domain of the node at i, -1 if it is in none.
func (d *Domains) Of(i int) int32 { return d.of[i] }

// Len returns how many domains there are or have been: all are below.
func (d *Domains) Len() int { return len(d.ids) }

// id returns the domain of a node.
func (d *Domains) id(n *NodeInfo) int32 {
	value, ok := n.Node.Labels[d.key]
	if !ok {
		return -1
	}
	id, ok := d.ids[value]
	if !ok {
		id = int32(len(d.ids))
		d.ids[value] = id
	}
	return id
}

func (d *Domains) place(i int, n *NodeInfo) {
	if i < len(d.of) { // else arrange comes after
		d.of[i] = d.id(n)
	}
}

// arrange works out the domains of all nodes anew.
func (d *Domains) arrange(nodes Snapshot) {
	d.of = slices.Grow(d.of[:0], nodes.Len())[:nodes.Len()]
	for i := range d.of {
		d.of[i] = d.id(nodes.At(i))
	}
}

// use returns how a topology key divides the nodes. Whoever keeps it calls release later.
func (t *Topology) use(key string) *Domains {
	d := t.domains[key]
	if d == nil {
		d = &Domains{key: strings.Clone(key), ids: make(map[string]int32)}
		d.arrange(t.nodes)
		t.domains[key] = d
	}
	d.users++
	return d
}

func (t *Topology) release(d *Domains) {
	if d.users--; d.users == 0 {
		delete(t.domains, d.key)
	}
}
