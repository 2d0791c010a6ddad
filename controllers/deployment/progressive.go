package deployment

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/miniorch/miniorch/pkg/api"
)

// maxStory is how many characters of a rollout's story are kept.
const maxStory = 4000

// Route points a Service at the pods of one revision.
type Route struct {
	Service, Hash string
}

// Stage is what users are told of a rollout by steps.
type Stage struct {
	Reason, Message string
	Healthy         bool
	Waiting         bool // for time or for somebody: nothing is wrong that nothing moves
}

// progressive walks one step of a rollout by steps. What it finds and does is in the plan's
// sizes, in the newest set's annotations, and in the stage.
func (r *rollout) progressive(s settings) {
	if r.newest == nil {
		r.begin(s)
		return
	}
	p := readProgress(r.newest)
	if revision := r.revision(); p.Revision != revision { // a new rollout, perhaps of an old set
		p = progress{Revision: revision, Begun: r.at, Done: r.total() == r.now(r.newest)}
		r.tell("revision " + revision + " begins")
	}
	if !p.Done && p.Aborted == "" {
		p = r.judge(p, s)
	}
	switch {
	case p.Aborted != "":
		r.restore(s, p)
	case s.Strategy == strategyBlueGreen:
		p = r.blueGreen(s, p)
	default:
		p = r.canary(s, p)
	}
	r.edit(r.newest).Annotations[api.AnnotationProgress] = p.text()
}

// begin makes the newest set: whole if nothing else runs, with no pods of its own else.
func (r *rollout) begin(s settings) {
	size := int32(0)
	if r.total() == 0 {
		size = desired(r.d)
	}
	r.create = r.newSet(size)
	r.create.Annotations[api.AnnotationProgress] = progress{
		Revision: r.create.Annotations[revisionKey], Begun: r.at, Done: size == desired(r.d),
	}.text()
	r.stage = Stage{Reason: "Begun", Message: "the new revision begins", Healthy: true}
	r.tell("revision " + r.create.Annotations[revisionKey] + " begins")
	if hash := r.create.Labels[api.LabelPodTemplateHash]; size > 0 {
		r.route(s.Active, hash)
		r.route(s.Preview, hash)
	}
}

// tell adds a line to the newest set's story and to the events.
func (r *rollout) tell(line string) {
	r.news = append(r.news, line)
	e := r.create
	if e == nil {
		e = r.edit(r.newest)
	}
	story := e.Annotations[api.AnnotationStory] + r.at.UTC().Format(time.RFC3339) + " " + line + "\n"
	for len(story) > maxStory {
		_, story, _ = strings.Cut(story, "\n")
	}
	e.Annotations[api.AnnotationStory] = story
}

func (r *rollout) route(service, hash string) {
	if service != "" {
		r.routes = append(r.routes, Route{service, hash})
	}
}

func hashOf(rs *appsv1.ReplicaSet) string { return rs.Labels[api.LabelPodTemplateHash] }

// stable is the set that served before: of the old ones whose rollouts came to their end, the one of
// the highest revision. Nil if there is none.
func (r *rollout) stable() (best *appsv1.ReplicaSet) {
	for _, rs := range r.old {
		_, bySteps := rs.Annotations[api.AnnotationProgress]
		if (!bySteps || readProgress(rs).Done) && (best == nil || revisionOf(rs) > revisionOf(best)) {
			best = rs
		}
	}
	return best
}

// judge is the analysis: it gives the rollout up if somebody asked for that, if pods that were
// available are not for too long, or if they do not become available at all.
func (r *rollout) judge(p progress, s settings) progress {
	size, available := r.now(r.newest), r.newest.Status.AvailableReplicas
	switch {
	case r.d.Annotations[api.AnnotationAbort] == p.Revision:
		p.Aborted = "aborted by hand"
	case p.Reached != nil && available < min(size, p.Had) && p.Sick == nil:
		p.Sick = &r.at
	case p.Reached != nil && available >= min(size, p.Had):
		p.Sick = nil
	}
	if p.Sick != nil {
		if left := p.Sick.Add(s.Grace).Sub(r.at); left > 0 {
			r.recheckIn(left)
		} else if p.Aborted == "" {
			p.Aborted = fmt.Sprintf("%d of %d new pods are not available", size-available, size)
		}
	}
	if p.Reached == nil && p.Aborted == "" && hasDeadline(r.d) {
		limit := time.Duration(*r.d.Spec.ProgressDeadlineSeconds) * time.Second
		if left := p.Begun.Add(limit).Sub(r.at); left > 0 {
			r.recheckIn(left)
		} else {
			p.Aborted = fmt.Sprintf("the new pods did not become available within %s", limit)
		}
	}
	if p.Aborted != "" {
		r.tell(fmt.Sprintf("step %d: %s", p.Step+1, p.Aborted))
	}
	return p
}

func (r *rollout) recheckIn(d time.Duration) {
	if r.recheck == 0 || d < r.recheck {
		r.recheck = d
	}
}

// promoted tells whether somebody let this step go on, or all of them.
func (r *rollout) promoted(p progress) bool {
	revision, upTo, _ := strings.Cut(r.d.Annotations[api.AnnotationPromote], "/")
	n, err := strconv.Atoi(upTo)
	return revision == p.Revision && (upTo == "all" || err == nil && n > p.Step)
}

func (r *rollout) allPromoted(p progress) bool {
	return r.d.Annotations[api.AnnotationPromote] == p.Revision+"/all"
}

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

// restore goes back to the set that served before.
func (r *rollout) restore(s settings, p progress) {
	stable := r.stable()
	r.stage = Stage{Reason: reasonAborted, Message: fmt.Sprintf("revision %s was given up at step %d: %s", p.Revision, p.Step+1, p.Aborted)}
	if stable == nil { // history is gone: what is there is better than nothing
		r.toward(map[*appsv1.ReplicaSet]int32{r.newest: desired(r.d)})
		return
	}
	r.route(s.Active, hashOf(stable))
	r.route(s.Preview, hashOf(stable))
	r.toward(map[*appsv1.ReplicaSet]int32{stable: desired(r.d)})
}

func (r *rollout) scaleTo(rs *appsv1.ReplicaSet, size int32) {
	if rs != nil && r.now(rs) != size {
		r.scale(rs, size)
	}
}

// toward moves the sets' sizes to what is wanted (0 for those not named), within maxSurge and
// maxUnavailable: what is not available may go at once, what is only while enough others are.
func (r *rollout) toward(wanted map[*appsv1.ReplicaSet]int32) {
	room := desired(r.d) + maxSurge(r.d) - r.present()
	var available int32
	for _, rs := range r.sets {
		available += min(rs.Status.AvailableReplicas, r.now(rs))
		if missing := wanted[rs] - r.now(rs); missing > 0 && room > 0 {
			n := min(missing, room)
			r.scale(rs, r.now(rs)+n)
			room -= n
		}
	}
	spare := max(0, available-minAvailable(r.d))
	for _, rs := range r.sets {
		surplus := r.now(rs) - wanted[rs]
		if surplus <= 0 {
			continue
		}
		broken := min(surplus, r.now(rs)-min(rs.Status.AvailableReplicas, r.now(rs)))
		n := min(spare, surplus-broken)
		spare -= n
		if broken+n > 0 {
			r.scale(rs, r.now(rs)-broken-n)
		}
	}
}

// rolloutCondition tells the stage in the Deployment's status.
func (c conditions) rollout(s Stage) {
	if s == (Stage{}) {
		c.remove(api.ConditionRollout)
		return
	}
	status := corev1.ConditionTrue
	if !s.Healthy {
		status = corev1.ConditionFalse
	}
	if was := find(c.status.Conditions, api.ConditionRollout); was != nil && was.Status == status && was.Reason == s.Reason && was.Message == s.Message {
		return
	}
	c.put(api.ConditionRollout, status, s.Reason, s.Message)
}
