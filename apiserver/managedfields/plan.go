package managedfields

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/structured-merge-diff/v6/value"
)

// shape is how a value's parts are owned.
type shape uint8

const (
	leaf    shape = iota // as a whole
	object               // by field: a Go struct
	mapping              // by key: a Go map
	listMap              // by item, which key fields tell apart
	listSet              // by item, which is its own key
)

// plan is how the values of one Go type are compared.
type plan struct {
	shape  shape
	fields []planField // object: by JSON name
	elem   *plan       // mapping and lists
	keys   []planKey   // listMap: by name
}

// planField is one field of a struct, those of embedded structs included.
type planField struct {
	name  string
	label []byte // the field as it begins in a set: "f:name":{
	entry *value.FieldCacheEntry
	index int // in the struct, -1 if it is inherited
	plan  *plan
}

// planKey is one field of a list item that tells it from others.
type planKey struct {
	name    string
	entry   *value.FieldCacheEntry
	missing *keyPart // what it counts as if it is not set; nil: nothing
}

// get returns the field of struct v, or an invalid value if its JSON would not have it.
func (f *planField) get(v reflect.Value) reflect.Value {
	var field reflect.Value
	if f.index >= 0 {
		field = v.Field(f.index)
	} else {
		field = f.entry.GetFrom(v)
	}
	if f.entry.CanOmit(field) {
		return reflect.Value{}
	}
	return field
}

// planner makes the plans of types, each once.
type planner struct {
	mu    sync.Mutex
	rules *rules
	plans map[reflect.Type]*plan // guarded by mu
}

// planners shares plans between resources: they have most of their types in common.
var planners = sync.OnceValue(func() *planner { return &planner{rules: rulesOf(&parser().Schema), plans: map[reflect.Type]*plan{}} })

// serverOnly are the fields of metadata that nobody owns.
var serverOnly = []string{
	"name", "namespace", "creationTimestamp", "selfLink", "uid", "clusterName", "generation", "managedFields", "resourceVersion",
}

// planOf returns the plan of an object's type, without the fields that nobody owns. An
// error means that the library must compare such objects.
func planOf(t reflect.Type) (*plan, error) {
	p := planners()
	p.mu.Lock()
	defer p.mu.Unlock()
	whole, err := p.plan(t)
	if err != nil {
		return nil, err
	}
	if whole.shape != object {
		return nil, fmt.Errorf("a %v has no fields", t)
	}
	root := &plan{shape: object}
	for _, f := range whole.fields {
		switch {
		case f.name == "apiVersion", f.name == "kind":
			continue
		case f.name == "metadata" && f.plan.shape == object:
			meta := &plan{shape: object}
			for _, m := range f.plan.fields {
				if !slices.Contains(serverOnly, m.name) {
					meta.fields = append(meta.fields, m)
				}
			}
			f.plan = meta
		}
		root.fields = append(root.fields, f)
	}
	return root, nil
}

// plan makes the plan of t. The caller holds mu.
func (p *planner) plan(t reflect.Type) (*plan, error) {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if known, ok := p.plans[t]; ok {
		if known == nil {
			return nil, fmt.Errorf("%v cannot be planned", t)
		}
		return known, nil
	}
	made := &plan{}
	p.plans[t] = made // types may hold themselves
	if err := p.fill(made, t); err != nil {
		p.plans[t] = nil
		return nil, err
	}
	return made, nil
}

func (p *planner) fill(to *plan, t reflect.Type) error {
	switch t.Kind() {
	case reflect.Interface:
		return fmt.Errorf("%v may hold anything", t)
	case reflect.Map:
		return p.fillElem(to, mapping, t)
	case reflect.Struct:
	default: // numbers, strings, truth values; lists are whole unless a field's rule says else
		return nil
	}
	if t == reflect.TypeFor[metav1.FieldsV1]() {
		return nil
	}
	entry := value.TypeReflectEntryOf(t)
	if entry.CanConvertToUnstructured() {
		if strings.HasSuffix(modelName(t), ".RawExtension") {
			return fmt.Errorf("%v may hold anything", t)
		}
		return nil // Time, Quantity and the like are written as one value
	}
	if p.rules.fields[modelName(t)+" *"].atomic {
		return nil
	}
	return p.fillParts(to, t)
}

// fillParts plans a struct by its fields.
func (p *planner) fillParts(to *plan, t reflect.Type) error {
	to.shape = object
	for _, f := range value.TypeReflectEntryOf(t).OrderedFields() {
		if err := p.addField(to, t, f); err != nil {
			return err
		}
	}
	return nil
}

func (p *planner) fillElem(to *plan, as shape, t reflect.Type) (err error) {
	to.shape = as
	to.elem, err = p.plan(t.Elem())
	return err
}

func (p *planner) addField(to *plan, t reflect.Type, entry *value.FieldCacheEntry) error {
	f := planField{name: entry.JsonName, entry: entry, index: -1}
	f.label = append(appendText(append(f.label, `"f:`...), f.name), `":{`...)
	ft := entry.GetFrom(reflect.Zero(t)).Type()
	for i := range t.NumField() {
		if name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ","); name == f.name {
			f.index = i
		}
	}
	var err error
	switch r := p.rules.fields[modelName(t)+" "+f.name]; {
	case r.atomic:
		f.plan = &plan{} // whatever it holds
	case r.parts:
		for ft.Kind() == reflect.Pointer {
			ft = ft.Elem()
		}
		f.plan = &plan{}
		err = p.fillParts(f.plan, ft)
	case r.set && ft.Elem().Kind() == reflect.String:
		f.plan = &plan{}
		err = p.fillElem(f.plan, listSet, ft)
	case r.set:
		err = fmt.Errorf("%v.%s is a set of %v", t, f.name, ft.Elem())
	case r.keys != nil:
		f.plan = &plan{}
		err = p.fillListMap(f.plan, ft, r.keys)
	case ft.Kind() == reflect.Slice || ft.Kind() == reflect.Array:
		f.plan = &plan{}
	default:
		f.plan, err = p.plan(ft)
	}
	to.fields = append(to.fields, f)
	return err
}

func (p *planner) fillListMap(to *plan, t reflect.Type, keys []string) error {
	item := t.Elem()
	if item.Kind() == reflect.Pointer {
		return fmt.Errorf("%v holds pointers", t)
	}
	for _, name := range keys {
		entry, ok := value.TypeReflectEntryOf(item).Fields()[name]
		if !ok {
			return fmt.Errorf("%v has no field %q", item, name)
		}
		key := planKey{name: name, entry: entry}
		if text, ok := p.rules.defaults[modelName(item)+" "+name]; ok {
			key.missing = &keyPart{name: name, text: text, isText: true}
		}
		to.keys = append(to.keys, key)
	}
	return p.fillElem(to, listMap, t)
}

// modelName is what the API's documents call a Go type: io.k8s.api.core.v1.Pod.
func modelName(t reflect.Type) string {
	if n, ok := reflect.Zero(t).Interface().(interface{ OpenAPIModelName() string }); ok {
		return n.OpenAPIModelName()
	}
	return t.PkgPath() + "." + t.Name()
}
