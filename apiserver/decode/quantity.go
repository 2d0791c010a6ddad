package decode

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"

	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/runtime"
)

// resource.ParseQuantity computes 10 to the power that it is told: a few bytes such as
// "1e2147483648" keep it busy for ever. Bodies are therefore searched for such numbers
// before anything is parsed, at the places where a quantity is expected and only there: in
// a ConfigMap the same text is nobody's business.

var (
	// hugeExponent matches the whole of such a number.
	hugeExponent = regexp.MustCompile(`^[+-]?[0-9.]+[eE][+-]?[0-9]{5,}$`)

	quantityType = reflect.TypeFor[resource.Quantity]()
	// hasQuantity remembers which types hold quantities somewhere.
	hasQuantity sync.Map // reflect.Type → bool
)

// suspicious reports whether such a number may be in data, that is [0-9.][eE][+-]?[0-9]{5}. It
// looks at every body that comes, so it is no regular expression.
func suspicious(data []byte) bool {
	for i := 1; i+5 < len(data); i++ {
		if data[i]|0x20 != 'e' || !isDigit(data[i-1]) && data[i-1] != '.' {
			continue
		}
		rest := data[i+1:]
		if rest[0] == '+' || rest[0] == '-' {
			rest = rest[1:]
		}
		if len(rest) >= 5 && !slices.ContainsFunc(rest[:5], func(c byte) bool { return !isDigit(c) }) {
			return true
		}
	}
	return false
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// checkQuantities refuses a JSON document for obj with an absurd exponent in a quantity.
func checkQuantities(data []byte, obj runtime.Object) error {
	t := reflect.TypeOf(obj)
	if !suspicious(data) || !holdsQuantity(t) {
		return nil
	}
	w := walker{decoder: json.NewDecoder(bytes.NewReader(data))}
	w.decoder.UseNumber()
	w.value(t, "")
	return w.found
}

// walker follows a document and the Go type that it is for, token by token: a field that
// stands twice is looked at twice, as the decoding does. What is no JSON ends the walk; the
// decoding will say what is wrong with it.
type walker struct {
	decoder *json.Decoder
	found   error
}

// value reads one value for t, which is nil when nobody will decode it. It reports
// whether to go on.
func (w *walker) value(t reflect.Type, path string) bool {
	for t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	token, err := w.decoder.Token()
	if err != nil {
		return false
	}
	switch token {
	case json.Delim('{'):
		return w.object(t, path)
	case json.Delim('['):
		return w.array(t, path)
	}
	if text := fmt.Sprint(token); t == quantityType && hugeExponent.MatchString(text) {
		w.found = fmt.Errorf("%s: quantity %q: the exponent is too large", strings.TrimPrefix(path, "."), text)
	}
	return w.found == nil
}

func (w *walker) object(t reflect.Type, path string) bool {
	for w.decoder.More() {
		key, err := w.decoder.Token()
		if err != nil || !w.value(memberType(t, fmt.Sprint(key)), fmt.Sprintf("%s.%s", path, key)) {
			return false
		}
	}
	_, err := w.decoder.Token()
	return err == nil
}

func (w *walker) array(t reflect.Type, path string) bool {
	var element reflect.Type
	if t != nil && t.Kind() == reflect.Slice {
		element = t.Elem()
	}
	for i := 0; w.decoder.More(); i++ {
		if !w.value(element, fmt.Sprintf("%s[%d]", path, i)) {
			return false
		}
	}
	_, err := w.decoder.Token()
	return err == nil
}

// memberType returns the type of a field or map value, by its JSON name; nil if there is
// none.
func memberType(t reflect.Type, key string) reflect.Type {
	switch {
	case t == nil:
		return nil
	case t.Kind() == reflect.Map:
		return t.Elem()
	case t.Kind() != reflect.Struct:
		return nil
	}
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == key {
			return f.Type
		}
		if name == "" && f.Anonymous {
			if inner := memberType(f.Type, key); inner != nil {
				return inner
			}
		}
	}
	return nil
}

// holdsQuantity reports whether a quantity can occur in t.
func holdsQuantity(t reflect.Type) bool {
	if known, ok := hasQuantity.Load(t); ok {
		return known.(bool)
	}
	found := searchQuantity(t, map[reflect.Type]bool{})
	hasQuantity.Store(t, found)
	return found
}

func searchQuantity(t reflect.Type, seen map[reflect.Type]bool) bool {
	if t == quantityType {
		return true
	}
	if seen[t] {
		return false
	}
	seen[t] = true
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map:
		return searchQuantity(t.Elem(), seen)
	case reflect.Struct:
		for i := range t.NumField() {
			if searchQuantity(t.Field(i).Type, seen) {
				return true
			}
		}
	}
	return false
}

// checkProtobufQuantities does the same for protobuf, where a quantity is a message whose
// first field is its text. What else looks exactly like that in a kind with quantities (the
// key of a label, say) is refused as well.
func checkProtobufQuantities(data []byte, obj runtime.Object) error {
	if !suspicious(data) || !holdsQuantity(reflect.TypeOf(obj)) {
		return nil
	}
	const firstField = 0x0a // field 1, length-delimited
	for i := 0; i+1 < len(data); i++ {
		length, n := varint(data[i+1:])
		from := i + 1 + n
		if data[i] != firstField || n == 0 || length > uint64(len(data)-from) {
			continue
		}
		if text := data[from : from+int(length)]; suspicious(text) && hugeExponent.Match(text) {
			return fmt.Errorf("quantity %q: the exponent is too large", text)
		}
	}
	return nil
}

// varint reads a length; n is 0 if there is none.
func varint(b []byte) (v uint64, n int) {
	for i := 0; i < len(b) && i < 5; i++ {
		v |= uint64(b[i]&0x7f) << (7 * i)
		if b[i] < 0x80 {
			return v, i + 1
		}
	}
	return 0, 0
}
