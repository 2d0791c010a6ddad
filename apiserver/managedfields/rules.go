package managedfields

import (
	"slices"
	"strings"

	"sigs.k8s.io/structured-merge-diff/v6/schema"
)

// rules are what the schema says and Go's types do not: which lists are maps or sets of
// their items, which maps and structs are changed only as a whole, and what a missing key
// of a list's item means.
type rules struct {
	fields map[string]rule // by "type field", and "type *" for the type itself
	// defaults of key fields, by "type field".
	defaults map[string]string
}

// rule is how one field merges.
type rule struct {
	atomic bool     // changed only as a whole
	parts  bool     // changed by part, even if its type is atomic elsewhere
	set    bool     // a list without duplicates
	keys   []string // a list whose items are told apart by these fields, sorted
}

func rulesOf(s *schema.Schema) *rules {
	r := &rules{fields: map[string]rule{}, defaults: map[string]string{}}
	for _, def := range s.Types {
		if def.Map == nil || strings.HasPrefix(def.Name, "__") {
			continue
		}
		if def.Map.ElementRelationship == schema.Atomic {
			r.fields[def.Name+" *"] = rule{atomic: true}
		}
		for _, f := range def.Map.Fields {
			if found, ok := ruleOf(f.Type); ok {
				r.fields[def.Name+" "+f.Name] = found
			}
			if text, ok := f.Default.(string); ok {
				r.defaults[def.Name+" "+f.Name] = text
			}
		}
	}
	return r
}

// untyped is the schema's name of values that may be anything and are owned as a whole.
const untyped = "__untyped_atomic_"

func ruleOf(t schema.TypeRef) (rule, bool) {
	list, inner := t.Inlined.List, t.Inlined.Map
	switch {
	case list != nil && list.ElementRelationship == schema.Associative:
		return rule{set: len(list.Keys) == 0, keys: slices.Sorted(slices.Values(list.Keys))}, true
	case inner != nil && inner.ElementRelationship == schema.Atomic,
		t.ElementRelationship != nil && *t.ElementRelationship == schema.Atomic,
		t.NamedType != nil && *t.NamedType == untyped:
		return rule{atomic: true}, true
	case t.NamedType != nil && t.ElementRelationship != nil && *t.ElementRelationship == schema.Separable:
		return rule{parts: true}, true
	}
	return rule{}, false
}
