package scheduler

import "github.com/miniorch/miniorch/scheduler/framework"

// lanes lets namespaces take turns among pods of one priority, so that one pod of a quiet
// namespace does not wait for all of a busy one's. It is fair queueing: each pod gets the
// number of its turn when it may be tried; a namespace's next pod has its next turn, and who
// was not there does not save turns up.
type lanes struct {
	byKey  map[laneKey]*lane
	groups map[groupKey]*lane // pods that are scheduled all or none share a turn
	served map[int32]uint64   // by priority: the turn of the last pod that was popped
}

type laneKey struct {
	namespace string
	priority  int32
}

type groupKey struct {
	group    string
	priority int32
}

type lane struct {
	last    uint64
	waiting int
}

func newLanes() lanes {
	return lanes{byKey: make(map[laneKey]*lane), groups: make(map[groupKey]*lane), served: make(map[int32]uint64)}
}

// enter returns the turn of a pod that may be tried from now on.
func (l *lanes) enter(p *framework.PodInfo) uint64 {
	k := laneKey{p.Pod.Namespace, p.Priority}
	one := l.byKey[k]
	if one == nil {
		one = &lane{}
		l.byKey[k] = one
	}
	one.waiting++
	if p.Group == "" {
		return l.next(one, p.Priority)
	}
	group := l.groups[groupKey{p.Group, p.Priority}]
	if group == nil {
		group = &lane{last: l.next(one, p.Priority)}
		l.groups[groupKey{p.Group, p.Priority}] = group
	}
	group.waiting++
	return group.last
}

func (l *lanes) next(one *lane, priority int32) uint64 {
	one.last = max(one.last, l.served[priority]) + 1
	return one.last
}

// leave takes out a pod that was not popped.
func (l *lanes) leave(p *framework.PodInfo) {
	k := laneKey{p.Pod.Namespace, p.Priority}
	if l.byKey[k].waiting--; l.byKey[k].waiting == 0 {
		delete(l.byKey, k)
	}
	if g := l.groups[groupKey{p.Group, p.Priority}]; g != nil {
		if g.waiting--; g.waiting == 0 {
			delete(l.groups, groupKey{p.Group, p.Priority})
		}
	}
	if len(l.byKey) == 0 {
		clear(l.served)
	}
}

// serve takes out a pod that was popped.
func (l *lanes) serve(p *framework.PodInfo, turn uint64) {
	l.served[p.Priority] = max(l.served[p.Priority], turn)
	l.leave(p)
}
