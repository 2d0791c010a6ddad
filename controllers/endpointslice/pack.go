package endpointslice

import (
	"cmp"
	"slices"
	"strings"

	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/types"
)

// draft is the set of slices as the plan will leave it.
type draft struct {
	observed
	wanted []*group
	kept   []*packed // existing slices that stay
	fresh  []*discoveryv1.EndpointSlice
}

// packed is an existing slice with what will be in it.
type packed struct {
	old       *discoveryv1.EndpointSlice
	ports     []discoveryv1.EndpointPort
	endpoints []discoveryv1.Endpoint
	changed   bool
}

func (p *packed) room() int { return maxPerSlice - len(p.endpoints) }

// family packs all groups of one address family into slices.
func (d *draft) family(family discoveryv1.AddressType) {
	var left []*packed // slices whose ports nobody wants any more, or that were emptied
	var rest []*group  // what did not fit into existing slices
	existing := d.existing(family)
	for _, g := range d.wanted {
		if g.family != family {
			continue
		}
		var mine []*packed
		mine, existing = take(existing, g.ports)
		kept, emptied, more := fill(g, mine)
		d.kept = append(d.kept, kept...)
		left = append(left, emptied...)
		if len(more) > 0 {
			rest = append(rest, &group{family: family, ports: g.ports, endpoints: more})
		}
	}
	left = append(existing, left...)
	left = d.spill(family, rest, left)
	if !d.has(family) {
		d.placeholder(family, left)
	}
}

// existing returns the slices of the family, those of other families are of no use to it.
func (d *draft) existing(family discoveryv1.AddressType) []*packed {
	var out []*packed
	for _, s := range d.Slices {
		if s.AddressType == family && s.DeletionTimestamp == nil {
			out = append(out, &packed{old: s, ports: s.Ports})
		}
	}
	slices.SortFunc(out, func(a, b *packed) int { return strings.Compare(a.old.Name, b.old.Name) })
	return out
}

// take parts the slices with these ports from the others.
func take(all []*packed, ports []discoveryv1.EndpointPort) (mine, others []*packed) {
	for _, p := range all {
		if len(p.old.Endpoints) > 0 && samePorts(p.old.Ports, ports) {
			mine = append(mine, p)
		} else {
			others = append(others, p)
		}
	}
	return mine, others
}

// id tells endpoints apart.
type id struct {
	pod     types.UID
	address string
}

func idOf(e discoveryv1.Endpoint) id {
	k := id{}
	if e.TargetRef != nil {
		k.pod = e.TargetRef.UID
	}
	if len(e.Addresses) > 0 {
		k.address = e.Addresses[0]
	}
	return k
}

// fill leaves every endpoint in the slice that it is in, and puts new ones where something
// changes anyway, else where all of them fit. more is what is left over.
func fill(g *group, mine []*packed) (kept, emptied []*packed, more []discoveryv1.Endpoint) {
	want := make(map[id]discoveryv1.Endpoint, len(g.endpoints))
	for _, e := range g.endpoints {
		want[idOf(e)] = e
	}
	for _, p := range mine {
		for _, was := range p.old.Endpoints {
			now, ok := want[idOf(was)]
			if !ok || p.room() == 0 {
				p.changed = true
				continue
			}
			delete(want, idOf(was))
			p.endpoints = append(p.endpoints, now)
			p.changed = p.changed || !equality.Semantic.DeepEqual(was, now)
		}
	}
	for _, e := range g.endpoints {
		if _, ok := want[idOf(e)]; ok {
			delete(want, idOf(e)) // a pod that is listed twice stands once
			more = append(more, e)
		}
	}
	for _, p := range mine {
		if p.changed {
			more = p.add(more)
		}
	}
	if best := tightest(mine, len(more)); best != nil && len(more) > 0 {
		more = best.add(more)
	}
	for _, p := range mine {
		if len(p.endpoints) > 0 {
			kept = append(kept, p)
		} else {
			emptied = append(emptied, p)
		}
	}
	return kept, emptied, more
}

// add puts as many endpoints into p as fit, and returns the others.
func (p *packed) add(more []discoveryv1.Endpoint) []discoveryv1.Endpoint {
	n := min(p.room(), len(more))
	if n > 0 {
		p.changed = true
		p.endpoints = append(p.endpoints, more[:n]...)
	}
	return more[n:]
}

// tightest returns the slice with the least room that still takes n endpoints.
func tightest(all []*packed, n int) *packed {
	var fitting []*packed
	for _, p := range all {
		if p.room() >= n {
			fitting = append(fitting, p)
		}
	}
	if len(fitting) == 0 {
		return nil
	}
	return slices.MinFunc(fitting, func(a, b *packed) int { return cmp.Compare(a.room(), b.room()) })
}

// spill puts what is left into slices that are free, then into new ones. It returns the slices
// that stay free.
func (d *draft) spill(family discoveryv1.AddressType, rest []*group, free []*packed) []*packed {
	for _, g := range rest {
		for chunk := range slices.Chunk(g.endpoints, maxPerSlice) {
			if len(free) > 0 {
				p := free[0]
				free = free[1:]
				p.ports, p.endpoints, p.changed = g.ports, chunk, true
				d.kept = append(d.kept, p)
				continue
			}
			s := newSlice(d.Service, family, g.ports)
			s.Endpoints = chunk
			d.fresh = append(d.fresh, s)
		}
	}
	return free
}

func (d *draft) has(family discoveryv1.AddressType) bool {
	return slices.ContainsFunc(d.kept, func(p *packed) bool { return p.old.AddressType == family }) ||
		slices.ContainsFunc(d.fresh, func(s *discoveryv1.EndpointSlice) bool { return s.AddressType == family })
}

// placeholder leaves a Service without pods one empty slice, which says that there is nothing.
func (d *draft) placeholder(family discoveryv1.AddressType, free []*packed) {
	if len(free) == 0 {
		d.fresh = append(d.fresh, newSlice(d.Service, family, []discoveryv1.EndpointPort{}))
		return
	}
	p := free[0]
	p.changed = len(p.old.Endpoints) > 0
	p.endpoints = nil
	d.kept = append(d.kept, p)
}

// finish compares the draft with what exists.
func (d *draft) finish() Plan {
	var plan Plan
	after := map[id]bool{}
	for _, s := range d.Slices {
		at := slices.IndexFunc(d.kept, func(p *packed) bool { return p.old == s })
		if at < 0 {
			if s.DeletionTimestamp == nil {
				plan.Delete = append(plan.Delete, s)
			}
			continue
		}
		if now := d.kept[at].render(d); now != nil {
			plan.Update = append(plan.Update, Change{s, now})
		}
		mark(after, d.kept[at].endpoints)
	}
	for _, s := range d.fresh {
		mark(after, s.Endpoints)
	}
	plan.Create = d.fresh
	plan.Lost, plan.Had = lost(d.Slices, after)
	return plan
}

// render returns the slice as it shall be, nil if it is so already.
func (p *packed) render(d *draft) *discoveryv1.EndpointSlice {
	s := p.old.DeepCopy()
	brand(s, d.Service)
	if p.changed {
		s.Ports, s.Endpoints = p.ports, append([]discoveryv1.Endpoint{}, p.endpoints...)
	}
	if equality.Semantic.DeepEqual(s, p.old) {
		return nil
	}
	return s
}

func mark(set map[id]bool, endpoints []discoveryv1.Endpoint) {
	for _, e := range endpoints {
		set[idOf(e)] = true
	}
}

func lost(all []*discoveryv1.EndpointSlice, after map[id]bool) (n, had int) {
	for _, s := range all {
		for _, e := range s.Endpoints {
			had++
			if !after[idOf(e)] {
				n++
			}
		}
	}
	return n, had
}
