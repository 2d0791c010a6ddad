package openapi

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"

	openapiv2 "github.com/google/gnostic-models/openapiv2"
	openapiv3 "github.com/google/gnostic-models/openapiv3"
	"google.golang.org/protobuf/proto"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/kube-openapi/pkg/spec3"
	"k8s.io/kube-openapi/pkg/validation/spec"

	"github.com/miniorch/miniorch/apiserver/registry"
	"github.com/miniorch/miniorch/apiserver/resource"
)

func newService() *Service {
	return New(func() []resource.Descriptor { return registry.All(registry.Config{}) }, "v1.37.0")
}

func get(t *testing.T, s http.Handler, path string, headers ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest("GET", path, nil)
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

func v3Documents(t *testing.T, s http.Handler) map[string]*spec3.OpenAPI {
	t.Helper()
	var index struct {
		Paths map[string]struct{ ServerRelativeURL string }
	}
	if err := json.Unmarshal(get(t, s, "/openapi/v3").Body.Bytes(), &index); err != nil {
		t.Fatal(err)
	}
	docs := map[string]*spec3.OpenAPI{}
	for name, entry := range index.Paths {
		w := get(t, s, entry.ServerRelativeURL)
		doc := &spec3.OpenAPI{}
		if err := json.Unmarshal(w.Body.Bytes(), doc); err != nil || w.Code != 200 {
			t.Fatalf("%s: %d %v", name, w.Code, err)
		}
		if cc := w.Header().Get("Cache-Control"); !strings.Contains(cc, "immutable") {
			t.Errorf("%s asked for by its hash may be kept for ever, but: %q", name, cc)
		}
		docs[name] = doc
	}
	return docs
}

// TestV3 reads the documents with the library that clients use.
func TestV3(t *testing.T) {
	s := newService()
	docs := v3Documents(t, s)
	for _, d := range registry.All(registry.Config{}) {
		doc := docs[rootOf(d.GroupVersion())]
		if doc == nil {
			t.Errorf("%s: no document", d.GVR())
			continue
		}
		if d.Virtual != nil {
			continue // TestVirtual looks at these
		}
		item := doc.Paths.Paths[collection(d)+"/{name}"]
		if item == nil || item.Patch == nil || item.Get == nil || item.Put == nil || item.Delete == nil {
			t.Errorf("%s: verbs are missing", d.GVR())
			continue
		}
		// kubectl looks here to find out whether the server checks fields.
		for _, op := range []*spec3.Operation{item.Patch, item.Put, doc.Paths.Paths[collection(d)].Post} {
			if !hasParameter(op, "fieldValidation") {
				t.Errorf("%s: %s has no fieldValidation", d.GVR(), op.OperationId)
			}
		}
		var gvk groupVersionKind
		if err := item.Patch.Extensions.GetObject("x-kubernetes-group-version-kind", &gvk); err != nil || gvk != gvkOf(d.GVK()) {
			t.Errorf("%s: patch is about %+v, %v", d.GVR(), gvk, err)
		}
		for n, schema := range doc.Components.Schemas {
			checkRefs(t, doc, n, schema)
		}
	}
	seen := map[string]string{}
	for path, doc := range docs {
		for url, item := range doc.Paths.Paths {
			for _, op := range []*spec3.Operation{item.Get, item.Put, item.Post, item.Patch, item.Delete} {
				if op == nil {
					continue
				}
				if at := seen[op.OperationId]; at != "" {
					t.Errorf("%s: operation %q is also at %s", path, op.OperationId, at)
				}
				seen[op.OperationId] = url
			}
		}
	}
}

func hasParameter(op *spec3.Operation, name string) bool {
	for _, p := range op.Parameters {
		if p.Name == name && p.In == "query" {
			return true
		}
	}
	return false
}

func checkRefs(t *testing.T, doc *spec3.OpenAPI, where string, s *spec.Schema) {
	t.Helper()
	if ref := s.Ref.String(); ref != "" {
		if _, ok := doc.Components.Schemas[strings.TrimPrefix(ref, "#/components/schemas/")]; !ok {
			t.Errorf("%s refers to %s, which is not there", where, ref)
		}
	}
	for n, p := range s.Properties {
		checkRefs(t, doc, where+"."+n, &p)
	}
	for i := range s.AllOf {
		checkRefs(t, doc, where, &s.AllOf[i])
	}
	if s.Items != nil && s.Items.Schema != nil {
		checkRefs(t, doc, where+"[]", s.Items.Schema)
	}
	if s.AdditionalProperties != nil && s.AdditionalProperties.Schema != nil {
		checkRefs(t, doc, where+"{}", s.AdditionalProperties.Schema)
	}
}

func TestSchemas(t *testing.T) {
	docs := v3Documents(t, newService())
	core := docs["api/v1"].Components.Schemas
	field := func(owner, name string) spec.Schema {
		t.Helper()
		s, ok := core["io.k8s."+owner].Properties[name]
		if !ok {
			t.Fatalf("%s has no %s", owner, name)
		}
		return s
	}
	t.Run("merge rules of a list", func(t *testing.T) {
		ports := field("api.core.v1.Container", "ports")
		want := map[string]any{
			"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": []any{"containerPort", "protocol"},
			"x-kubernetes-patch-merge-key": "containerPort", "x-kubernetes-patch-strategy": "merge",
		}
		for k, v := range want {
			if !reflect.DeepEqual(ports.Extensions[k], v) {
				t.Errorf("%s is %v, want %v", k, ports.Extensions[k], v)
			}
		}
	})
	t.Run("types", func(t *testing.T) {
		for _, tt := range []struct{ owner, field, kind, format string }{
			{"api.core.v1.PodSpec", "terminationGracePeriodSeconds", "integer", "int64"},
			{"api.core.v1.Container", "image", "string", ""},
			{"api.core.v1.Container", "args", "array", ""},
			{"api.core.v1.PodSpec", "nodeSelector", "object", ""},
			{"api.core.v1.PodSpec", "hostNetwork", "boolean", ""},
			{"api.core.v1.Secret", "data", "object", ""},
		} {
			s := field(tt.owner, tt.field)
			if len(s.Type) != 1 || s.Type[0] != tt.kind || s.Format != tt.format || s.Description == "" {
				t.Errorf("%s.%s: %v %q, described %v", tt.owner, tt.field, s.Type, s.Format, s.Description != "")
			}
		}
		if s := field("api.core.v1.Secret", "data").AdditionalProperties.Schema; s.Format != "byte" {
			t.Errorf("bytes are %v %q", s.Type, s.Format)
		}
		if q := core["io.k8s.apimachinery.pkg.api.resource.Quantity"]; len(q.OneOf) != 2 {
			t.Errorf("a quantity is a string or a number: %+v", q)
		}
		if q := core["io.k8s.apimachinery.pkg.apis.meta.v1.Time"]; q.Format != "date-time" || len(q.Properties) != 0 {
			t.Errorf("time: %+v", q)
		}
		if f := core["io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1"]; len(f.Properties) != 0 || f.Type[0] != "object" {
			t.Errorf("FieldsV1: %+v", f)
		}
	})
	t.Run("required", func(t *testing.T) {
		if got := core["io.k8s.api.core.v1.PodSpec"].Required; !reflect.DeepEqual(got, []string{"containers"}) {
			t.Errorf("a PodSpec requires %v", got)
		}
	})
	t.Run("embedded structs", func(t *testing.T) {
		field("api.core.v1.Volume", "emptyDir")
		field("api.core.v1.Probe", "httpGet")
	})
	t.Run("kind", func(t *testing.T) {
		var kinds []groupVersionKind
		if err := core["io.k8s.api.core.v1.Pod"].Extensions.GetObject("x-kubernetes-group-version-kind", &kinds); err != nil || len(kinds) != 1 || kinds[0].Kind != "Pod" {
			t.Errorf("%v %v", kinds, err)
		}
	})
}

// TestNames: definitions have the names that Kubernetes gives them.
func TestNames(t *testing.T) {
	for want, v := range map[string]any{
		"io.k8s.api.core.v1.Pod":                                corev1.Pod{},
		"io.k8s.api.discovery.v1.EndpointSlice":                 discoveryv1.EndpointSlice{},
		"io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta":       metav1.ObjectMeta{},
		"io.k8s.apimachinery.pkg.runtime.RawExtension":          runtime.RawExtension{},
		"com.github.miniorch.miniorch.apiserver.openapi.schema": schema{},
	} {
		if got := name(reflect.TypeOf(v)); got != want {
			t.Errorf("%T is named %s, want %s", v, got, want)
		}
	}
}

// TestV2 reads the document as JSON and in the protobuf form that client-go asks for.
func TestV2(t *testing.T) {
	s := newService()
	var swagger spec.Swagger
	w := get(t, s, "/openapi/v2")
	if err := json.Unmarshal(w.Body.Bytes(), &swagger); err != nil {
		t.Fatal(err)
	}
	if len(swagger.Definitions) < 200 || swagger.Paths.Paths["/api/v1/namespaces/{namespace}/pods/{name}"].Patch == nil {
		t.Errorf("%d definitions", len(swagger.Definitions))
	}
	w = get(t, s, "/openapi/v2", "Accept", v2ProtobufType)
	var doc openapiv2.Document
	if err := proto.Unmarshal(w.Body.Bytes(), &doc); err != nil {
		t.Fatal(err)
	}
	if w.Header().Get("Content-Type") != v2ProtobufAnswer || len(doc.Definitions.AdditionalProperties) != len(swagger.Definitions) {
		t.Errorf("%s with %d definitions, want %d", w.Header().Get("Content-Type"), len(doc.Definitions.AdditionalProperties), len(swagger.Definitions))
	}
}

func TestCaching(t *testing.T) {
	s := newService()
	first := get(t, s, "/openapi/v3/apis/apps/v1")
	etag := first.Header().Get("ETag")
	if w := get(t, s, "/openapi/v3/apis/apps/v1", "If-None-Match", etag); w.Code != http.StatusNotModified {
		t.Errorf("asked with the current ETag: %d", w.Code)
	}
	if w := get(t, s, "/openapi/v3/apis/apps/v1?hash=old"); w.Code != http.StatusMovedPermanently || !strings.HasSuffix(w.Header().Get("Location"), "?hash="+strings.Trim(etag, `"`)) {
		t.Errorf("asked by an old hash: %d to %s", w.Code, w.Header().Get("Location"))
	}
	for path, code := range map[string]int{"/openapi/v3/apis/nothing/v1": 404, "/openapi/v3/x": 404, "/openapi/v9": 404} {
		if w := get(t, s, path); w.Code != code {
			t.Errorf("%s: %d, want %d", path, w.Code, code)
		}
	}
}

// TestV3Protobuf: both forms of a document say the same, and a link to one is good for the other.
func TestV3Protobuf(t *testing.T) {
	s := newService()
	var index struct {
		Paths map[string]struct{ ServerRelativeURL string }
	}
	if err := json.Unmarshal(get(t, s, "/openapi/v3").Body.Bytes(), &index); err != nil {
		t.Fatal(err)
	}
	link := index.Paths["apis/batch/v1"].ServerRelativeURL
	w := get(t, s, link, "Accept", v3ProtobufType)
	if w.Code != http.StatusOK || w.Header().Get("Content-Type") != v3ProtobufAnswer {
		t.Fatalf("%s: %d %s", link, w.Code, w.Header().Get("Content-Type"))
	}
	var doc openapiv3.Document
	if err := proto.Unmarshal(w.Body.Bytes(), &doc); err != nil {
		t.Fatal(err)
	}
	var plain struct {
		Paths      map[string]any
		Components struct{ Schemas map[string]any }
	}
	if err := json.Unmarshal(get(t, s, link).Body.Bytes(), &plain); err != nil {
		t.Fatal(err)
	}
	if paths, schemas := len(doc.Paths.Path), len(doc.Components.Schemas.AdditionalProperties); paths != len(plain.Paths) || schemas != len(plain.Components.Schemas) || paths == 0 {
		t.Errorf("%d paths and %d schemas in protobuf, %d and %d in JSON", paths, schemas, len(plain.Paths), len(plain.Components.Schemas))
	}
	if again := get(t, s, link, "Accept", v3ProtobufType, "If-None-Match", w.Header().Get("ETag")); again.Code != http.StatusNotModified {
		t.Errorf("asked with the current ETag: %d", again.Code)
	}
	if w.Header().Get("ETag") == get(t, s, link).Header().Get("ETag") {
		t.Error("two forms share an ETag")
	}
}

// TestNewKinds: a resource that is added while the server runs appears.
func TestNewKinds(t *testing.T) {
	all := registry.All(registry.Config{})
	served := all[:1]
	s := New(func() []resource.Descriptor { return served }, "v1.37.0")
	if w := get(t, s, "/openapi/v3/apis/apps/v1"); w.Code != 404 {
		t.Fatalf("apps/v1 is not served yet: %d", w.Code)
	}
	before := get(t, s, "/openapi/v2").Body.Len()
	served = all
	if w := get(t, s, "/openapi/v3/apis/apps/v1"); w.Code != 200 {
		t.Errorf("after adding: %d", w.Code)
	}
	if after := get(t, s, "/openapi/v2").Body.Len(); after <= before {
		t.Errorf("the document did not grow: %d, %d bytes", before, after)
	}
}

func BenchmarkV3(b *testing.B) {
	all := registry.All(registry.Config{})
	for b.Loop() {
		s := New(func() []resource.Descriptor { return all }, "v1.37.0")
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequest("GET", "/openapi/v3/api/v1", nil))
	}
}
