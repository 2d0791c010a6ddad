package client

import (
	"k8s.io/apimachinery/pkg/selection"

	"github.com/miniorch/miniorch/pkg/api"
)

// Split makes the informers of f that select T by field alone (field = value) parts of the
// one for all T: a single watch feeds them, and a part costs neither a goroutine nor a
// stream. It is for a process that plays many nodes and would need all objects anyway. of
// returns an object's value of the field. Call it before those informers are asked for.
func Split[T api.Object](f *Informers, field string, of func(T) string) {
	r := api.ResourceFor[T]()
	s := &split{
		base: f.view(r, Selection{}), parts: make(map[string]*view),
		of: func(o api.Object) string { return of(cast[T](o)) },
	}
	f.mu.Lock()
	f.splits[splitID{r, field}] = s
	f.mu.Unlock()
	s.base.feed(s)
}

type splitID struct {
	resource api.Resource
	field    string
}

// split deals the objects of one view out to others.
type split struct {
	base  *view
	of    func(api.Object) string
	parts map[string]*view // guarded by base.delivery; by value
}

// splitFor returns what is split by the field that s selects by, and the value; nil if
// there is no such thing. f.mu is held.
func (f *Informers) splitFor(r api.Resource, s Selection) (*split, string) {
	if s.Fields == nil || s.Namespace != "" || s.Labels != nil && !s.Labels.Empty() {
		return nil, ""
	}
	terms := s.Fields.Requirements()
	if len(terms) != 1 || terms[0].Operator != selection.Equals && terms[0].Operator != selection.DoubleEquals {
		return nil, ""
	}
	return f.splits[splitID{r, terms[0].Field}], terms[0].Value
}

// add gives the objects with value to part, now and from now on.
func (s *split) add(value string, part *view) {
	s.base.delivery.Lock()
	defer s.base.delivery.Unlock()
	s.parts[value] = part
	if !s.base.complete {
		return // it holds nothing yet
	}
	var objs []api.Object
	s.base.ascend("", func(o api.Object) bool {
		if s.of(o) == value {
			objs = append(objs, o)
		}
		return true
	})
	part.replace(objs)
}

// feed has s told of everything in v.
func (v *view) feed(s *split) {
	v.delivery.Lock()
	defer v.delivery.Unlock()
	v.handlers = append(v.handlers, s.tell)
	v.completed = append(v.completed, s.complete)
}

// tell is the handler of the base; its delivery lock is held, so parts change in its order.
func (s *split) tell(old, obj api.Object) {
	if old != nil && (obj == nil || s.of(old) != s.of(obj)) {
		if part := s.parts[s.of(old)]; part != nil {
			part.remove(old.GetNamespace(), old.GetName())
		}
	}
	if obj != nil {
		if part := s.parts[s.of(obj)]; part != nil {
			part.set(obj)
		}
	}
}

// complete tells the parts that they hold everything. The base's delivery lock is held.
func (s *split) complete() {
	for _, part := range s.parts {
		part.finish()
	}
}

// finish marks a part as complete that was filled by set.
func (v *view) finish() {
	v.delivery.Lock()
	defer v.delivery.Unlock()
	v.completeLocked()
}
