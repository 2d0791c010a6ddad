package openapi

import (
	"reflect"
	"slices"
	"strings"
)

// parameter is one query parameter or path variable.
type parameter struct {
	name, in, description string
	kind                  string // string, integer, boolean
	repeated              bool
}

// notQuery are fields of option structs that only a body can carry.
var notQuery = []string{"kind", "apiVersion", "preconditions"}

// queryParameters reads the parameters off option structs, sorted, each once.
func queryParameters(types []reflect.Type) []parameter {
	out := []parameter{{name: "pretty", in: "query", kind: "string",
		description: "If 'true', then the output is pretty printed."}}
	for _, t := range types {
		docs := map[string]string{}
		if d, ok := reflect.Zero(t).Interface().(documented); ok {
			docs = d.SwaggerDoc()
		}
		for i := range t.NumField() {
			f := t.Field(i)
			tag, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			has := slices.ContainsFunc(out, func(p parameter) bool { return p.name == tag })
			if tag == "" || tag == "-" || has || slices.Contains(notQuery, tag) {
				continue
			}
			kind, repeated := parameterKind(f.Type)
			out = append(out, parameter{name: tag, in: "query", description: docs[tag], kind: kind, repeated: repeated})
		}
	}
	slices.SortFunc(out, func(a, b parameter) int { return strings.Compare(a.name, b.name) })
	return out
}

func parameterKind(t reflect.Type) (kind string, repeated bool) {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch t.Kind() {
	case reflect.Bool:
		return "boolean", false
	case reflect.Int64, reflect.Int32:
		return "integer", false
	case reflect.Slice:
		return "string", true
	}
	return "string", false
}

// pathParameters are the variables in a route's path.
func pathParameters(r route, kind string) []parameter {
	var out []parameter
	if r.named {
		out = append(out, parameter{name: "name", in: "path", kind: "string", description: "name of the " + kind})
	}
	if r.namespaced {
		out = append(out, parameter{name: "namespace", in: "path", kind: "string",
			description: "object name and auth scope, such as for teams and projects"})
	}
	return out
}

// render writes p as the dialect has it.
func (p parameter) render(d dialect) map[string]any {
	m := map[string]any{"name": p.name, "in": p.in}
	if p.description != "" {
		m["description"] = p.description
	}
	if p.in == "path" {
		m["required"] = true
	}
	if d == v2 {
		m["type"], m["uniqueItems"] = p.kind, true
		return m
	}
	m["schema"] = map[string]any{"type": p.kind, "uniqueItems": true}
	return m
}
