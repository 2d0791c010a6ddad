package openapi

import (
	"encoding/json"
	"maps"
)

// schema is the part of JSON Schema that both OpenAPI versions share, as far as the API's
// types need it.
type schema struct {
	Ref                  string
	Description          string
	Type                 string
	Format               string
	Enum                 []string
	Properties           map[string]*schema
	Required             []string
	Items                *schema
	AdditionalProperties *schema
	AllOf                []*schema
	OneOf                []*schema
	Extensions           map[string]any // x-kubernetes-…
}

// MarshalJSON writes the set fields and the extensions side by side.
func (s *schema) MarshalJSON() ([]byte, error) {
	m := maps.Clone(s.Extensions)
	if m == nil {
		m = map[string]any{}
	}
	put := func(key string, set bool, value any) {
		if set {
			m[key] = value
		}
	}
	put("$ref", s.Ref != "", s.Ref)
	put("description", s.Description != "", s.Description)
	put("type", s.Type != "", s.Type)
	put("format", s.Format != "", s.Format)
	put("enum", len(s.Enum) > 0, s.Enum)
	put("properties", len(s.Properties) > 0, s.Properties)
	put("required", len(s.Required) > 0, s.Required)
	put("items", s.Items != nil, s.Items)
	put("additionalProperties", s.AdditionalProperties != nil, s.AdditionalProperties)
	put("allOf", len(s.AllOf) > 0, s.AllOf)
	put("oneOf", len(s.OneOf) > 0, s.OneOf)
	return json.Marshal(m)
}

func (s *schema) extend(key string, value any) {
	if s.Extensions == nil {
		s.Extensions = map[string]any{}
	}
	s.Extensions[key] = value
}
