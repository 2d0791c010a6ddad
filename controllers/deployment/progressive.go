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
