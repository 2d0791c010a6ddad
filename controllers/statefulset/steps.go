package statefulset

import (
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/miniorch/miniorch/controllers/history"
	"github.com/miniorch/miniorch/pkg/api"
)

// fill gives every ordinal its pod, and removes those that have ended. It returns false if the
// steps after it must wait.
func (s *step) fill() bool {
	for at, p := range s.slots {
		ordinal := start(s.Set) + at
		if p != nil {
			s.repair(p, ordinal)
		}
		switch {
		case p == nil:
			if s.claimsFor(ordinal) {
				s.create(ordinal)
			}
		case api.IsPodTerminal(p):
			s.replace(p)
		case s.isAvailable(p):
			continue
		}
		if s.ordered || len(s.plan.Create) == burst {
			return false
		}
	}
	return true
}

// replace removes a pod that has ended, unless that happened too often of late.
func (s *step) replace(p *corev1.Pod) {
	if p.DeletionTimestamp != nil {
		return
	}
	if wait := s.Wait(s.Set.UID, p.Name, s.Now); wait > 0 {
		s.again(wait)
		return
	}
	s.remove(p, "it has ended")
}

// repair puts right what a pod that is there should have: its labels, and claims with the right
// owners.
func (s *step) repair(p *corev1.Pod, ordinal int) {
	if p.DeletionTimestamp != nil || api.IsPodTerminal(p) {
		return
	}
	if !hasIdentity(s.Set, p, ordinal) {
		s.plan.Label = append(s.plan.Label, p)
	}
	s.handClaims(p, ordinal, false)
	if p.Status.Phase == corev1.PodPending {
		s.missingClaims(ordinal)
	}
}

// create plans the pod of an ordinal: of the old revision if it is below the partition of a
// rolling update, else of the newest.
func (s *step) create(ordinal int) {
	template, revision := &s.Set.Spec.Template, s.update().Name
	if ordinal < partition(s.Set) && s.current.Name != revision {
		if old, err := history.Template(s.current); err == nil { // it was written here and reads
			template, revision = old, s.current.Name
		}
	}
	s.plan.Create = append(s.plan.Create, newPod(s.Set, template, revision, ordinal))
}

func (s *step) remove(p *corev1.Pod, why string) {
	if len(s.plan.Delete) < burst {
		s.plan.Delete = append(s.plan.Delete, Deletion{p, why})
	}
}

// shrink drops the pods that are too many, from above; in order one at a time, and none while a lower
// one is not well. It returns false if the step after it must wait.
func (s *step) shrink() bool {
	var sick *corev1.Pod // the lowest that is not well
	for _, p := range s.condemned {
		s.handClaims(p, s.ordinal(p), true)
		if !s.isAvailable(p) {
			sick = p
		}
	}
	for _, p := range s.condemned {
		if p.DeletionTimestamp == nil && (!s.ordered || s.isAvailable(p) || p == sick) {
			s.remove(p, "too many")
		}
		if s.ordered {
			return false
		}
	}
	return true
}

// roll replaces pods of other revisions, from above, as long as no more than maxUnavailable are
// missed. Pods that nobody can use are replaced first, since that costs nothing; but none while
// that many of the newest revision above are not well, so that a bad template stops by itself.
func (s *step) roll() {
	if s.Set.Spec.UpdateStrategy.Type == appsv1.OnDeleteStatefulSetStrategyType {
		return
	}
	most, missed, above := maxUnavailable(s.Set), 0, 0
	for _, p := range s.slots {
		if !s.isAvailable(p) {
			missed++
		}
	}
	for at := len(s.slots) - 1; start(s.Set)+at >= partition(s.Set) && at >= 0; at-- {
		p := s.slots[at]
		switch outdated := p != nil && p.DeletionTimestamp == nil && !api.IsPodTerminal(p) && revisionOf(p) != s.update().Name; {
		case !outdated && !s.isAvailable(p):
			above++
		case outdated && s.isAvailable(p) && missed < most:
			missed++
			above++
			s.remove(p, "another revision")
		case outdated && !s.isAvailable(p) && above < most:
			above++
			s.remove(p, "another revision")
		}
	}
}
