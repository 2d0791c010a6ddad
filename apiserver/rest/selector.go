package rest

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/miniorch/miniorch/pkg/api"
)

const (
	fieldName      = "metadata.name"
	fieldNamespace = "metadata.namespace"
	// fieldNodeName is the field by which every node watches its pods. It is indexed: the
	// cache wakes such watches only for the node's own.
	fieldNodeName = "spec.nodeName"
)

// selector is what a list or watch asks for within its namespace. It is for one goroutine.
type selector struct {
	labels labels.Selector
	fields fields.Selector
	shown  *lazyFields // of the object that is looked at
}

// selector reads the options' selectors; a field that cannot be selected is refused.
func (s *Store) selector(opts metav1.ListOptions) (selector, error) {
	sel := selector{labels: labels.Everything(), fields: fields.Everything()}
	var err error
	if opts.LabelSelector != "" {
		if sel.labels, err = labels.Parse(opts.LabelSelector); err != nil {
			return sel, apierrors.NewBadRequest(err.Error())
		}
	}
	if opts.FieldSelector == "" {
		return sel, nil
	}
	sel.shown = &lazyFields{values: s.desc.Fields}
	if sel.fields, err = fields.ParseSelector(opts.FieldSelector); err != nil {
		return sel, apierrors.NewBadRequest(err.Error())
	}
	for _, r := range sel.fields.Requirements() {
		if r.Field != fieldName && (r.Field != fieldNamespace || !s.desc.Namespaced) && !slices.Contains(s.desc.FieldNames, r.Field) {
			return sel, s.unknownField(r.Field)
		}
	}
	return sel, nil
}

func (s *Store) unknownField(name string) error {
	if len(s.desc.FieldNames) > 0 {
		return apierrors.NewBadRequest("field label not supported: " + name)
	}
	return apierrors.NewBadRequest(fmt.Sprintf("%q is not a known field selector: only %q, %q", name, fieldName, fieldNamespace))
}

// everything reports whether nothing is filtered.
func (sel selector) everything() bool { return sel.labels.Empty() && sel.fields.Empty() }

func (sel selector) matches(obj api.Object) bool {
	if !sel.labels.Empty() && !sel.labels.Matches(labels.Set(obj.GetLabels())) {
		return false
	}
	if sel.fields.Empty() {
		return true
	}
	sel.shown.obj, sel.shown.set = obj, nil
	return sel.fields.Matches(sel.shown)
}

// exact returns the value that the selector demands of a field.
func (sel selector) exact(field string) (string, bool) { return sel.fields.RequiresExactMatch(field) }

// lazyFields shows an object's selectable fields to a selector. The kind's own are
// computed only when one is asked for, and once.
type lazyFields struct {
	obj    api.Object
	values func(api.Object) fields.Set
	set    fields.Set
}

// Get implements fields.Fields.
func (f *lazyFields) Get(field string) string {
	switch field {
	case fieldName:
		return f.obj.GetName()
	case fieldNamespace:
		return f.obj.GetNamespace()
	case fieldNodeName:
		// Every node asks this of every pod: no set is made for it.
		if pod, ok := f.obj.(*corev1.Pod); ok {
			return pod.Spec.NodeName
		}
	}
	if f.set == nil && f.values != nil {
		f.set = f.values(f.obj)
	}
	return f.set[field]
}

// Has implements fields.Fields.
func (f *lazyFields) Has(field string) bool { return f.Get(field) != "" }

// prefixFor narrows a collection to one key when the selector names the object.
func (s *Store) prefixFor(ns string, sel selector) string {
	name, ok := sel.exact(fieldName)
	if ok && s.checkName(ns, name) == nil {
		return s.key(ns, name)
	}
	return s.prefix(ns)
}
