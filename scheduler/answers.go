package scheduler

import (
	"github.com/miniorch/miniorch/scheduler/framework"
)

// answers is what single plugins said of every node, for pods of which they read the same. Pods
// that are not alike as a whole share at least that: all pods without tolerations are alike to
// TaintToleration.
type answers struct {
	refusals recent[*asked[*framework.Status]]
	scores   recent[*asked[int64]]
}

// answersKept is how many signatures are remembered. Each has an answer for every node.
const answersKept = 48

func newAnswers() answers {
	return answers{newRecent[*asked[*framework.Status]](answersKept), newRecent[*asked[int64]](answersKept)}
}

// asked is one plugin's answers, by position of the node. Without nodes it was not asked about all
// of them yet: a signature that never comes again is not worth it.
type asked[T any] struct {
	nodes  framework.Snapshot
	values []T
}

// source is where a plugin's answers for a pod come from: known by position of the node, or to be
// asked for.
type source[T any] struct {
	known []T
	ask   func(*framework.NodeInfo) T
}

// shared returns a source that knows the answers if pods of which the plugin reads the same were
// there before. old reports whether all must be asked for anew because of a change.
func shared[T any](kept *recent[*asked[T]], e *evaluation, p framework.Plugin, old func(was, now *framework.NodeInfo) bool, ask func(*framework.NodeInfo) T) source[T] {
	s := source[T]{ask: ask}
	signer, ok := p.(framework.Signer)
	if !ok {
		return s
	}
	key, ok := signer.Sign(append(append(make([]byte, 0, 128), e.fw.SchedulerName()+"\x00"+p.Name()...), 0), e.pod)
	if !ok {
		return s
	}
	a, seen := kept.use(string(key))
	if !seen {
		kept.keep(string(key), &asked[T]{})
		return s
	}
	if !a.nodes.SameNodes(e.nodes) || !a.follow(e.nodes, old, ask) {
		a.nodes, a.values = e.nodes, a.values[:0]
		for _, n := range e.nodes.All() {
			a.values = append(a.values, ask(n))
		}
	}
	s.known = a.values
	return s
}

// follow asks about the nodes that changed; false means that all must be asked about.
func (a *asked[T]) follow(nodes framework.Snapshot, old func(was, now *framework.NodeInfo) bool, ask func(*framework.NodeInfo) T) bool {
	aged := false
	nodes.ChangedSince(a.nodes, func(i int, was, now *framework.NodeInfo) {
		aged = aged || old != nil && old(was, now)
		a.values[i] = ask(now)
	})
	a.nodes = nodes
	return !aged
}

// refusalsOf returns what a Filter plugin says of nodes.
func (a *answers) refusalsOf(e *evaluation, f framework.Filter) source[*framework.Status] {
	return shared(&a.refusals, e, f, nil, func(n *framework.NodeInfo) *framework.Status {
		if s := f.Filter(e.state, e.pod, n); !s.OK() {
			return s.By(f.Name())
		}
		return nil
	})
}

// scoresOf returns what a Score plugin says of nodes.
func (a *answers) scoresOf(e *evaluation, p framework.Score) source[int64] {
	var old func(was, now *framework.NodeInfo) bool
	if aging, ok := p.(framework.Aging); ok {
		old = func(was, now *framework.NodeInfo) bool { return aging.Ages(e.pod, was, now) }
	}
	return shared(&a.scores, e, p, old, func(n *framework.NodeInfo) int64 { return p.Score(e.state, e.pod, n) })
}
