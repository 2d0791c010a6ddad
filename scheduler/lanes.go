package scheduler

// lanes lets namespaces take turns among pods of one priority, so that one pod of a quiet
// namespace does not wait for all of a busy one's. It is fair queueing: each pod gets the
// number of its turn when it may be tried; a namespace's next pod has its next turn, and who
// was not there does not save turns up.
type lanes struct {
	byKey  map[laneKey]*lane
	served map[int32]uint64 // by priority: the turn of the last pod that was popped
}

type laneKey struct {
	namespace string
	priority  int32
}

type lane struct {
	last    uint64
	waiting int
}

func newLanes() lanes {
	return lanes{byKey: make(map[laneKey]*lane), served: make(map[int32]uint64)}
}

// enter returns the turn of a pod that may be tried from now on.
func (l *lanes) enter(namespace string, priority int32) uint64 {
	k := laneKey{namespace, priority}
	one := l.byKey[k]
	if one == nil {
		one = &lane{}
		l.byKey[k] = one
	}
	one.last = max(one.last, l.served[priority]) + 1
	one.waiting++
	return one.last
}

// leave takes out a pod that was not popped.
func (l *lanes) leave(namespace string, priority int32) {
	k := laneKey{namespace, priority}
	if one := l.byKey[k]; one != nil {
		if one.waiting--; one.waiting == 0 {
			delete(l.byKey, k)
		}
	}
	if len(l.byKey) == 0 {
		clear(l.served)
	}
}

// serve takes out a pod that was popped.
func (l *lanes) serve(namespace string, priority int32, turn uint64) {
	l.served[priority] = max(l.served[priority], turn)
	l.leave(namespace, priority)
}
