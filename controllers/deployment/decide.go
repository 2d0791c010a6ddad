package deployment

import (
	"fmt"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/api/equality"
)

// observed is what is decided from.
type observed struct {
	Deployment *appsv1.Deployment
	Sets       []*appsv1.ReplicaSet // all that the Deployment controls
	// Routes are the pod template hashes that the Services named by the Deployment select, empty
	// for one that selects none. Services that do not exist are left out.
	Routes map[string]string
	Now    time.Time
}

// Change is one ReplicaSet before and after.
type Change struct {
	Old, New *appsv1.ReplicaSet
}

// Plan is what is to be done about the ReplicaSets of one Deployment.
type Plan struct {
	Create   *appsv1.ReplicaSet   // the new revision, if it has none yet
	Change   []Change             // in this order
	Delete   []*appsv1.ReplicaSet // history beyond the limit
	Revision string               // the Deployment's revision annotation; empty: as it is
	Routes   []Route              // Services to point elsewhere
	Stage    Stage                // of a rollout by steps; zero: of none
	News     []string             // what happened in it
	Recheck  time.Duration        // when a step is over by time alone; 0: never
}

// Empty tells whether there is nothing to do.
func (p Plan) Empty() bool {
	return p.Create == nil && len(p.Change) == 0 && len(p.Delete) == 0 && p.Revision == "" && len(p.Routes) == 0
}

// lost counts the replicas that the sets want, and how many fewer they will.
func (p Plan) lost(sets []*appsv1.ReplicaSet) (lost, had int) {
	for _, rs := range sets {
		had += int(replicas(rs))
	}
	for _, c := range p.Change {
		lost += int(replicas(c.Old) - replicas(c.New))
	}
	if p.Create != nil {
		lost -= int(replicas(p.Create))
	}
	return lost, had
}

// String prints the plan.
func (p Plan) String() string {
	var parts []string
	if p.Create != nil {
		parts = append(parts, fmt.Sprintf("create %s with %d", p.Create.Name, replicas(p.Create)))
	}
	for _, c := range p.Change {
		if from, to := replicas(c.Old), replicas(c.New); from != to {
			parts = append(parts, fmt.Sprintf("scale %s %d→%d", c.Old.Name, from, to))
		} else {
			parts = append(parts, "annotate "+c.Old.Name)
		}
	}
	for _, rs := range p.Delete {
		parts = append(parts, "delete "+rs.Name)
	}
	for _, r := range p.Routes {
		parts = append(parts, fmt.Sprintf("point %s at %q", r.Service, r.Hash))
	}
	if p.Revision != "" {
		parts = append(parts, "revision "+p.Revision)
	}
	if len(parts) == 0 {
		return "nothing"
	}
	return strings.Join(parts, ", ")
}

// decide walks one step of the rollout.
func decide(o observed) Plan {
	d := o.Deployment
	if d.DeletionTimestamp != nil {
		return Plan{}
	}
	r := newRollout(o)
	r.markNewest()
	s, err := readSettings(d)
	switch {
	case err != nil: // nothing moves before it is clear how
		r.stage = Stage{Reason: "InvalidSettings", Message: err.Error()}
	case s.Strategy != "" && !d.Spec.Paused:
		r.progressive(s)
	case d.Spec.Paused || r.wasResized():
		r.resize()
	case d.Spec.Strategy.Type == appsv1.RecreateDeploymentStrategyType:
		r.recreate()
	default:
		r.roll()
	}
	if d.Spec.Paused || complete(d, sum(d, r.sets)) {
		r.forgetHistory()
	}
	if err == nil && s.Strategy == "" { // Services that an earlier strategy pointed select all pods again
		r.route(s.Active, "")
		r.route(s.Preview, "")
	}
	return r.plan(o.Routes)
}

// rollout is a draft of the world after the plan: copies of the sets that steps change.
type rollout struct {
	d      *appsv1.Deployment
	sets   []*appsv1.ReplicaSet // as observed, oldest first
	newest *appsv1.ReplicaSet   // the set of the current template, nil if there is none
	old    []*appsv1.ReplicaSet // all others, oldest first
	draft  map[*appsv1.ReplicaSet]*appsv1.ReplicaSet
	create *appsv1.ReplicaSet
	remove []*appsv1.ReplicaSet

	// of a rollout by steps:
	at      time.Time
	routes  []Route
	stage   Stage
	news    []string
	recheck time.Duration
}

func newRollout(o observed) *rollout {
	sets := oldestFirst(o.Sets)
	newest, old := split(o.Deployment, sets)
	return &rollout{d: o.Deployment, sets: sets, newest: newest, old: old, draft: map[*appsv1.ReplicaSet]*appsv1.ReplicaSet{}, at: o.Now.UTC().Truncate(time.Second)}
}

// edit returns the draft of rs, which may be written.
func (r *rollout) edit(rs *appsv1.ReplicaSet) *appsv1.ReplicaSet {
	if r.draft[rs] == nil {
		r.draft[rs] = rs.DeepCopy()
	}
	return r.draft[rs]
}

// now returns how many replicas rs has in the draft.
func (r *rollout) now(rs *appsv1.ReplicaSet) int32 {
	if d := r.draft[rs]; d != nil {
		return replicas(d)
	}
	return replicas(rs)
}

// total is the number of replicas of all sets in the draft.
func (r *rollout) total() int32 {
	var n int32
	for _, rs := range r.sets {
		n += r.now(rs)
	}
	return n
}

// scale sets rs's size in the draft and notes on it what the Deployment wanted then.
func (r *rollout) scale(rs *appsv1.ReplicaSet, to int32) {
	e := r.edit(rs)
	e.Spec.Replicas = &to
	noteSize(e, r.d)
}

// plan is the difference between the draft and what is there. now is where Services lead.
func (r *rollout) plan(now map[string]string) Plan {
	p := Plan{Create: r.create, Delete: r.remove, Stage: r.stage, News: r.news, Recheck: r.recheck}
	for _, route := range r.routes {
		if at, there := now[route.Service]; there && at != route.Hash {
			p.Routes = append(p.Routes, route)
		}
	}
	for _, rs := range r.sets {
		if d := r.draft[rs]; d != nil && !equality.Semantic.DeepEqual(rs, d) {
			p.Change = append(p.Change, Change{rs, d})
		}
	}
	if rev := r.revision(); rev != "" && r.d.Annotations[revisionKey] != rev {
		p.Revision = rev
	}
	return p
}

// revision returns the newest set's revision in the draft.
func (r *rollout) revision() string {
	switch {
	case r.create != nil:
		return r.create.Annotations[revisionKey]
	case r.newest != nil:
		return r.edit(r.newest).Annotations[revisionKey]
	}
	return ""
}
