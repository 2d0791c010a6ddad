package scheduler

import "github.com/miniorch/miniorch/scheduler/framework"

// mind is what is remembered from one decision to the next: nothing that could not be
// worked out anew from a snapshot.
type mind struct {
	topology *framework.Topology
	kept     recent[*evaluation] // by profile and signature
	answers  answers
	spare    *evaluation // whose room the next one may have
	scratch  scratch
}

// evaluationsKept is how many kinds of pods can take turns without being evaluated anew.
const evaluationsKept = 32

func newMind() *mind {
	return &mind{topology: framework.NewTopology(), kept: newRecent[*evaluation](evaluationsKept), answers: newAnswers()}
}

// evaluation returns the evaluation of a pod on a snapshot, sharing what it can with earlier
// pods of the same signature. The empty signature shares with none. It is good until the next call.
func (m *mind) evaluation(fw *framework.Framework, pod *framework.PodInfo, signature string, nodes framework.Snapshot) *evaluation {
	if signature == "" {
		m.spare = m.evaluate(fw, pod, pod.Pod.UID, nodes)
		return m.spare
	}
	key := fw.SchedulerName() + "\x00" + signature
	e, ok := m.kept.use(key)
	if ok && e.update(nodes) {
		return e
	}
	if ok {
		m.spare = e
	}
	e = m.evaluate(fw, pod, "", nodes)
	if gone, full := m.kept.keep(key, e); full {
		m.spare = gone
	}
	return e
}
