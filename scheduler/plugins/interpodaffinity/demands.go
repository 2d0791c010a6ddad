package interpodaffinity

import (
	"github.com/miniorch/miniorch/scheduler/framework"
)

// demands is what must be so for a pod to run on a node.
type demands struct {
	friends []*framework.Counter // per required affinity term: pods that all these terms are about
	founder bool                 // nobody is such a pod yet, but this one is: it may go anywhere
	foes    []*framework.Counter // per required anti-affinity term
	foeOf   []closed             // by topology key
}

// closed are the domains of a topology key that pods which are there keep the pod out of.
type closed struct {
	*framework.Domains
	to []bool // by domain
}

func demandsOf(t *framework.Topology, pod *framework.PodInfo) *demands {
	d := &demands{}
	t.StandingTerms(pod, func(s *framework.StandingTerm) {
		if s.Kind == framework.StandingAntiAffinity && len(s.ByDomain) > 0 {
			d.close(s)
		}
	})
	if pod.Terms == nil {
		return d
	}
	for i := range pod.Terms.AntiAffinity {
		term := &pod.Terms.AntiAffinity[i]
		d.foes = append(d.foes, t.CountTerms(term.TopologyKey, *term))
	}
	total := 0
	for i := range pod.Terms.Affinity {
		c := t.CountTerms(pod.Terms.Affinity[i].TopologyKey, pod.Terms.Affinity...)
		d.friends = append(d.friends, c)
		total += c.Total
	}
	d.founder = total == 0 && matchesAll(pod, t.Nodes().Namespaces)
	return d
}

// matchesAll reports whether a pod is one of those that it demands to be near.
func matchesAll(pod *framework.PodInfo, n *framework.Namespaces) bool {
	for i := range pod.Terms.Affinity {
		if !pod.Terms.Affinity[i].Matches(pod, n) {
			return false
		}
	}
	return true
}

// close closes the domains where pods with the term are.
func (d *demands) close(s *framework.StandingTerm) {
	at := -1
	for k := range d.foeOf {
		if d.foeOf[k].Domains == s.Domains {
			at = k
		}
	}
	if at < 0 {
		at = len(d.foeOf)
		d.foeOf = append(d.foeOf, closed{s.Domains, make([]bool, s.Domains.Len())})
	}
	for domain := range s.ByDomain {
		d.foeOf[at].to[domain] = true
	}
}

func (d *demands) empty() bool { return len(d.friends)+len(d.foes)+len(d.foeOf) == 0 }

// filter refuses the node at i if it is not near all friends, or near a foe.
func (d *demands) filter(i int) *framework.Status {
	alone := false
	for _, c := range d.friends {
		n, ok := c.At(i)
		if !ok {
			return noFriend
		}
		alone = alone || n == 0
	}
	if alone && !d.founder {
		return noFriend
	}
	for _, c := range d.foes {
		if n, _ := c.At(i); n > 0 {
			return foe
		}
	}
	for k := range d.foeOf {
		if domain := d.foeOf[k].Of(i); domain >= 0 && d.foeOf[k].to[domain] {
			return foeOf
		}
	}
	return nil
}
