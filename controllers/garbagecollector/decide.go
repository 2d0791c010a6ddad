package garbagecollector

import (
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// state is what is known of an owner.
type state int

const (
	unknown     state = iota // the graph does not know; a live read must tell
	solid                    // it lives
	waiting                  // it is being deleted and waits for its dependents
	absent                   // it does not exist: a live read said so
	unreachable              // nobody can tell: its kind is not served, or cannot be referred to from here
)

// owner is one owner reference of an item.
type owner struct {
	Ref   metav1.OwnerReference
	State state
}

// dependent is one object that refers to an item as its owner.
type dependent struct {
	identity
	Blocking   bool // the item must not go before it
	Foreground bool // it waits for its own dependents
}

// item is what is decided from: one object with its neighbours in the graph.
type item struct {
	identity
	Deleting, Foreground, Orphaning bool
	Finalizers                      []string
	Owners                          []owner
	Dependents                      []dependent
}

// Plan is what is to be done about one object. The zero Plan leaves it alone.
type Plan struct {
	Release   []dependent                // take the object away from these ones' owners
	Unfinish  string                     // take this finalizer off the object
	Push      []types.UID                // have these dependents looked at
	Disown    []types.UID                // take these owners off the object
	Unblock   bool                       // let the object's owners go before it
	Delete    metav1.DeletionPropagation // delete the object in this way
	WaitOwner bool                       // an owner cannot be found out about now
}

// Empty tells whether the plan has no effect on any object.
func (p Plan) Empty() bool {
	return len(p.Release) == 0 && p.Unfinish == "" && len(p.Disown) == 0 && !p.Unblock && p.Delete == ""
}

// String prints the plan.
func (p Plan) String() string {
	var parts []string
	if n := len(p.Release); n > 0 {
		parts = append(parts, fmt.Sprintf("release %d dependents", n))
	}
	if p.Unfinish != "" {
		parts = append(parts, "remove finalizer "+p.Unfinish)
	}
	if n := len(p.Push); n > 0 {
		parts = append(parts, fmt.Sprintf("wait for %d dependents", n))
	}
	if n := len(p.Disown); n > 0 {
		parts = append(parts, fmt.Sprintf("remove %d owners", n))
	}
	if p.Unblock {
		parts = append(parts, "unblock owners")
	}
	if p.Delete != "" {
		parts = append(parts, "delete "+string(p.Delete))
	}
	if p.WaitOwner {
		parts = append(parts, "wait for owner's kind")
	}
	if len(parts) == 0 {
		return "keep"
	}
	return strings.Join(parts, ", ")
}

// decide tells what becomes of an object. First its own deletion, if it waits for us; then
// its owners: it lives as long as one of them does, or none was ever named.
func decide(it item) Plan {
	switch {
	case it.Orphaning:
		return Plan{Release: it.Dependents, Unfinish: metav1.FinalizerOrphanDependents}
	case it.Foreground:
		return finish(it)
	case it.Deleting || len(it.Owners) == 0:
		return Plan{}
	}
	by := map[state][]types.UID{}
	for _, o := range it.Owners {
		by[o.State] = append(by[o.State], o.Ref.UID)
	}
	switch {
	case len(by[solid]) > 0:
		return Plan{Disown: append(by[absent], by[waiting]...)}
	case len(by[unknown])+len(by[unreachable]) > 0:
		return Plan{WaitOwner: true}
	case len(by[waiting]) > 0 && len(it.Dependents) > 0:
		return Plan{Unblock: cycle(it), Delete: metav1.DeletePropagationForeground}
	}
	return Plan{Delete: propagation(it.Finalizers)}
}

// finish lets an object go whose blocking dependents are gone.
func finish(it item) Plan {
	var push []types.UID
	blocked := false
	for _, d := range it.Dependents {
		blocked = blocked || d.Blocking
		if !d.Foreground {
			push = append(push, d.UID)
		}
	}
	if blocked {
		return Plan{Push: push}
	}
	return Plan{Unfinish: metav1.FinalizerDeleteDependents}
}

// cycle tells whether a dependent waits for dependents already, the item perhaps among
// them: two that wait for each other would wait for ever.
func cycle(it item) bool {
	return slices.ContainsFunc(it.Dependents, func(d dependent) bool { return d.Foreground }) &&
		slices.ContainsFunc(it.Owners, func(o owner) bool { return o.Ref.BlockOwnerDeletion != nil && *o.Ref.BlockOwnerDeletion })
}

// propagation is what an earlier request asked for by a finalizer, else background.
func propagation(finalizers []string) metav1.DeletionPropagation {
	switch {
	case slices.Contains(finalizers, metav1.FinalizerOrphanDependents):
		return metav1.DeletePropagationOrphan
	case slices.Contains(finalizers, metav1.FinalizerDeleteDependents):
		return metav1.DeletePropagationForeground
	}
	return metav1.DeletePropagationBackground
}
