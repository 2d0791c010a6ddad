package interpodaffinity

import (
	"github.com/miniorch/miniorch/scheduler/framework"
)

// wishes are the preferences that count for a pod, its own and those of pods on nodes: for each
// topology key, what each of its domains is worth.
type wishes []wish

type wish struct {
	*framework.Domains
	worth []int64 // by domain
}

func (p Plugin) wishes(t *framework.Topology, pod *framework.PodInfo) wishes {
	var w wishes
	if pod.Terms != nil {
		w = w.own(t, pod.Terms.PreferredAffinity, 1)
		w = w.own(t, pod.Terms.PreferredAntiAffinity, -1)
	}
	if p.args.IgnorePreferredTermsOfExistingPods && len(w) == 0 {
		return nil
	}
	t.StandingTerms(pod, func(s *framework.StandingTerm) {
		weight := p.weightOf(s)
		if weight == 0 || len(s.ByDomain) == 0 {
			return
		}
		var worth []int64
		w, worth = w.in(s.Domains)
		for domain, n := range s.ByDomain {
			worth[domain] += weight * int64(n)
		}
	})
	return w
}

// own adds the pod's own terms.
func (w wishes) own(t *framework.Topology, terms []framework.PodTerm, sign int64) wishes {
	for i := range terms {
		c := t.CountTerms(terms[i].TopologyKey, terms[i])
		if c.Total == 0 {
			continue
		}
		var worth []int64
		w, worth = w.in(c.Domains)
		for domain := range worth {
			worth[domain] += sign * terms[i].Weight * int64(c.In(int32(domain)))
		}
	}
	return w
}

// in returns what the domains of a topology key are worth, to be added to.
func (w wishes) in(d *framework.Domains) (wishes, []int64) {
	for k := range w {
		if w[k].Domains == d {
			return w, w[k].worth
		}
	}
	w = append(w, wish{d, make([]int64, d.Len())})
	return w, w[len(w)-1].worth
}

// weightOf says how much a term of pods on nodes counts.
func (p Plugin) weightOf(s *framework.StandingTerm) int64 {
	switch s.Kind {
	case framework.StandingAffinity:
		return int64(p.args.HardPodAffinityWeight)
	case framework.StandingPreferredAffinity:
		return s.Weight
	case framework.StandingPreferredAntiAffinity:
		return -s.Weight
	}
	return 0
}

// rank adds up what each node's domains are worth.
func (w wishes) rank(passed []int32, raw []int64) {
	clear(raw)
	for k := range w {
		for at, i := range passed {
			if d := w[k].Of(int(i)); d >= 0 {
				raw[at] += w[k].worth[d]
			}
		}
	}
}

// between scales scores so that the lowest becomes 0 and the highest MaxScore.
type between struct{}

// Normalize implements framework.Normalizer.
func (between) Normalize(score, lowest, highest int64) int64 {
	if highest == lowest {
		return 0
	}
	return framework.MaxScore * (score - lowest) / (highest - lowest)
}
