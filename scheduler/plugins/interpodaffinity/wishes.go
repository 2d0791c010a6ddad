package interpodaffinity

import (
	"github.com/miniorch/miniorch/scheduler/framework"
)

// wishes are the preferences that count for a pod, its own and those of pods on nodes.
type wishes []wish

// wish adds weight for every pod in a node's domain.
type wish struct {
	*framework.Domains
	weight int64
	pods   func(domain int32) int32
}

func (p Plugin) wishes(t *framework.Topology, pod *framework.PodInfo) wishes {
	var w wishes
	if pod.Terms != nil {
		w = own(w, t, pod.Terms.PreferredAffinity, 1)
		w = own(w, t, pod.Terms.PreferredAntiAffinity, -1)
	}
	if p.args.IgnorePreferredTermsOfExistingPods && len(w) == 0 {
		return nil
	}
	t.StandingTerms(pod, func(s *framework.StandingTerm) {
		if weight := p.weightOf(s); weight != 0 && len(s.ByDomain) > 0 {
			w = append(w, wish{s.Domains, weight, func(domain int32) int32 { return s.ByDomain[domain] }})
		}
	})
	return w
}

func own(w wishes, t *framework.Topology, terms []framework.PodTerm, sign int64) wishes {
	for i := range terms {
		if c := t.CountTerms(terms[i].TopologyKey, terms[i]); c.Total > 0 {
			w = append(w, wish{c.Domains, sign * terms[i].Weight, c.In})
		}
	}
	return w
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

// rank adds up the weights of the wishes that each node meets.
func (w wishes) rank(passed []int32, raw []int64) {
	clear(raw)
	for k := range w {
		for at, i := range passed {
			if d := w[k].Of(int(i)); d >= 0 {
				raw[at] += w[k].weight * int64(w[k].pods(d))
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
