package history

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
)

// Plan is what is to be done about an owner's revisions.
type Plan struct {
	Update *appsv1.ControllerRevision   // of the owner's template, as it will be
	Twins  []*appsv1.ControllerRevision // older ones that say the same: whose doing that was, their pods are up to date
	Create bool                         // Update is not there yet
	Change bool                         // Update is there and becomes the newest
	Delete []*appsv1.ControllerRevision // beyond the limit
}

// Empty tells whether there is nothing to do.
func (p Plan) Empty() bool { return !p.Create && !p.Change && len(p.Delete) == 0 }

// String prints the plan.
func (p Plan) String() string {
	var parts []string
	switch {
	case p.Create:
		parts = append(parts, fmt.Sprintf("create revision %d %s", p.Update.Revision, p.Update.Name))
	case p.Change:
		parts = append(parts, fmt.Sprintf("make %s revision %d", p.Update.Name, p.Update.Revision))
	}
	for _, r := range p.Delete {
		parts = append(parts, "forget "+r.Name)
	}
	return strings.Join(parts, ", ")
}

// Decide finds the revision of the owner's template among those that it has, and those that may
// go. live tells whether a pod (or the owner's status) still refers to a revision.
func Decide(o Owner, all []*appsv1.ControllerRevision, live func(*appsv1.ControllerRevision) bool) Plan {
	all = slices.Clone(all)
	slices.SortFunc(all, func(a, b *appsv1.ControllerRevision) int {
		return cmp.Or(cmp.Compare(a.Revision, b.Revision), a.CreationTimestamp.Compare(b.CreationTimestamp.Time), strings.Compare(a.Name, b.Name))
	})
	var p Plan
	data, next := encode(o.Template), int64(1)
	for _, r := range all {
		if sameData(r.Data.Raw, data) {
			if p.Update != nil {
				p.Twins = append(p.Twins, p.Update)
			}
			p.Update = r
		}
		next = max(next, r.Revision+1)
	}
	switch {
	case p.Update == nil:
		p.Update, p.Create = newRevision(o, data, next), true
	case p.Update != all[len(all)-1]:
		p.Update, p.Change = p.Update.DeepCopy(), true
		p.Update.Revision = next
	}
	var idle []*appsv1.ControllerRevision
	for _, r := range all {
		if r.Name != p.Update.Name && r.DeletionTimestamp == nil && !live(r) {
			idle = append(idle, r)
		}
	}
	if surplus := len(idle) - o.Limit; surplus > 0 {
		p.Delete = idle[:surplus]
	}
	return p
}
