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
	v3ProtobufAnswer = "application/com.github.proto-openapi.spec.v3.v1.0+protobuf"
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
	if accepts(r, v2ProtobufType, v2ProtobufAnswer) {
		mediaType, make = v2ProtobufAnswer, s.v2Protobuf
	}
	w.Header().Set("Vary", "Accept")
	s.serve(w, r, mediaType, "v2 "+mediaType, make)
}

// accepts reports whether the client asks for one of the types.
func accepts(r *http.Request, types ...string) bool {
	accept := strings.Join(r.Header.Values("Accept"), ",")
	return slices.ContainsFunc(types, func(t string) bool { return strings.Contains(accept, t) })
}

// serveV3 serves one group and version: "api/v1", "apis/apps/v1".
func (s *Service) serveV3(w http.ResponseWriter, r *http.Request, path string) {
	gv, ok := parseRoot(path)
	known := slices.ContainsFunc(s.descriptors(), func(d resource.Descriptor) bool { return d.GroupVersion() == gv })
	if !ok || !known {
		http.NotFound(w, r)
		return
	}
	doc, err := s.document("v3 "+path, func(ds []resource.Descriptor) ([]byte, error) { return s.v3JSON(ds, gv) })
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Vary", "Accept")
	mediaType, content := "application/json", doc.hash // links name the content, in whatever form
	if accepts(r, v3ProtobufType, v3ProtobufAnswer) {
		data := doc.body
		mediaType = v3ProtobufAnswer
		doc, err = s.document("v3 protobuf "+path+" "+content, func([]resource.Descriptor) ([]byte, error) { return v3Protobuf(data) })
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
	}
	send(w, r, mediaType, doc, content)
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

// serve answers with a document.
func (s *Service) serve(w http.ResponseWriter, r *http.Request, mediaType, key string, make func([]resource.Descriptor) ([]byte, error)) {
	doc, err := s.document(key, make)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	send(w, r, mediaType, doc, doc.hash)
}

// send answers with a document. Asked for by the hash of its present content it may be cached for
// ever; asked for by another, the client is sent to the present one.
func send(w http.ResponseWriter, r *http.Request, mediaType string, doc rendered, content string) {
	h := w.Header()
	if hash := r.URL.Query().Get("hash"); hash != "" {
		if hash != content {
			http.Redirect(w, r, r.URL.Path+"?hash="+content, http.StatusMovedPermanently)
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
