package framework

// Wide is a plugin whose answer about a node depends on what runs on other nodes too, such as
// how many pods of a kind each zone has. It is asked for every pod, after the plugins that
// look at one node at a time, and counts nothing itself: the Topology does, for all pods.
type Wide interface {
	Plugin
	// Survey returns what the plugin knows about the nodes for this pod; nil if it has nothing
	// to say. It is good as long as the topology does not change.
	Survey(t *Topology, pod *PodInfo) (Survey, *Status)
}

// Survey answers about nodes by their position, in constant time. Either half may be absent.
type Survey struct {
	// Filter says whether the pod can run on the node at i (nil), or why not.
	Filter func(i int) *Status
	// Rank fills raw with the raw scores of the nodes that passed, place by place.
	Rank func(passed []int32, raw []int64)
	// Normalizer brings raw into [0, MaxScore]; nil: it is there already.
	Normalizer Normalizer
}

// Empty reports whether there is nothing to ask.
func (s *Survey) Empty() bool { return s.Filter == nil && s.Rank == nil }

// WideScore is a Rank that counts in a decision.
type WideScore struct {
	Survey
	Name   string
	Weight int64
}
