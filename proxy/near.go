package proxy

import (
	"slices"

	discoveryv1 "k8s.io/api/discovery/v1"
)

// Place is where a node is: what endpoints may be meant for.
type Place struct {
	Node string
	Zone string // empty: in none
}

// hints are the nodes and zones that an endpoint is meant for.
type hints struct {
	nodes, zones []string
}

func hintsOf(e discoveryv1.Endpoint) (h hints) {
	if e.Hints == nil {
		return h
	}
	for _, n := range e.Hints.ForNodes {
		h.nodes = append(h.nodes, n.Name)
	}
	for _, z := range e.Hints.ForZones {
		h.zones = append(h.zones, z.Name)
	}
	return h
}

// near leaves of the endpoints those that are meant for clients at a place: for its node, or
// else for its zone. Where some ready endpoint is meant for nobody in particular the hints are
// still being written, and where none is meant for this place it is better served from afar
// than not at all: then all stay.
func near(all []candidate, at Place) []candidate {
	if some := meantFor(all, at.Node, func(h hints) []string { return h.nodes }); len(some) > 0 {
		return some
	}
	if some := meantFor(all, at.Zone, func(h hints) []string { return h.zones }); len(some) > 0 {
		return some
	}
	return all
}

func meantFor(all []candidate, name string, of func(hints) []string) (some []candidate) {
	for _, c := range all {
		if !c.ready {
			continue
		}
		names := of(c.hints)
		if len(names) == 0 || name == "" {
			return nil
		}
		if slices.Contains(names, name) {
			some = append(some, c)
		}
	}
	return some
}
