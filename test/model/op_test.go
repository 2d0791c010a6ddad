package model

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

type verb string

// The writing verbs; reads are checked in reads_test.go.
const (
	create           verb = "create"
	put              verb = "put"
	mergePatch       verb = "merge patch"
	strategicPatch   verb = "strategic patch"
	jsonPatch        verb = "json patch"
	apply            verb = "apply"
	putStatus        verb = "put status"
	patchStatus      verb = "patch status"
	applyStatus      verb = "apply status"
	putScale         verb = "put scale"
	patchScale       verb = "patch scale"
	remove           verb = "delete"
	removeCollection verb = "deletecollection"
)

// op is one request that writes.
type op struct {
	Number  int64 // unique: what it writes tells which request it was
	Verb    verb
	Place   place
	Manager string

	Fields     map[string]string // what is written: all there is (create, put, apply), or what changes
	Unset      []string          // by a patch
	Color      string
	Finalizers []string
	// SetFinalizers says whether a merge patch is about them.
	SetFinalizers bool
	Version       string // resourceVersion that the body or the preconditions name
	UID           string // precondition of a deletion
	Test          string // value that a JSON patch demands of its own field
	Force, DryRun bool

	// What became of it.
	Begun, Ended int64 // revisions of the store before and after
	Reason       metav1.StatusReason
	Detail       string
	Lost         bool // no answer: it may have been done or not
	Busy         bool // what was answered instead is no failure
	Got          *state
	Raw          string // the object that was answered, whole
	Deleted      []string
}

// mark is the field by which a change tells whose it is.
func (o *op) mark() string  { return "by-" + o.Manager }
func (o *op) value() string { return fmt.Sprint(o.Number) }

func (o *op) String() string {
	what := fmt.Sprintf("#%d %s %s by %s fields=%v unset=%v version=%q", o.Number, o.Verb, o.Place, o.Manager, o.Fields, o.Unset, o.Version)
	if o.Lost {
		return what + ": no answer: " + o.Detail
	}
	return fmt.Sprintf("%s dryRun=%v force=%v in %d..%d: %s %s", what, o.DryRun, o.Force, o.Begun, o.Ended, o.Reason, o.Detail)
}

// outcome is what the model says: a refusal, or the new state. A nil state without a refusal:
// the object is gone.
type outcome struct {
	refused metav1.StatusReason
	now     *state
}

func refuse(why metav1.StatusReason) outcome { return outcome{refused: why} }

// do works out what the request makes of what is stored, nil being nothing.
func (o *op) do(stored *state) outcome {
	switch o.Verb {
	case create:
		if stored != nil {
			return refuse(metav1.StatusReasonAlreadyExists)
		}
		return outcome{now: o.made("Update")}
	case apply:
		return o.applied(stored)
	}
	if stored == nil {
		return refuse(metav1.StatusReasonNotFound)
	}
	if o.UID != "" && o.UID != stored.UID {
		return refuse(metav1.StatusReasonConflict)
	}
	if o.Version != "" && o.Version != stored.Revision {
		return refuse(metav1.StatusReasonConflict)
	}
	if o.Verb == remove {
		return o.removed(stored)
	}
	return o.updated(stored)
}

// made is a new object.
func (o *op) made(operation string) *state {
	s := &state{Kind: o.Place.kind.Kind, Fields: maps.Clone(o.Fields), Color: o.Color, Finalizers: o.Finalizers, Owners: map[string][]string{}}
	for field := range s.Fields {
		s.own(field, o.Manager+"/"+operation)
	}
	if s.Kind == "Deployment" {
		s.Generation, s.Replicas = 1, o.replicas()
	}
	return s
}

// replicas is what a request that says so sets: a number that tells whose it is.
func (o *op) replicas() int32 {
	if o.Verb == apply {
		return 1 // not said, so the default
	}
	return int32(o.Number)
}

func (o *op) updated(stored *state) outcome {
	s, who := stored.copy(), o.Manager+"/Update"
	switch o.Verb {
	case putStatus: // what it says of annotations and finalizers counts, and it says that there are none
		s.StatusOwners = []string{who}
		s.Status, s.Fields, s.Owners, s.Finalizers = o.Number, nil, nil, nil
		if s.Deleting {
			return outcome{}
		}
		return outcome{now: s.copy()}
	case patchStatus:
		s.Status, s.StatusOwners = o.Number, []string{who}
		return outcome{now: s}
	case applyStatus:
		who = o.Manager + "/Apply"
		if slices.ContainsFunc(s.StatusOwners, func(w string) bool { return w != who }) && !o.Force {
			return refuse(metav1.StatusReasonConflict)
		}
		s.Status, s.StatusOwners = o.Number, []string{who}
		return outcome{now: s}
	case putScale, patchScale:
		s.scale(o.replicas())
		return outcome{now: s}
	case put:
		for field := range stored.Fields {
			if _, kept := o.Fields[field]; !kept {
				s.unset(field)
			}
		}
		s.Color = o.Color
		if s.Kind == "Deployment" {
			s.scale(o.replicas())
		}
	case jsonPatch:
		// A path below what is not there leads nowhere, as an empty map is not.
		if o.Test != "" && stored.Fields[o.mark()] != o.Test || len(stored.Fields) == 0 {
			return refuse(metav1.StatusReasonInvalid)
		}
	}
	if o.Verb == put || o.SetFinalizers {
		if stored.Deleting && added(stored.Finalizers, o.Finalizers) {
			return refuse(metav1.StatusReasonInvalid)
		}
		s.Finalizers = o.Finalizers
	}
	for field, value := range o.Fields {
		s.set(field, value, who)
	}
	for _, field := range o.Unset {
		s.unset(field)
	}
	if s.Deleting && len(s.Finalizers) == 0 {
		return outcome{}
	}
	s.count(stored)
	return outcome{now: s}
}

// count raises the generation for what a Deployment's controller has to look at.
func (s *state) count(before *state) {
	if s.Kind == "Deployment" && (s.Replicas != before.Replicas || !maps.Equal(s.Fields, before.Fields)) {
		s.Generation = before.Generation + 1
	}
}

func (s *state) scale(replicas int32) {
	if s.Replicas != replicas {
		s.Replicas = replicas
		s.Generation++
	}
}

func added(before, after []string) bool {
	return slices.ContainsFunc(after, func(f string) bool { return !slices.Contains(before, f) })
}

// applied is server-side apply: https://kubernetes.io/docs/reference/using-api/server-side-apply/
func (o *op) applied(stored *state) outcome {
	who := o.Manager + "/Apply"
	if stored == nil {
		if o.Version != "" {
			return refuse(metav1.StatusReasonConflict)
		}
		return outcome{now: o.made("Apply")}
	}
	s := stored.copy()
	for field, value := range o.Fields {
		others := slices.ContainsFunc(s.Owners[field], func(w string) bool { return w != who })
		if old, has := s.Fields[field]; has && old != value && others && !o.Force {
			return refuse(metav1.StatusReasonConflict)
		}
	}
	if o.Version != "" && o.Version != stored.Revision {
		return refuse(metav1.StatusReasonConflict)
	}
	for field, value := range o.Fields {
		s.set(field, value, who)
		s.own(field, who)
	}
	for field := range stored.Fields {
		if _, wanted := o.Fields[field]; wanted || !s.owns(field, who) {
			continue
		}
		if s.disown(field, who); len(s.Owners[field]) == 0 {
			s.unset(field)
		}
	}
	s.count(stored)
	return outcome{now: s}
}

func (o *op) removed(stored *state) outcome {
	if len(stored.Finalizers) == 0 {
		return outcome{}
	}
	s := stored.copy()
	if !s.Deleting {
		s.Deleting = true
		if s.Generation > 0 {
			s.Generation++
		}
	}
	return outcome{now: s}
}

// wrote reports whether a change from before to after carries the mark of o.
func (o *op) wrote(before, after *state) bool {
	if o.DryRun || o.Reason != "" || after == nil {
		return false
	}
	switch o.Verb {
	case putStatus, patchStatus, applyStatus:
		return after.Status == o.Number && (before == nil || before.Status != o.Number)
	case putScale, patchScale:
		return after.Replicas == int32(o.Number) && (before == nil || before.Replicas != int32(o.Number))
	case remove, removeCollection:
		return after.Deleting && (before == nil || !before.Deleting)
	}
	return after.Fields[o.mark()] == o.value() && (before == nil || before.Fields[o.mark()] != o.value())
}

// place is where an object is.
type place struct {
	kind      kind
	namespace string
	name      string // ends in "-" before a generated name is known
}

func (p place) String() string {
	return strings.ToLower(p.kind.Kind) + " " + p.namespace + "/" + p.name
}

// covers: whether the change of an object at q may be by a request about p.
func (p place) covers(q place) bool {
	if p.kind.Kind != q.kind.Kind || p.namespace != q.namespace {
		return false
	}
	return p.name == "" || p.name == q.name || strings.HasSuffix(p.name, "-") && strings.HasPrefix(q.name, p.name)
}
