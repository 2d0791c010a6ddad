package deployment

import (
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
)

// blueGreen brings the newest set up beside the old one, switches the Service when that is
// promoted, and takes the old pods away some time later.
func (r *rollout) blueGreen(s settings, p progress) progress {
	hash, stable := hashOf(r.newest), r.stable()
	size := desired(r.d)
	r.route(s.Preview, hash)
	switch {
	case p.Done || stable == nil:
		r.route(s.Active, hash)
		r.toward(map[*appsv1.ReplicaSet]int32{r.newest: size})
		r.stage = Stage{Reason: "Finished", Message: "all pods are to be of the newest revision", Healthy: true}
		p.Done = true
		return p
	case p.Step == 0:
		for _, rs := range r.old {
			if rs != stable { // of a rollout that this one has overtaken
				r.scaleTo(rs, 0)
			}
		}
		r.scaleTo(r.newest, size)
		r.scaleTo(stable, size)
		r.route(s.Active, hashOf(stable))
		r.stage = Stage{Reason: "Progressing", Message: "the new revision comes up beside the old one", Healthy: true}
		if p.Reached == nil && r.newest.Status.AvailableReplicas >= size && replicas(r.newest) == size {
			p.Reached, p.Had = &r.at, size
			r.tell("the new revision is available beside the old one")
		}
		if p.Reached == nil {
			return p
		}
		r.stage = Stage{Reason: "Paused", Message: "the new revision is available: waits to be promoted", Healthy: p.Sick == nil, Waiting: true}
		if p.Sick != nil || !r.switches(s, p) {
			return p
		}
		p.Step, p.Begun = 1, r.at
		r.routes = nil
		r.route(s.Preview, hash)
		r.tell(fmt.Sprintf("Service %s leads to the new revision", s.Active))
	}
	r.route(s.Active, hash)
	r.stage = Stage{Reason: "Switched", Message: fmt.Sprintf("Service %s leads to the new revision, the old one stays for %s", s.Active, s.ScaleDown), Healthy: true, Waiting: true}
	if left := p.Begun.Add(s.ScaleDown).Sub(r.at); left > 0 || p.Sick != nil {
		r.recheckIn(max(left, time.Second))
		return p
	}
	p.Done = true
	r.tell("the rollout is finished")
	return r.blueGreen(s, p)
}

func (r *rollout) switches(s settings, p progress) bool {
	if r.promoted(p) {
		return true
	}
	if s.AutoPromote == nil {
		return false
	}
	left := p.Reached.Add(*s.AutoPromote).Sub(r.at)
	if left > 0 {
		r.recheckIn(left)
	}
	return left <= 0
}
