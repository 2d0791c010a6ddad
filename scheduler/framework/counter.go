package framework

import "slices"

// Counted is a question to the Topology: how many of these pods are in each domain?
type Counted struct {
	Key         string // equal questions have equal keys
	TopologyKey string
	Pods        func(*PodInfo) bool
	Nodes       func(*NodeInfo) bool // whose pods and domains count; nil: all
	// ByNamespaceLabels says that Pods reads the labels of namespaces.
	ByNamespaceLabels bool
}

// Counter is the answer, kept current by the Topology.
type Counter struct {
	*Domains
	Total             int // pods in all domains
	pods              func(*PodInfo) bool
	nodes             func(*NodeInfo) bool
	byNamespaceLabels bool
	count, hosts      []int32 // by domain: pods, and nodes that count
	used              uint64
}

// Count answers a question, as of now.
func (t *Topology) Count(q Counted) *Counter {
	t.uses++
	key := q.TopologyKey + "\x00" + q.Key
	c := t.counters[key]
	if c == nil {
		c = &Counter{Domains: t.use(q.TopologyKey), pods: q.Pods, nodes: q.Nodes, byNamespaceLabels: q.ByNamespaceLabels}
		for i := range t.nodes.Len() {
			n := t.nodes.At(i)
			c.changed(nil, n, nil, n.Pods)
		}
		t.counters[key] = c
	}
	c.used = t.uses
	return c
}

// CountTerms counts, by the domains of topologyKey, the pods that all terms are about.
func (t *Topology) CountTerms(topologyKey string, terms ...PodTerm) *Counter {
	key, byLabels := "", false
	for i := range terms {
		key += terms[i].key + "\x00"
		byLabels = byLabels || terms[i].anywhere != nil
	}
	return t.Count(Counted{Key: key, TopologyKey: topologyKey, ByNamespaceLabels: byLabels, Pods: func(p *PodInfo) bool {
		for i := range terms {
			if !terms[i].Matches(p, t.nodes.Namespaces) {
				return false
			}
		}
		return true
	}})
}

// At returns the number of pods in the domain of the node at i; ok is false if it is in none.
func (c *Counter) At(i int) (n int32, ok bool) {
	d := c.of[i]
	if d < 0 {
		return 0, false
	}
	return c.In(d), true
}

// In returns the number of pods in a domain.
func (c *Counter) In(domain int32) int32 {
	if int(domain) >= len(c.count) {
		return 0
	}
	return c.count[domain]
}

// Counts reports whether a domain has a node that counts.
func (c *Counter) Counts(domain int32) bool {
	return int(domain) < len(c.hosts) && c.hosts[domain] > 0
}

// Lowest returns the smallest number of pods that a domain has, and how many domains there are.
func (c *Counter) Lowest() (lowest int32, domains int) {
	for d, hosts := range c.hosts {
		if hosts == 0 {
			continue
		}
		if n := c.count[d]; domains == 0 || n < lowest {
			lowest = n
		}
		domains++
	}
	return lowest, domains
}

func (c *Counter) changed(was, now *NodeInfo, gone, came []*PodInfo) {
	hosts := !sameNode(was, now)
	c.add(was, gone, -1, hosts)
	c.add(now, came, 1, hosts)
}

// add counts pods of a node, and the node itself if asked to.
func (c *Counter) add(n *NodeInfo, pods []*PodInfo, sign int32, host bool) {
	if n == nil || !host && len(pods) == 0 || c.nodes != nil && !c.nodes(n) {
		return
	}
	d := c.id(n)
	if d < 0 {
		return
	}
	if more := int(d) + 1 - len(c.count); more > 0 {
		c.count = append(c.count, make([]int32, more)...)
		c.hosts = append(c.hosts, make([]int32, more)...)
	}
	if host {
		c.hosts[d] += sign
	}
	for _, p := range pods {
		if c.pods(p) {
			c.count[d] += sign
			c.Total += int(sign)
		}
	}
}

func (t *Topology) forget(which func(*Counter) bool) {
	for key, c := range t.counters {
		if which(c) {
			t.release(c.Domains)
			delete(t.counters, key)
		}
	}
}

// forgetOldest makes room: the older half goes.
func (t *Topology) forgetOldest() {
	var used []uint64
	for _, c := range t.counters {
		used = append(used, c.used)
	}
	slices.Sort(used)
	limit := used[len(used)-countersKept/2]
	t.forget(func(c *Counter) bool { return c.used < limit })
}
