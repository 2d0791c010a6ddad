package managedfields

import (
	"cmp"
	"errors"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/miniorch/miniorch/apiserver/alike"
)

// errUnusual is about values that the walk does not understand: the library must.
var errUnusual = errors.New("managedfields: an unusual value")

// walk compares two values of a type and writes the fields in which they differ, as sets
// in their stored form: those that were added or changed, and those that are gone. What is
// absent is an invalid reflect.Value.
type walk struct {
	set, gone []byte
	err       error

	key   []byte    // scratch: the step that is written
	names []string  // scratch: the keys of the maps that are walked
	items []item    // scratch: the items of the lists that are walked
	parts []keyPart // scratch: their keys
}

// walks keeps the scratch memory of walks that have ended.
var walks = sync.Pool{New: func() any { return &walk{} }}

// release ends the use of the walk and gives up what the walk's scratch memory refers to.
func (w *walk) release() {
	clear(w.names[:cap(w.names)])
	clear(w.items[:cap(w.items)])
	clear(w.parts[:cap(w.parts)])
	*w = walk{set: w.set[:0], gone: w.gone[:0], key: w.key[:0], names: w.names[:0], items: w.items[:0], parts: w.parts[:0]}
	if cap(w.set)+cap(w.gone)+100*(cap(w.names)+cap(w.items)+cap(w.parts)) < maxScratch {
		walks.Put(w)
	}
}

// maxScratch is how much scratch memory is worth keeping, about, in bytes.
const maxScratch = 256 << 10

// compare walks two objects of the type that root was made for, but for some fields. The
// walk's sets are good until it is released.
func (root *plan) compare(old, obj reflect.Value, except []string) *walk {
	w := walks.Get().(*walk)
	w.set, w.gone = append(w.set, '{'), append(w.gone, '{')
	for i := range root.fields {
		if f := &root.fields[i]; !slices.Contains(except, f.name) {
			w.field(f, old, obj)
		}
	}
	w.set, w.gone = append(w.set, '}'), append(w.gone, '}')
	return w
}

// isNone reports whether a set that the walk wrote has no members.
func isNone(set []byte) bool { return len(set) <= len("{}") }

const self = `".":{}`

// mark remembers where the writing of one path began on both sides.
type mark struct{ set, gone side }

type side struct{ start, body, inside int }

// open begins a path, of which label is the last step, on both sides.
func (w *walk) open(label []byte, added, removed bool) (m mark) {
	w.set, m.set = openSide(w.set, label, added)
	w.gone, m.gone = openSide(w.gone, label, removed)
	return m
}

func openSide(buf, label []byte, member bool) ([]byte, side) {
	s := side{start: len(buf)}
	if buf[len(buf)-1] != '{' {
		buf = append(buf, ',')
	}
	buf = append(buf, label...)
	s.body = len(buf)
	if member {
		buf = append(buf, self...)
	}
	s.inside = len(buf)
	return buf, s
}

// close ends the path. What turned out to have no members is taken back.
func (w *walk) close(m mark) {
	w.set, w.gone = closeSide(w.set, m.set), closeSide(w.gone, m.gone)
}

func closeSide(buf []byte, s side) []byte {
	switch {
	case len(buf) > s.inside:
		return append(buf, '}')
	case s.inside > s.body:
		return append(buf[:s.body], '}')
	}
	return buf[:s.start]
}

// at compares what old and obj hold at one step below the current path.
func (w *walk) at(label []byte, p *plan, old, obj reflect.Value) {
	m := w.open(label, !old.IsValid(), !obj.IsValid())
	old, obj = target(old), target(obj)
	changed := false
	switch p.shape {
	case leaf:
		changed = old.IsValid() && obj.IsValid() && !equal(old, obj)
	case object:
		changed = w.object(p, old, obj)
	case mapping:
		changed = w.mapping(p, old, obj)
	default:
		changed = w.list(p, old, obj)
	}
	if changed && m.set.inside == m.set.body && len(w.set) == m.set.inside {
		w.set = append(w.set[:m.set.body], '}')
		w.gone = closeSide(w.gone, m.gone)
		return
	}
	w.close(m)
}

// target follows pointers; a nil one stays.
func target(v reflect.Value) reflect.Value {
	for v.IsValid() && v.Kind() == reflect.Pointer && !v.IsNil() {
		v = v.Elem()
	}
	return v
}

// isNull reports whether a value that is there is written as null.
func isNull(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Pointer, reflect.Map, reflect.Slice:
		return v.IsNil()
	}
	return false
}

// usable reports whether v has parts at all.
func usable(v reflect.Value) bool { return v.IsValid() && !isNull(v) }

// emptyChanged is for two containers without parts: null and {} are not the same.
func emptyChanged(old, obj reflect.Value) bool {
	return old.IsValid() && obj.IsValid() && isNull(old) != isNull(obj)
}

// field compares one field of two structs, of which one may be unusable.
func (w *walk) field(f *planField, old, obj reflect.Value) (present bool) {
	var a, b reflect.Value
	if usable(old) {
		a = f.get(old)
	}
	if usable(obj) {
		b = f.get(obj)
	}
	if !a.IsValid() && !b.IsValid() {
		return false
	}
	if a.IsValid() && b.IsValid() && shared(a, b) {
		return true
	}
	w.at(f.label, f.plan, a, b)
	return true
}

// shared reports whether two values are the same memory.
func shared(a, b reflect.Value) bool {
	switch a.Kind() {
	case reflect.Pointer, reflect.Map:
		return a.Pointer() == b.Pointer()
	case reflect.Slice:
		return a.Len() == b.Len() && a.Pointer() == b.Pointer() && a.IsNil() == b.IsNil()
	}
	return false
}

func (w *walk) object(p *plan, old, obj reflect.Value) (changed bool) {
	parts := false
	for i := range p.fields {
		if w.field(&p.fields[i], old, obj) {
			parts = true
		}
	}
	return !parts && emptyChanged(old, obj)
}

// texts returns the map in v if it is of the most common type.
func texts(v reflect.Value) (m map[string]string, ok bool) {
	if !usable(v) {
		return nil, true
	}
	m, ok = v.Interface().(map[string]string)
	return m, ok
}

func (w *walk) mapping(p *plan, old, obj reflect.Value) (changed bool) {
	if a, ok := texts(old); ok {
		if b, ok := texts(obj); ok {
			return w.textMapping(a, b) || len(a)+len(b) == 0 && emptyChanged(old, obj)
		}
	}
	from := len(w.names)
	defer func() { w.names = w.names[:from] }()
	for _, m := range [...]reflect.Value{old, obj} {
		if usable(m) {
			for it := m.MapRange(); it.Next(); {
				w.names = append(w.names, it.Key().String())
			}
		}
	}
	names := w.names[from:]
	if len(names) == 0 {
		return emptyChanged(old, obj)
	}
	slices.Sort(names)
	for i, name := range names {
		if i > 0 && names[i-1] == name {
			continue
		}
		var a, b reflect.Value
		if usable(old) {
			a = lookup(old, name)
		}
		if usable(obj) {
			b = lookup(obj, name)
		}
		w.at(w.nameLabel(name), p.elem, a, b)
	}
	return false
}

// nameLabel writes a map's key as it begins in a set.
func (w *walk) nameLabel(name string) []byte {
	w.key = appendText(append(w.key[:0], `"f:`...), name)
	w.key = append(w.key, `":{`...)
	return w.key
}

// textMapping is mapping for labels, annotations and the like. It always returns false.
func (w *walk) textMapping(old, obj map[string]string) (changed bool) {
	from := len(w.names)
	for name, text := range obj {
		if was, had := old[name]; !had || was != text {
			w.names = append(w.names, name)
		}
	}
	for name := range old {
		if _, has := obj[name]; !has {
			w.names = append(w.names, name)
		}
	}
	slices.Sort(w.names[from:])
	for _, name := range w.names[from:] {
		_, has := obj[name]
		w.close(w.open(w.nameLabel(name), has, !has))
	}
	w.names = w.names[:from]
	return false
}

func lookup(m reflect.Value, name string) reflect.Value {
	return m.MapIndex(reflect.ValueOf(name).Convert(m.Type().Key()))
}

// item is one item of a list under the key that tells it from others.
type item struct {
	key   []keyPart
	value reflect.Value
}

// keyPart is one part of an item's key: a text or a number.
type keyPart struct {
	name   string
	text   string
	number int64
	isText bool
}

func (a keyPart) compare(b keyPart) int {
	if c := strings.Compare(a.name, b.name); c != 0 {
		return c
	}
	switch {
	case a.isText && b.isText:
		return strings.Compare(a.text, b.text)
	case a.isText:
		return 1 // numbers come first
	case b.isText:
		return -1
	}
	return cmp.Compare(a.number, b.number)
}

func compareKeys(a, b item) int { return slices.CompareFunc(a.key, b.key, keyPart.compare) }

func (w *walk) list(p *plan, old, obj reflect.Value) (changed bool) {
	items, parts := len(w.items), len(w.parts)
	defer func() { w.items, w.parts = w.items[:items], w.parts[:parts] }()
	a, b := w.read(p, old), w.read(p, obj)
	if len(a) == 0 && len(b) == 0 {
		return emptyChanged(old, obj)
	}
	for len(a) > 0 || len(b) > 0 {
		var c int
		switch {
		case len(b) == 0:
			c = -1
		case len(a) == 0:
			c = 1
		default:
			c = compareKeys(a[0], b[0])
		}
		n, m := 0, 0
		if c <= 0 {
			n = sameKey(a)
		}
		if c >= 0 {
			m = sameKey(b)
		}
		w.pair(p, a[:n], b[:m])
		a, b = a[n:], b[m:]
	}
	return false
}

// sameKey counts the items that have the first one's key.
func sameKey(items []item) int {
	n := 1
	for n < len(items) && compareKeys(items[0], items[n]) == 0 {
		n++
	}
	return n
}

// pair compares the items of one key. There should be at most one on each side; more are
// owned as a whole, without parts.
func (w *walk) pair(p *plan, old, obj []item) {
	var a, b, either item
	if len(old) > 0 {
		a, either = old[0], old[0]
	}
	if len(obj) > 0 {
		b, either = obj[0], obj[0]
	}
	label := w.label(p, either.key)
	switch {
	case len(old) <= 1 && len(obj) <= 1:
		w.at(label, p.elem, a.value, b.value)
	case len(old) > 1 && len(obj) > 1:
		if !slices.EqualFunc(old, obj, func(a, b item) bool { return equal(a.value, b.value) }) {
			w.close(w.open(label, true, false))
		}
	default:
		// Items that were or become several: the parts of the single one, and the whole.
		w.err = errUnusual
	}
}

// read returns the list's items by key, in the order of sets.
func (w *walk) read(p *plan, list reflect.Value) []item {
	if !usable(list) || list.Len() == 0 {
		return nil
	}
	first := len(w.items)
	for i := range list.Len() {
		v, from := list.Index(i), len(w.parts)
		if p.shape == listSet {
			w.parts = append(w.parts, keyPart{text: v.String(), isText: true})
		} else {
			w.parts = w.keyOf(p, v, w.parts)
		}
		key := w.parts[from:len(w.parts):len(w.parts)]
		if len(key) == 0 {
			w.err = errUnusual // nothing tells it from others
		}
		w.items = append(w.items, item{key: key, value: v})
	}
	items := w.items[first:len(w.items):len(w.items)]
	if len(items) > 1 {
		slices.SortStableFunc(items, compareKeys)
	}
	return items
}

// keyOf appends the parts of v's key.
func (w *walk) keyOf(p *plan, v reflect.Value, parts []keyPart) []keyPart {
	for _, k := range p.keys {
		field := k.entry.GetFrom(v)
		if k.entry.CanOmit(field) {
			if k.missing != nil {
				parts = append(parts, *k.missing)
			}
			continue
		}
		switch field = target(field); field.Kind() {
		case reflect.String:
			parts = append(parts, keyPart{name: k.name, text: field.String(), isText: true})
		case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
			parts = append(parts, keyPart{name: k.name, number: field.Int()})
		default:
			w.err = errUnusual
		}
	}
	return parts
}

// label writes an item's key as it begins in a set.
func (w *walk) label(p *plan, key []keyPart) []byte {
	w.key = w.key[:0]
	if p.shape == listSet {
		w.key = append(w.key, `"v:`...)
		w.key = appendQuotedTwice(w.key, key[0].text)
		return append(w.key, `":{`...)
	}
	w.key = append(w.key, `"k:{`...)
	for i, part := range key {
		if i > 0 {
			w.key = append(w.key, ',')
		}
		w.key = append(w.key, `\"`...)
		w.key = append(w.key, part.name...)
		w.key = append(w.key, `\":`...)
		if part.isText {
			w.key = appendQuotedTwice(w.key, part.text)
		} else {
			w.key = strconv.AppendInt(w.key, part.number, 10)
		}
	}
	return append(w.key, `}":{`...)
}

// equal compares two values that are owned as a whole.
func equal(a, b reflect.Value) bool {
	if a.Kind() != b.Kind() || a.Type() != b.Type() {
		return false // one is a nil pointer
	}
	switch a.Kind() {
	case reflect.String:
		return a.String() == b.String()
	case reflect.Bool:
		return a.Bool() == b.Bool()
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return a.Int() == b.Int()
	case reflect.Pointer, reflect.Map, reflect.Slice:
		if a.IsNil() || b.IsNil() {
			return a.IsNil() == b.IsNil()
		}
	case reflect.Struct:
		if t, ok := timeOf(a); ok { // stored to the second
			u, _ := timeOf(b)
			return t.IsZero() == u.IsZero() && (t.IsZero() || t.Unix() == u.Unix())
		}
	}
	return alike.Values(a, b)
}

// timeOf returns the Time that v is, if it is one.
func timeOf(v reflect.Value) (t *metav1.Time, ok bool) {
	if !v.CanAddr() || v.Type() != timeType {
		return nil, false
	}
	return v.Addr().Interface().(*metav1.Time), true
}

var timeType = reflect.TypeFor[metav1.Time]()
