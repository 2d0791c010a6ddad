package openapi

import (
	"bytes"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"

	k8sschema "k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/miniorch/miniorch/apiserver/resource"
)

// What clients ask for has an "@", which is no character of a media type: Go's parser refuses it in an
// answer's Content-Type. Kubernetes answers with a dot in its place.
const (
	v2ProtobufType   = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"
	v2ProtobufAnswer = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
	v3ProtobufType   = "application/com.github.proto-openapi.spec.v3@v1.0+protobuf"
)

// ServeHTTP serves everything below /openapi/.
func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	path := strings.TrimSuffix(r.URL.Path, "/")
	switch {
	case path == "/openapi/v2":
		s.serveV2(w, r)
	case path == "/openapi/v3":
		s.serveIndex(w, r)
	case strings.HasPrefix(path, "/openapi/v3/"):
		s.serveV3(w, r, strings.TrimPrefix(path, "/openapi/v3/"))
	default:
		http.NotFound(w, r)
	}
}

func (s *Service) serveV2(w http.ResponseWriter, r *http.Request) {
	mediaType, make := "application/json", s.v2JSON
	if accept := r.Header.Get("Accept"); strings.Contains(accept, v2ProtobufType) || strings.Contains(accept, v2ProtobufAnswer) {
		mediaType, make = v2ProtobufAnswer, s.v2Protobuf
	}
	w.Header().Set("Vary", "Accept")
	s.serve(w, r, mediaType, "v2 "+mediaType, make)
}

// serveV3 serves one group and version: "api/v1", "apis/apps/v1". The documents are JSON;
// who accepts nothing but protobuf is told so.
func (s *Service) serveV3(w http.ResponseWriter, r *http.Request, path string) {
	gv, ok := parseRoot(path)
	known := slices.ContainsFunc(s.descriptors(), func(d resource.Descriptor) bool { return d.GroupVersion() == gv })
	if !ok || !known {
		http.NotFound(w, r)
		return
	}
	if r.Header.Get("Accept") == v3ProtobufType {
		http.Error(w, "OpenAPI v3 is served as application/json", http.StatusNotAcceptable)
		return
	}
	s.serve(w, r, "application/json", "v3 "+path, func(ds []resource.Descriptor) ([]byte, error) { return s.v3JSON(ds, gv) })
}

// serveIndex lists the documents, each with its hash so that clients can keep it for ever.
func (s *Service) serveIndex(w http.ResponseWriter, r *http.Request) {
	type entry struct {
		URL string `json:"serverRelativeURL"`
	}
	paths := map[string]entry{}
	for _, d := range s.descriptors() {
		root := rootOf(d.GroupVersion())
		if _, done := paths[root]; done {
			continue
		}
		gv := d.GroupVersion()
		doc, err := s.document("v3 "+root, func(ds []resource.Descriptor) ([]byte, error) { return s.v3JSON(ds, gv) })
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		paths[root] = entry{URL: "/openapi/v3/" + root + "?hash=" + doc.hash}
	}
	s.serve(w, r, "application/json", "v3", func([]resource.Descriptor) ([]byte, error) {
		return json.Marshal(map[string]any{"paths": paths})
	})
}

// serve answers with a document. Asked for by its current hash it may be cached for ever;
// asked for by another, the client is sent to the current one.
func (s *Service) serve(w http.ResponseWriter, r *http.Request, mediaType, key string, make func([]resource.Descriptor) ([]byte, error)) {
	doc, err := s.document(key, make)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	h := w.Header()
	if hash := r.URL.Query().Get("hash"); hash != "" {
		if hash != doc.hash {
			http.Redirect(w, r, r.URL.Path+"?hash="+doc.hash, http.StatusMovedPermanently)
			return
		}
		h.Set("Cache-Control", "public, immutable")
		h.Set("Expires", time.Now().AddDate(1, 0, 0).UTC().Format(http.TimeFormat))
	}
	h.Set("Content-Type", mediaType)
	h.Set("ETag", `"`+doc.hash+`"`)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(doc.body))
}

func rootOf(gv k8sschema.GroupVersion) string {
	if gv.Group == "" {
		return "api/" + gv.Version
	}
	return "apis/" + gv.Group + "/" + gv.Version
}

func parseRoot(path string) (k8sschema.GroupVersion, bool) {
	parts := strings.Split(path, "/")
	switch {
	case len(parts) == 2 && parts[0] == "api":
		return k8sschema.GroupVersion{Version: parts[1]}, true
	case len(parts) == 3 && parts[0] == "apis":
		return k8sschema.GroupVersion{Group: parts[1], Version: parts[2]}, true
	}
	return k8sschema.GroupVersion{}, false
}
