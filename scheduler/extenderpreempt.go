package scheduler

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"

	"github.com/miniorch/miniorch/scheduler/framework"
)

// consult asks the extenders that have a say in preemption about the places where room can be
// made, one after the other, each about what the last has left. One that fails ends it, unless it
// may be ignored; then skipped is told.
func (all extenders) consult(ctx context.Context, pod *corev1.Pod, found []*framework.Candidate, skipped func(error)) ([]*framework.Candidate, error) {
	for _, e := range all {
		if e.PreemptVerb == "" || len(found) == 0 {
			continue
		}
		left, err := e.preempt(ctx, pod, found)
		switch {
		case err == nil:
			found = left
		case e.Ignorable:
			skipped(err)
		default:
			return nil, err
		}
	}
	return found, nil
}

// preempt returns the places that the extender leaves, with the victims that it names.
func (e *extender) preempt(ctx context.Context, pod *corev1.Pod, found []*framework.Candidate) ([]*framework.Candidate, error) {
	var answer extenderPreemptionResult
	if err := e.call(ctx, e.PreemptVerb, e.preemptionArgs(pod, found), &answer); err != nil {
		return nil, err
	}
	var left []*framework.Candidate
	for _, c := range found {
		named := answer.NodeNameToMetaVictims[c.Node.Name]
		delete(answer.NodeNameToMetaVictims, c.Node.Name)
		if named == nil {
			continue
		}
		now, err := e.named(c, named)
		switch {
		case err == nil:
			left = append(left, now)
		case !e.Ignorable:
			return nil, err
		}
	}
	for name := range answer.NodeNameToMetaVictims {
		return nil, fmt.Errorf("extender %s: it was not asked about node %q", e.URLPrefix, name)
	}
	return left, nil
}

// named returns a place with the victims that the extender names there.
func (e *extender) named(c *framework.Candidate, victims *extenderMetaVictims) (*framework.Candidate, error) {
	now := &framework.Candidate{Node: c.Node, Violations: int(victims.NumPDBViolations)}
	byUID := make(map[string]*framework.PodInfo, len(c.Node.Pods))
	for _, p := range c.Node.Pods {
		byUID[string(p.Pod.UID)] = p
	}
	for _, v := range victims.Pods {
		p := byUID[v.UID]
		if p == nil {
			return nil, fmt.Errorf("extender %s: there is no pod %q on node %q", e.URLPrefix, v.UID, c.Node.Name)
		}
		now.Victims = append(now.Victims, p)
	}
	if len(now.Victims) == 0 {
		return nil, fmt.Errorf("extender %s: it names no victim on node %q", e.URLPrefix, c.Node.Name)
	}
	return now, nil
}

// preemptionArgs tells the extender of the victims: by uid if it keeps track of the cluster itself,
// else as they are.
func (e *extender) preemptionArgs(pod *corev1.Pod, found []*framework.Candidate) extenderPreemptionArgs {
	args := extenderPreemptionArgs{Pod: pod}
	if e.NodeCacheCapable {
		args.NodeNameToMetaVictims = make(map[string]*extenderMetaVictims, len(found))
	} else {
		args.NodeNameToVictims = make(map[string]*extenderVictims, len(found))
	}
	for _, c := range found {
		whole, meta := &extenderVictims{NumPDBViolations: int64(c.Violations)}, &extenderMetaVictims{NumPDBViolations: int64(c.Violations)}
		for _, v := range c.Victims {
			whole.Pods = append(whole.Pods, v.Pod)
			meta.Pods = append(meta.Pods, extenderMetaPod{string(v.Pod.UID)})
		}
		if e.NodeCacheCapable {
			args.NodeNameToMetaVictims[c.Node.Name] = meta
		} else {
			args.NodeNameToVictims[c.Node.Name] = whole
		}
	}
	return args
}
