package alike

import (
	"reflect"
	"strings"
	"sync"
)

// partsByType are kept for types that have been met.
var partsByType sync.Map // reflect.Type → map[string]int

// Parts returns the fields of an object's type by their JSON names, without apiVersion and kind;
// nil for a type that cannot be taken apart so.
func Parts(t reflect.Type) map[string]int {
	if known, ok := partsByType.Load(t); ok {
		return known.(map[string]int)
	}
	parts := map[string]int{}
	if t.Kind() != reflect.Struct {
		parts = nil
	}
	for i := 0; parts != nil && i < t.NumField(); i++ {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		switch {
		case name != "":
			parts[name] = i
		case t.Field(i).Name != "TypeMeta": // its fields are the object's own
			parts = nil
		}
	}
	partsByType.Store(t, parts)
	return parts
}
