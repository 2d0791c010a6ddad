package openapi

import (
	"encoding/json"
	"reflect"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	k8sschema "k8s.io/apimachinery/pkg/runtime/schema"
	smdschema "sigs.k8s.io/structured-merge-diff/v6/schema"

	"github.com/miniorch/miniorch/apiserver/resource"
)

// The media types of bodies.
var (
	produced      = []string{"application/json", "application/yaml", "application/vnd.kubernetes.protobuf"}
	streamed      = []string{"application/json;stream=watch", "application/vnd.kubernetes.protobuf;stream=watch"}
	patchConsumed = []string{"application/json-patch+json", "application/merge-patch+json", "application/strategic-merge-patch+json",
		"application/apply-patch+yaml"}
)

const statusText = "Unauthorized"

// document collects one OpenAPI document.
type document struct {
	dialect dialect
	version string
	types   *typeBuilder
	paths   map[string]any
}

func newDocument(d dialect, version string, merge *smdschema.Schema, gvks map[reflect.Type][]groupVersionKind) *document {
	return &document{
		dialect: d, version: version, paths: map[string]any{},
		types: &typeBuilder{dialect: d, merge: merge, named: map[string]*schema{}, gvks: gvks},
	}
}

func (doc *document) add(d resource.Descriptor) {
	tag := groupTag(d.GroupVersion())
	for _, r := range routes(d) {
		item := map[string]any{}
		for _, op := range r.operations {
			item[op.method] = doc.operation(op, tag)
		}
		var params []any
		for _, p := range pathParameters(r, d.Kind) {
			params = append(params, p.render(doc.dialect))
		}
		if params != nil {
			item["parameters"] = params
		}
		doc.paths[r.path] = item
	}
	doc.types.ref(reflect.TypeFor[metav1.WatchEvent]())
}

func (doc *document) operation(op operation, tag string) map[string]any {
	m := map[string]any{
		"description":         op.summary,
		"operationId":         op.id,
		"tags":                []string{tag},
		"x-kubernetes-action": op.action,
		"x-kubernetes-group-version-kind": groupVersionKind{
			Group: op.kind.Group, Version: op.kind.Version, Kind: op.kind.Kind},
		"responses": doc.responses(op),
	}
	var params []any
	for _, p := range queryParameters(op.options) {
		params = append(params, p.render(doc.dialect))
	}
	if doc.dialect == v2 {
		m["schemes"] = []string{"https"}
		m["produces"] = doc.produces(op)
		m["consumes"] = []string{"*/*"}
		if op.patch {
			m["consumes"] = patchConsumed
		}
	}
	if op.body != nil {
		body := doc.types.ref(op.body)
		if doc.dialect == v2 {
			params = append(params, map[string]any{"in": "body", "name": "body", "required": !op.optional, "schema": body})
		} else {
			consumes := []string{"*/*"}
			if op.patch {
				consumes = patchConsumed
			}
			m["requestBody"] = map[string]any{"required": !op.optional, "content": content(consumes, body)}
		}
	}
	m["parameters"] = params
	return m
}

func (doc *document) produces(op operation) []string {
	switch {
	case op.returns == nil:
		return []string{"text/plain", "*/*"}
	case op.watch:
		return append(append([]string{}, produced...), streamed...)
	}
	return produced
}

func (doc *document) responses(op operation) map[string]any {
	out := map[string]any{"401": map[string]any{"description": statusText}}
	schemaOf := &schema{Type: "string"}
	if op.returns != nil {
		schemaOf = doc.types.ref(op.returns)
	}
	for _, code := range op.codes {
		text := map[string]string{"200": "OK", "201": "Created", "202": "Accepted"}[code]
		if doc.dialect == v2 {
			out[code] = map[string]any{"description": text, "schema": schemaOf}
		} else {
			out[code] = map[string]any{"description": text, "content": content(doc.produces(op), schemaOf)}
		}
	}
	return out
}

func content(mediaTypes []string, s *schema) map[string]any {
	out := map[string]any{}
	for _, m := range mediaTypes {
		out[m] = map[string]any{"schema": s}
	}
	return out
}

// MarshalJSON writes the whole document.
func (doc *document) MarshalJSON() ([]byte, error) {
	info := map[string]any{"title": "Kubernetes", "version": doc.version}
	if doc.dialect == v2 {
		return json.Marshal(map[string]any{
			"swagger": "2.0", "info": info, "paths": doc.paths, "definitions": doc.types.named,
			"securityDefinitions": map[string]any{"BearerToken": map[string]any{
				"type": "apiKey", "name": "authorization", "in": "header", "description": "Bearer Token authentication"}},
			"security": []any{map[string]any{"BearerToken": []string{}}},
		})
	}
	return json.Marshal(map[string]any{
		"openapi": "3.0.0", "info": info, "paths": doc.paths,
		"components": map[string]any{
			"schemas": doc.types.named,
			"securitySchemes": map[string]any{"BearerToken": map[string]any{
				"type": "apiKey", "name": "authorization", "in": "header", "description": "Bearer Token authentication"}},
		},
	})
}

// kinds maps the Go types of the resources' objects and lists to the kinds they have, and
// the types that every group shares to all of them.
func kinds(ds []resource.Descriptor) map[reflect.Type][]groupVersionKind {
	out := map[reflect.Type][]groupVersionKind{}
	add := func(t reflect.Type, gvk k8sschema.GroupVersionKind) {
		for _, have := range out[t] {
			if have == gvkOf(gvk) {
				return
			}
		}
		out[t] = append(out[t], gvkOf(gvk))
	}
	for _, d := range ds {
		add(structType(d.New()), d.GVK())
		if d.NewList != nil { // nobody lists reviews
			add(structType(d.NewList()), d.GroupVersion().WithKind(d.Kind+"List"))
		}
		add(deleteType, d.GroupVersion().WithKind("DeleteOptions"))
		add(reflect.TypeFor[metav1.WatchEvent](), d.GroupVersion().WithKind("WatchEvent"))
		for _, sub := range d.Subresources {
			kind := subresourceKind(d, sub)
			if t, ok := goType(kind); ok {
				add(t, kind)
			}
		}
	}
	add(statusType, k8sschema.GroupVersionKind{Version: "v1", Kind: "Status"})
	return out
}
