package nodelifecycle

// outage is the brake on evictions. When many nodes fall silent at once, the likelier reason
// is that we, or the network between, are broken, and not they: evicting their pods would
// make it worse.
type outage int

const (
	// calm: nodes fail one by one, evictions go on.
	calm outage = iota
	// partial: more than two nodes and at least 55 % of all are not ready. No node is newly
	// marked for eviction, evictions that run go on.
	partial
	// full: no node is ready. No eviction at all.
	full
)

const partialShare = 0.55

func assess(nodes, unhealthy int) outage {
	switch {
	case nodes > 0 && unhealthy == nodes:
		return full
	case unhealthy > 2 && float64(unhealthy) >= partialShare*float64(nodes):
		return partial
	}
	return calm
}

// allows tells whether a NoExecute taint is to be on a node, given that its state calls for
// it and whether it is there.
func (o outage) allows(called, there bool) bool {
	switch o {
	case full:
		return false
	case partial:
		return called && there
	}
	return called
}

// String names the outage.
func (o outage) String() string { return [...]string{"calm", "partial", "full"}[o] }
