package scheduler

import (
	"slices"

	"github.com/miniorch/miniorch/scheduler/framework"
)

// mind is what is remembered from one decision to the next: nothing that could not be
// worked out anew from a snapshot.
type mind struct {
	topology *framework.Topology
	kept     map[string]*evaluation // by profile and signature
	order    []string               // the longest unused first
	scratch  scratch
}

// evaluationsKept is how many kinds of pods can take turns without being evaluated anew.
const evaluationsKept = 32

func newMind() *mind {
	return &mind{topology: framework.NewTopology(), kept: make(map[string]*evaluation)}
}

// evaluation returns the evaluation of a pod on a snapshot, sharing what it can with earlier
// pods of the same signature. The empty signature shares with none.
func (m *mind) evaluation(fw *framework.Framework, pod *framework.PodInfo, signature string, nodes framework.Snapshot) *evaluation {
	if signature == "" {
		return evaluate(fw, pod, pod.Pod.UID, nodes)
	}
	key := fw.SchedulerName() + "\x00" + signature
	e := m.kept[key]
	if e == nil || !e.update(nodes) {
		e = evaluate(fw, pod, "", nodes)
	}
	m.keep(key, e)
	return e
}

func (m *mind) keep(key string, e *evaluation) {
	m.kept[key] = e
	if n := len(m.order); n > 0 && m.order[n-1] == key {
		return
	}
	if at := slices.Index(m.order, key); at >= 0 {
		m.order = slices.Delete(m.order, at, at+1)
	}
	m.order = append(m.order, key)
	if len(m.order) > evaluationsKept {
		delete(m.kept, m.order[0])
		m.order = slices.Delete(m.order, 0, 1)
	}
}
