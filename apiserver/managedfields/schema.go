package managedfields

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"sync"

	"sigs.k8s.io/structured-merge-diff/v6/schema"
	"sigs.k8s.io/structured-merge-diff/v6/typed"
)

// schemaJSON says how the parts of our kinds are merged: which lists are sets or maps and by
// which keys, what is owned only as a whole. It is what client-go's apply configurations
// know, cut down to our kinds. The test writes it anew with -update.
//
//go:embed schema.json
var schemaJSON []byte

// parser reads the schema when the first object is written.
var parser = sync.OnceValue(func() *typed.Parser {
	var types []wireType
	if err := json.Unmarshal(schemaJSON, &types); err != nil {
		panic(fmt.Sprintf("managedfields: the built-in schema: %v", err)) // a test reads it
	}
	p := &typed.Parser{}
	for _, t := range types {
		p.Schema.Types = append(p.Schema.Types, schema.TypeDef{Name: t.Name, Atom: t.wireAtom.atom()})
	}
	return p
})

// Schema says how the fields of the built-in types merge. The Go types do not: it stands in
// comments.
func Schema() *schema.Schema { return &parser().Schema }

// The wire types are the schema's own without what they share by embedding, which no
// encoder can tell apart.
type wireType struct {
	Name string `json:"name"`
	wireAtom
}

type wireAtom struct {
	Scalar *schema.Scalar `json:"scalar,omitempty"`
	List   *wireList      `json:"list,omitempty"`
	Map    *wireMap       `json:"map,omitempty"`
}

type wireList struct {
	Element      wireRef                    `json:"element"`
	Relationship schema.ElementRelationship `json:"rel,omitempty"`
	Keys         []string                   `json:"keys,omitempty"`
}

type wireMap struct {
	Fields       []wireField                `json:"fields,omitempty"`
	Element      wireRef                    `json:"element,omitzero"`
	Relationship schema.ElementRelationship `json:"rel,omitempty"`
}

type wireField struct {
	Name    string  `json:"name"`
	Type    wireRef `json:"type"`
	Default string  `json:"default,omitempty"`
}

type wireRef struct {
	Named        *string                     `json:"named,omitempty"`
	Inlined      *wireAtom                   `json:"inlined,omitempty"`
	Relationship *schema.ElementRelationship `json:"rel,omitempty"`
	Nullable     bool                        `json:"nullable,omitempty"`
}

func (a wireAtom) atom() schema.Atom {
	out := schema.Atom{Scalar: a.Scalar}
	if a.List != nil {
		out.List = &schema.List{ElementType: a.List.Element.ref(), ElementRelationship: a.List.Relationship, Keys: a.List.Keys}
	}
	if a.Map != nil {
		out.Map = &schema.Map{ElementType: a.Map.Element.ref(), ElementRelationship: a.Map.Relationship}
		for _, f := range a.Map.Fields {
			field := schema.StructField{Name: f.Name, Type: f.Type.ref()}
			if f.Default != "" {
				field.Default = f.Default
			}
			out.Map.Fields = append(out.Map.Fields, field)
		}
	}
	return out
}

func (r wireRef) ref() schema.TypeRef {
	out := schema.TypeRef{NamedType: r.Named, ElementRelationship: r.Relationship, Nullable: r.Nullable}
	if r.Inlined != nil {
		out.Inlined = r.Inlined.atom()
	}
	return out
}
