package resource

import (
	"context"

	"github.com/miniorch/miniorch/pkg/api"
)

// Virtual makes a resource whose objects are not stored but computed when somebody asks:
// reviews, which only answer a create, and what the cluster can tell of itself. A nil
// function is a verb that the resource does not have; no such resource can be watched,
// changed or deleted. The functions are safe for concurrent use and return objects that
// nobody else changes.
type Virtual struct {
	// Create answers obj, which it may change and return.
	Create func(ctx context.Context, obj api.Object) (api.Object, error)
	// Get returns one object; one that is not there is a NotFound status error.
	Get func(ctx context.Context, ns, name string) (api.Object, error)
	// List returns the objects of a namespace, of all namespaces if it is empty.
	List func(ctx context.Context, ns string) ([]api.Object, error)
}

// Verbs lists what can be done with the resource, in alphabetical order.
func (d Descriptor) Verbs() []string {
	if v := d.Virtual; v != nil {
		var verbs []string
		for _, one := range []struct {
			name string
			has  bool
		}{{"create", v.Create != nil}, {"get", v.Get != nil}, {"list", v.List != nil}} {
			if one.has {
				verbs = append(verbs, one.name)
			}
		}
		return verbs
	}
	if d.NoDeleteCollection {
		return []string{"create", "delete", "get", "list", "patch", "update", "watch"}
	}
	return []string{"create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"}
}
