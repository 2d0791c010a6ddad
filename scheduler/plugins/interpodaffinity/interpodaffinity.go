// Package interpodaffinity places pods near or far from other pods: as they demand or prefer
// themselves, and as pods that are already on nodes demand or prefer of them. Near means on
// nodes with the same value of a label, the topology key.
package interpodaffinity

import (
	"github.com/miniorch/miniorch/scheduler/framework"
)

const name = "InterPodAffinity"

var (
	noFriend = framework.RefuseForGood("node(s) didn't match pod affinity rules").By(name)
	foe      = framework.Refuse("node(s) didn't match pod anti-affinity rules").By(name)
	foeOf    = framework.Refuse("node(s) didn't satisfy existing pods anti-affinity rules").By(name)
)

// Args tunes the plugin.
type Args struct {
	// HardPodAffinityWeight is how much it counts that a pod which is on a node demands to be
	// near the pod that is scheduled; 0 to 100.
	HardPodAffinityWeight int32
	// IgnorePreferredTermsOfExistingPods leaves out what pods on nodes prefer and demand, for
	// pods that prefer nothing themselves.
	IgnorePreferredTermsOfExistingPods bool
}

// Plugin is InterPodAffinity.
type Plugin struct{ args Args }

// New returns the plugin.
func New(args Args) Plugin { return Plugin{args: args} }

// Name returns the plugin's name.
func (Plugin) Name() string { return name }

// Survey looks up what the pod's terms and those of other pods say about each domain.
func (p Plugin) Survey(t *framework.Topology, pod *framework.PodInfo) (framework.Survey, *framework.Status) {
	d := demandsOf(t, pod)
	w := p.wishes(t, pod)
	var s framework.Survey
	if !d.empty() {
		s.Filter = d.filter
	}
	if len(w) > 0 {
		s.Rank, s.Normalizer = w.rank, between{}
	}
	return s, nil
}

// Helps reports whether an event may help a pod that was refused for its company.
func (Plugin) Helps(pod *framework.PodInfo, e framework.Event) bool {
	if e.Kind != framework.PodEvent {
		return e.Kind == framework.NodeEvent
	}
	return e.NewPod != nil && isFriend(pod, e.NewPod) || e.OldPod != nil && (repels(pod, e.OldPod) || repels(e.OldPod, pod))
}

// isFriend reports whether the pod demands to be near other. Labels of namespaces are not
// known here: in doubt it is one.
func isFriend(pod, other *framework.PodInfo) bool {
	return pod.Terms != nil && anyMatches(pod.Terms.Affinity, other)
}

// repels reports whether a demands to be far from b.
func repels(a, b *framework.PodInfo) bool {
	return a.Terms != nil && anyMatches(a.Terms.AntiAffinity, b)
}

func anyMatches(terms []framework.PodTerm, pod *framework.PodInfo) bool {
	for i := range terms {
		if terms[i].MayMatch(pod) {
			return true
		}
	}
	return false
}
