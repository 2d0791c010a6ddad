package scheduler

import (
	"context"
	"errors"

	"github.com/miniorch/miniorch/scheduler/framework"
)

// chore is the work by which room is made for a pod.
type chore struct {
	*waiter
	*framework.Nomination
}

// errMoved says that a pod is another than when others were asked about it.
var errMoved = errors.New("the pod has changed")

// makeRoom asks the PostFilter plugins. It returns where there will be room, or why there will be
// none. errMoved means that the pod has been taken care of.
func (s *Scheduler) makeRoom(ctx context.Context, w *waiter, d *Decision) (*framework.Nomination, *framework.Status) {
	if d.nodes.Len() == 0 {
		return nil, nil
	}
	n, st := w.fw.PostFilter(&framework.Attempt{
		Pod: w.PodInfo, Nominated: s.cache.nominated[w.Pod.UID].node, Nodes: d.nodes, Refusals: d.refusals, Rand: s.cfg.Rand,
		Try: s.mind.trial(w.fw, w.PodInfo, d.nodes), Consult: s.consult(ctx, w),
	})
	if n != nil {
		d.preemption = n.Candidates
	}
	if !st.OK() || n == nil || n.Work == nil { // without work, what was begun goes on
		return n, st
	}
	select {
	case s.chores <- &chore{w, n}:
		w.busy = true
		return n, nil
	default:
		return nil, framework.Refuse("too many pods make room at a time.")
	}
}

// consult returns how PostFilter plugins ask the extenders whose business the pod is; nil if none
// has a say.
func (s *Scheduler) consult(ctx context.Context, w *waiter) func([]*framework.Candidate) ([]*framework.Candidate, error) {
	some := s.extenders.of(w.Pod)
	if !some.preempt() {
		return nil
	}
	return func(found []*framework.Candidate) (left []*framework.Candidate, err error) {
		s.unlocked(w, func() { left, err = some.consult(ctx, w.Pod, found, s.skipped(w)) })
		if !s.same(w) {
			return nil, errMoved
		}
		return left, err
	}
}

// doChores makes room for one pod after the other until ctx ends.
func (s *Scheduler) doChores(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case c := <-s.chores:
			err := c.Work(ctx)
			s.choreDone(ctx, c, err)
		}
	}
}

// choreDone lets the pod be tried again as soon as there is room, at once if making room failed.
func (s *Scheduler) choreDone(ctx context.Context, c *chore, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c.busy = false
	s.freed[c.Node] = true
	if err != nil {
		if ctx.Err() == nil {
			s.log.Warn("cannot make room for a pod", "pod", c.Name(), "node", c.Node, "error", err)
		}
		// The nomination stays: some may have been evicted there.
		if w := s.queue.all[c.Pod.UID]; w == c.waiter && w.place == inParked {
			s.queue.leave(w)
			s.queue.admit(w)
		}
	}
	s.signal()
}

// takeNomination believes what the API says about where room was made for a pod, if this
// scheduler does not know better: after a restart, or when somebody else did it.
func (s *Scheduler) takeNomination(w *waiter) {
	if _, known := s.cache.nominated[w.Pod.UID]; known || w.Attempts > 0 {
		return
	}
	if node := w.Pod.Status.NominatedNodeName; node != "" {
		s.cache.nominate(w.PodInfo, node)
	}
}

// decideFor decides for a node if the pod can run there; else it returns nil.
func (m *mind) decideFor(fw *framework.Framework, pod *framework.PodInfo, nodes framework.Snapshot, node string) *Decision {
	at := nodes.Position(node)
	if at < 0 {
		return nil
	}
	state := framework.NewCycleState()
	m.topology.Follow(nodes)
	if !m.filterOne(fw, state, pod, nodes, at).OK() {
		return nil
	}
	return &Decision{Pod: pod, Node: node, Passed: 1, nodes: nodes, fw: fw, state: state, position: at}
}

// filterOne asks all filters about the node at i, without what other pods share.
func (m *mind) filterOne(fw *framework.Framework, state *framework.CycleState, pod *framework.PodInfo, nodes framework.Snapshot, i int) *framework.Status {
	if st := fw.PreFilter(state, pod, nodes); !st.OK() {
		return st
	}
	node := nodes.At(i)
	if st := m.filterAs(fw, state, pod, i, node); !st.OK() {
		return st
	}
	if with := withNominated(node, pod.Priority, pod.Pod.UID); with != node {
		return m.filterAs(fw, state, pod, i, with)
	}
	return nil
}

// filterAs asks all filters about the node at i as if it were as given.
func (m *mind) filterAs(fw *framework.Framework, state *framework.CycleState, pod *framework.PodInfo, i int, node *framework.NodeInfo) *framework.Status {
	if st := fw.Filter(state, pod, node); !st.OK() {
		return st
	}
	if before := m.topology.Nodes().At(i); before != node {
		m.topology.Swap(i, node)
		defer m.topology.Swap(i, before)
	}
	filters, _, refused := fw.Surveys(m.topology, pod)
	if !refused.OK() {
		return refused
	}
	return survey(filters, i)
}

// trial returns what PostFilter plugins try changes of nodes with. Nominated pods that go
// before the pod count.
func (m *mind) trial(fw *framework.Framework, pod *framework.PodInfo, nodes framework.Snapshot) func(int, *framework.NodeInfo) *framework.Status {
	var state *framework.CycleState
	var refused *framework.Status
	var wide bool
	return func(i int, node *framework.NodeInfo) *framework.Status {
		if state == nil {
			state = framework.NewCycleState()
			if refused = fw.PreFilter(state, pod, nodes); refused.OK() {
				var filters []framework.Survey
				filters, _, refused = fw.Surveys(m.topology, pod)
				wide = len(filters) > 0
			}
		}
		if !refused.OK() {
			return refused
		}
		node = withNominated(node, pod.Priority, pod.Pod.UID)
		if !wide && len(m.topology.Nodes().At(i).Nominated) == 0 {
			return fw.Filter(state, pod, node) // fewer pods on a node give nobody a reason to refuse
		}
		return m.filterAs(fw, state, pod, i, node)
	}
}
