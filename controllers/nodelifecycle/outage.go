package nodelifecycle

import "time"

// outage is the brake on evictions. When many nodes of a zone fall silent at once, the likelier reason
// is that we, or the network between, are broken, and not they: evicting their pods would
// make it worse.
type outage int

const (
	// calm: nodes fail one by one. Evictions go on, one node after the other.
	calm outage = iota
	// slow: as partial, in a zone so large that this happens by itself. Evictions go on, slowly.
	slow
	// partial: more than two nodes and at least 55 % of the zone are not ready. No node is newly
	// marked for eviction, evictions that run go on.
	partial
	// full: no node of the zone is ready, and it has more than two; or none of the whole cluster. No eviction at all.
	full
)

const (
	partialShare = 0.55
	// fewNodes do not make a zone: when they fail, that is nothing that happened to a zone.
	fewNodes = 2
	// largeZone is from how many nodes on a zone is never without broken ones.
	largeZone = 50
)

// every is how long after one node of a zone the next one may be marked for eviction.
func (o outage) every() time.Duration {
	if o == slow {
		return 100 * time.Second
	}
	return 10 * time.Second
}

// census counts nodes.
type census struct{ nodes, sick int }

// assess judges a zone, given the whole cluster.
func assess(zone, all census) outage {
	switch {
	case all.nodes > 0 && all.sick == all.nodes, zone.nodes > fewNodes && zone.sick == zone.nodes:
		return full
	case zone.sick > fewNodes && float64(zone.sick) >= partialShare*float64(zone.nodes):
		if zone.nodes > largeZone {
			return slow
		}
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
func (o outage) String() string { return [...]string{"calm", "slow", "partial", "full"}[o] }
