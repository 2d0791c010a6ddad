// Package openapi describes the API to clients: /openapi/v2 as one document, /openapi/v3 as
// one document per group and version. Both are derived from the resource descriptors and
// from the Go types by reflection, with the documentation that the types carry; nothing is
// written by hand for a kind. Documents are built when first asked for and then kept.
package openapi

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"sync"

	"google.golang.org/protobuf/proto"

	openapiv2 "github.com/google/gnostic-models/openapiv2"
	openapiv3 "github.com/google/gnostic-models/openapiv3"
	k8sschema "k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/miniorch/miniorch/apiserver/managedfields"
	"github.com/miniorch/miniorch/apiserver/resource"
	"github.com/miniorch/miniorch/pkg/api"
)

// Service makes and keeps the documents.
type Service struct {
	descriptors func() []resource.Descriptor
	version     string

	mu    sync.Mutex
	roots string              // guarded by mu: which resources the documents below describe
	kept  map[string]rendered // guarded by mu: by URL path and media type
}

// rendered is a finished document.
type rendered struct {
	body []byte
	hash string
}

// New returns the service for the resources that descriptors lists at the time of a request.
// version is the API server's.
func New(descriptors func() []resource.Descriptor, version string) *Service {
	return &Service{descriptors: descriptors, version: version, kept: map[string]rendered{}}
}

// document returns a kept document or makes it.
func (s *Service) document(key string, make func(ds []resource.Descriptor) ([]byte, error)) (rendered, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	ds := s.descriptors()
	if roots := roots(ds); roots != s.roots {
		s.roots, s.kept = roots, map[string]rendered{}
	}
	if r, ok := s.kept[key]; ok {
		return r, nil
	}
	body, err := make(ds)
	if err != nil {
		return rendered{}, fmt.Errorf("making the OpenAPI document %s: %w", key, err)
	}
	sum := sha256.Sum256(body)
	r := rendered{body: body, hash: strings.ToUpper(hex.EncodeToString(sum[:]))}
	s.kept[key] = r
	return r, nil
}

// roots names the resources that ds describes.
func roots(ds []resource.Descriptor) string {
	var b strings.Builder
	for _, d := range ds {
		b.WriteString(d.GVR().String() + d.Kind + ";")
	}
	return b.String()
}

func (s *Service) v2JSON(ds []resource.Descriptor) ([]byte, error) {
	doc := newDocument(v2, s.version, managedfields.Schema(), kinds(ds))
	for _, d := range ds {
		if typed(d) {
			doc.add(d)
		}
	}
	return json.Marshal(doc)
}

func (s *Service) v2Protobuf(ds []resource.Descriptor) ([]byte, error) {
	data, err := s.v2JSON(ds)
	if err != nil {
		return nil, err
	}
	parsed, err := openapiv2.ParseDocument(data)
	if err != nil {
		return nil, err
	}
	return proto.Marshal(parsed)
}

func (s *Service) v3JSON(ds []resource.Descriptor, gv k8sschema.GroupVersion) ([]byte, error) {
	doc := newDocument(v3, s.version, managedfields.Schema(), kinds(ds))
	for _, d := range ds {
		if d.GroupVersion() == gv && typed(d) {
			doc.add(d)
		}
	}
	return json.Marshal(doc)
}

// v3Protobuf is what the document in JSON says, in protobuf.
func v3Protobuf(data []byte) ([]byte, error) {
	parsed, err := openapiv3.ParseDocument(data)
	if err != nil {
		return nil, err
	}
	return proto.Marshal(parsed)
}

// typed reports whether the resource has a Go type that can be reflected upon.
func typed(d resource.Descriptor) bool {
	_, ok := goType(d.GVK())
	return ok
}

func goType(gvk k8sschema.GroupVersionKind) (reflect.Type, bool) {
	obj, err := api.Scheme.New(gvk)
	if err != nil {
		return nil, false
	}
	return structType(obj), true
}
