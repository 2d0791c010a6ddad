package deployment

import (
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
)

// canary brings the newest set's part of the pods to the step's weight, waits, and goes on.
func (r *rollout) canary(s settings, p progress) progress {
	r.route(s.Preview, hashOf(r.newest))
	if p.Done || r.stable() == nil {
		r.toward(map[*appsv1.ReplicaSet]int32{r.newest: desired(r.d)})
		r.stage = Stage{Reason: "Finished", Message: "all pods are to be of the newest revision", Healthy: true}
		p.Done = true
		return p
	}
	p.Step = min(p.Step, len(s.Steps)-1) // the steps may have been changed
	for {
		now := s.Steps[p.Step]
		part := (desired(r.d)*int32(now.Weight) + 99) / 100
		if r.reached(part) && p.Reached == nil {
			p.Reached, p.Had = &r.at, part
			r.tell(fmt.Sprintf("step %d (%s) is reached: %d of %d pods are new", p.Step+1, now, part, desired(r.d)))
		}
		if p.Reached == nil || p.Sick != nil || !r.mayPass(now, p) {
			r.toward(map[*appsv1.ReplicaSet]int32{r.newest: part, r.stable(): desired(r.d) - part})
			r.describe(s, p, now)
			return p
		}
		if now.Weight == 100 {
			p.Done = true
			r.tell("the rollout is finished")
			return r.canary(s, p)
		}
		p.Step, p.Begun, p.Reached = p.Step+1, r.at, nil
		if r.allPromoted(p) {
			p.Step = len(s.Steps) - 1
		}
	}
}

// reached tells whether the newest set has its part, all available, and the others only the rest.
func (r *rollout) reached(part int32) bool {
	return r.now(r.newest) == part && r.newest.Status.AvailableReplicas >= part && r.total() == desired(r.d)
}

// mayPass tells whether a step that is reached is over.
func (r *rollout) mayPass(now step, p progress) bool {
	if r.promoted(p) || !now.Manual && now.Pause == 0 {
		return true
	}
	if now.Manual {
		return false
	}
	left := p.Reached.Add(now.Pause).Sub(r.at)
	if left > 0 {
		r.recheckIn(left)
	}
	return left <= 0
}

func (r *rollout) describe(s settings, p progress, now step) {
	at := fmt.Sprintf("step %d of %d, %d%% of the pods are to be new", p.Step+1, len(s.Steps), now.Weight)
	switch {
	case p.Reached == nil:
		r.stage = Stage{Reason: "Progressing", Message: at, Healthy: true}
	case p.Sick != nil:
		r.stage = Stage{Reason: "Failing", Message: at + ": new pods are not available", Waiting: true}
	case now.Manual:
		r.stage = Stage{Reason: "Paused", Message: at + ": waits to be promoted", Healthy: true, Waiting: true}
	default:
		r.stage = Stage{Reason: "Paused", Message: fmt.Sprintf("%s: waits for %s", at, now.Pause), Healthy: true, Waiting: true}
	}
}
