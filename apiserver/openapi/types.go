package openapi

import (
	"reflect"
	"slices"
	"strings"

	k8sschema "k8s.io/apimachinery/pkg/runtime/schema"
	smdschema "sigs.k8s.io/structured-merge-diff/v6/schema"
)

// dialect is an OpenAPI version.
type dialect int

const (
	v2 dialect = 2
	v3 dialect = 3
)

func (d dialect) refPrefix() string {
	if d == v2 {
		return "#/definitions/"
	}
	return "#/components/schemas/"
}

// typeBuilder turns Go types into named schemas, each once.
type typeBuilder struct {
	dialect dialect
	merge   *smdschema.Schema // how lists and maps merge, by type name and field
	named   map[string]*schema
	gvks    map[reflect.Type][]groupVersionKind
}

// groupVersionKind is x-kubernetes-group-version-kind.
type groupVersionKind struct {
	Group   string `json:"group"`
	Kind    string `json:"kind"`
	Version string `json:"version"`
}

func gvkOf(k k8sschema.GroupVersionKind) groupVersionKind {
	return groupVersionKind{Group: k.Group, Kind: k.Kind, Version: k.Version}
}

// The interfaces by which the API's types describe themselves.
type (
	namer       interface{ OpenAPIModelName() string }
	documented  interface{ SwaggerDoc() map[string]string }
	customType  interface{ OpenAPISchemaType() []string }
	customForm  interface{ OpenAPISchemaFormat() string }
	customOneOf interface{ OpenAPIV3OneOfTypes() []string }
)

// descriptions of types that carry no documentation of their own.
var descriptions = map[string]string{
	"io.k8s.apimachinery.pkg.api.resource.Quantity":        "Quantity is a fixed-point representation of a number, for example 100m, 1.5, 2Gi or 1e3.",
	"io.k8s.apimachinery.pkg.util.intstr.IntOrString":      "IntOrString is a type that can hold an int32 or a string.",
	"io.k8s.apimachinery.pkg.apis.meta.v1.Time":            "Time is a timestamp in RFC 3339 format.",
	"io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime":       "MicroTime is a timestamp with microsecond precision in RFC 3339 format.",
	"io.k8s.apimachinery.pkg.apis.meta.v1.Duration":        "Duration is a length of time such as 1h30m.",
	"io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1":        "FieldsV1 stores a set of fields in a data structure like a trie, in JSON format.",
	"io.k8s.apimachinery.pkg.runtime.RawExtension":         "RawExtension holds an object of any kind.",
	"io.k8s.apimachinery.pkg.apis.meta.v1.WatchEvent":      "Event represents a single event to a watched resource.",
	"io.k8s.apimachinery.pkg.apis.meta.v1.LabelSelector":   "A label selector is a label query over a set of resources.",
	"io.k8s.apimachinery.pkg.apis.meta.v1.APIResourceList": "APIResourceList names the resources of one group and version.",
}

// opaque types are written as objects of any content, whatever they look like in Go.
var opaque = []string{
	"io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1",
	"io.k8s.apimachinery.pkg.runtime.RawExtension",
}

// name returns the definition's name of a Go type: io.k8s.api.core.v1.Pod.
func name(t reflect.Type) string {
	if n, ok := reflect.Zero(t).Interface().(namer); ok {
		return n.OpenAPIModelName()
	}
	domain, path, _ := strings.Cut(t.PkgPath(), "/")
	parts := strings.Split(domain, ".")
	slices.Reverse(parts)
	return strings.Join(append(parts, strings.Split(path, "/")...), ".") + "." + t.Name()
}

// ref returns a reference to t's definition and makes sure that there is one.
func (b *typeBuilder) ref(t reflect.Type) *schema {
	n := name(t)
	if _, done := b.named[n]; !done {
		b.named[n] = nil // breaks cycles
		b.named[n] = b.define(t, n)
	}
	return &schema{Ref: b.dialect.refPrefix() + n}
}

func (b *typeBuilder) define(t reflect.Type, n string) *schema {
	zero := reflect.Zero(t).Interface()
	s := &schema{Description: descriptions[n], Type: "object"}
	docs := map[string]string{}
	if d, ok := zero.(documented); ok {
		docs = d.SwaggerDoc()
		if docs[""] != "" {
			s.Description = docs[""]
		}
	}
	switch custom, ok := zero.(customType); {
	case slices.Contains(opaque, n):
	case ok:
		b.customize(s, custom)
	default:
		s.Properties = map[string]*schema{}
		b.fields(s, t, n, docs)
	}
	if def, ok := b.merge.FindNamedType(n); ok && def.Map != nil && def.Map.ElementRelationship == smdschema.Atomic {
		s.extend("x-kubernetes-map-type", "atomic")
	}
	if gvks := b.gvks[t]; len(gvks) > 0 {
		s.extend("x-kubernetes-group-version-kind", gvks)
	}
	return s
}

// customize describes a type that serializes itself (Quantity, IntOrString, Time).
func (b *typeBuilder) customize(s *schema, custom customType) {
	s.Type = custom.OpenAPISchemaType()[0]
	if f, ok := custom.(customForm); ok {
		s.Format = f.OpenAPISchemaFormat()
	}
	if one, ok := custom.(customOneOf); ok && b.dialect == v3 {
		s.Type = ""
		for _, t := range one.OpenAPIV3OneOfTypes() {
			s.OneOf = append(s.OneOf, &schema{Type: t})
		}
	}
}

// fields adds the properties of struct t, those of embedded structs included.
func (b *typeBuilder) fields(s *schema, t reflect.Type, owner string, docs map[string]string) {
	for i := range t.NumField() {
		f := t.Field(i)
		tag, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if tag == "-" || !f.IsExported() {
			continue
		}
		if tag == "" && (f.Anonymous || strings.Contains(options, "inline")) {
			b.embed(s, f.Type, owner)
			continue
		}
		p := b.property(f.Type)
		p = b.describe(p, docs[tag])
		b.mergeRules(p, f, owner, tag)
		s.Properties[tag] = p
		if !strings.Contains(options, "omitempty") && !strings.Contains(options, "omitzero") && !isOptional(t, tag) {
			s.Required = append(s.Required, tag)
		}
	}
}

func (b *typeBuilder) embed(s *schema, t reflect.Type, owner string) {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	docs := map[string]string{}
	if d, ok := reflect.Zero(t).Interface().(documented); ok {
		docs = d.SwaggerDoc()
	}
	b.fields(s, t, owner, docs)
}

// describe adds a field's description. Beside $ref OpenAPI v3 allows nothing, so the
// reference is wrapped.
func (b *typeBuilder) describe(p *schema, text string) *schema {
	if p.Ref != "" && b.dialect == v3 {
		p = &schema{AllOf: []*schema{{Ref: p.Ref}}}
	}
	p.Description = text
	return p
}

func (b *typeBuilder) property(t reflect.Type) *schema {
	switch t.Kind() {
	case reflect.Pointer:
		return b.property(t.Elem())
	case reflect.Struct:
		return b.ref(t)
	case reflect.Slice, reflect.Array:
		if t.Elem().Kind() == reflect.Uint8 {
			return &schema{Type: "string", Format: "byte"}
		}
		return &schema{Type: "array", Items: b.property(t.Elem())}
	case reflect.Map:
		return &schema{Type: "object", AdditionalProperties: b.property(t.Elem())}
	case reflect.String:
		return &schema{Type: "string", Enum: enumOf(t)}
	case reflect.Bool:
		return &schema{Type: "boolean"}
	case reflect.Int64, reflect.Int, reflect.Uint64, reflect.Uint32:
		return &schema{Type: "integer", Format: "int64"}
	case reflect.Int32, reflect.Int16, reflect.Int8, reflect.Uint16, reflect.Uint8:
		return &schema{Type: "integer", Format: "int32"}
	case reflect.Float64:
		return &schema{Type: "number", Format: "double"}
	case reflect.Float32:
		return &schema{Type: "number", Format: "float"}
	}
	return &schema{Type: "object"} // interfaces
}

// mergeRules tells clients how a patch or an apply merges the field.
func (b *typeBuilder) mergeRules(p *schema, f reflect.StructField, owner, tag string) {
	if strategy := f.Tag.Get("patchStrategy"); strategy != "" {
		p.extend("x-kubernetes-patch-strategy", strategy)
	}
	if key := f.Tag.Get("patchMergeKey"); key != "" {
		p.extend("x-kubernetes-patch-merge-key", key)
	}
	def, ok := b.merge.FindNamedType(owner)
	if !ok || def.Map == nil {
		return
	}
	field, ok := def.Map.FindField(tag)
	if !ok {
		return
	}
	switch list := field.Type.Inlined.List; {
	case list == nil:
		if m := field.Type.Inlined.Map; m != nil && m.ElementRelationship == smdschema.Atomic {
			p.extend("x-kubernetes-map-type", "atomic")
		}
	case list.ElementRelationship == smdschema.Atomic:
		p.extend("x-kubernetes-list-type", "atomic")
	case len(list.Keys) > 0:
		p.extend("x-kubernetes-list-type", "map")
		p.extend("x-kubernetes-list-map-keys", list.Keys)
	default:
		p.extend("x-kubernetes-list-type", "set")
	}
}
