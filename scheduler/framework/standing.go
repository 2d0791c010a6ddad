package framework

import (
	"slices"
	"strconv"
)

// TermKind says what a pod that is on a node demands or prefers of pods that come later.
type TermKind int

// The kinds of terms of pods that are on nodes.
const (
	StandingAffinity TermKind = iota
	StandingAntiAffinity
	StandingPreferredAffinity
	StandingPreferredAntiAffinity
)

// StandingTerm is a term that pods on nodes have, with the domains they are in.
type StandingTerm struct {
	*PodTerm
	Kind     TermKind
	Domains  *Domains
	ByDomain map[int32]int32 // how many pods with the term are there; never 0
	pods     int             // with the term, in a domain or not
}

// standingTerms are the distinct terms of all pods on nodes: a thousand replicas have one.
type standingTerms struct {
	byKey       map[string]*StandingTerm
	byNamespace map[string][]*StandingTerm // by each namespace that the term names
	anywhere    []*StandingTerm            // that select namespaces by their labels
}

func newStandingTerms() standingTerms {
	return standingTerms{byKey: make(map[string]*StandingTerm), byNamespace: make(map[string][]*StandingTerm)}
}

// StandingTerms calls visit for every term of pods on nodes that is about the pod.
func (t *Topology) StandingTerms(pod *PodInfo, visit func(*StandingTerm)) {
	for _, list := range [][]*StandingTerm{t.standing.byNamespace[pod.Pod.Namespace], t.standing.anywhere} {
		for _, s := range list {
			if s.Matches(pod, t.nodes.Namespaces) {
				visit(s)
			}
		}
	}
}

func (s *standingTerms) changed(t *Topology, was, now *NodeInfo, gone, came []*PodInfo) {
	for _, p := range came { // first, so that a term which stays is not forgotten meanwhile
		s.each(t, now, p, 1)
	}
	for _, p := range gone {
		s.each(t, was, p, -1)
	}
}

func (s *standingTerms) each(t *Topology, n *NodeInfo, p *PodInfo, sign int32) {
	if p.Terms == nil {
		return
	}
	for kind, terms := range [][]PodTerm{p.Terms.Affinity, p.Terms.AntiAffinity, p.Terms.PreferredAffinity, p.Terms.PreferredAntiAffinity} {
		for i := range terms {
			s.add(t, TermKind(kind), &terms[i], n, sign)
		}
	}
}

func (s *standingTerms) add(t *Topology, kind TermKind, term *PodTerm, n *NodeInfo, sign int32) {
	key := strconv.Itoa(int(kind)) + "|" + strconv.FormatInt(term.Weight, 10) + "|" + term.key
	st := s.byKey[key]
	if st == nil {
		st = &StandingTerm{PodTerm: term, Kind: kind, Domains: t.use(term.TopologyKey), ByDomain: make(map[int32]int32)}
		s.enter(key, st)
	}
	if d := st.Domains.id(n); d >= 0 {
		if st.ByDomain[d] += sign; st.ByDomain[d] == 0 {
			delete(st.ByDomain, d)
		}
	}
	if st.pods += int(sign); st.pods == 0 {
		t.release(st.Domains)
		s.leave(key, st)
	}
}

func (s *standingTerms) enter(key string, st *StandingTerm) {
	s.byKey[key] = st
	if st.anywhere != nil {
		s.anywhere = append(s.anywhere, st)
		return
	}
	for _, ns := range st.namespaces {
		s.byNamespace[ns] = append(s.byNamespace[ns], st)
	}
}

func (s *standingTerms) leave(key string, st *StandingTerm) {
	delete(s.byKey, key)
	isIt := func(x *StandingTerm) bool { return x == st }
	s.anywhere = slices.DeleteFunc(s.anywhere, isIt)
	for _, ns := range st.namespaces {
		if left := slices.DeleteFunc(s.byNamespace[ns], isIt); len(left) > 0 {
			s.byNamespace[ns] = left
		} else {
			delete(s.byNamespace, ns)
		}
	}
}
