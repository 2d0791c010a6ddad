package discovery

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"mime"
	"net/http"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	kruntime "k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"
)

const (
	mediaJSON     = "application/json"
	mediaYAML     = "application/yaml"
	mediaProtobuf = "application/vnd.kubernetes.protobuf"
	// inOne is how a client asks for all of discovery in one document.
	inOne = ";g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
)

// form is how a document is written.
type form struct {
	media      string
	aggregated bool // everything in one document
}

func (f form) contentType() string {
	if f.aggregated {
		return f.media + inOne
	}
	return f.media
}

// negotiate chooses the first form of the Accept header that there is; JSON if there is none.
// Only the roots have an aggregated form.
func negotiate(r *http.Request, root bool) form {
	for part := range strings.SplitSeq(strings.Join(r.Header.Values("Accept"), ","), ",") {
		media, params, err := mime.ParseMediaType(part)
		if err != nil {
			continue
		}
		if media == "*/*" || media == "application/*" {
			media = mediaJSON
		}
		f := form{media: media}
		if media != mediaJSON && media != mediaYAML && media != mediaProtobuf {
			continue
		}
		switch {
		case params["as"] == "":
			return f
		case root && media != mediaYAML && params["as"] == "APIGroupDiscoveryList" && params["g"] == "apidiscovery.k8s.io" && params["v"] == "v2":
			f.aggregated = true
			return f
		}
	}
	return form{media: mediaJSON}
}

// message is what has a protobuf form.
type message interface {
	kruntime.Object
	Marshal() ([]byte, error)
}

// encode writes v in the form, or in JSON if it does not have it.
func encode(f form, v any) (form, []byte, error) {
	if m, ok := v.(message); ok && f.media == mediaProtobuf {
		raw, err := m.Marshal()
		if err != nil {
			return f, nil, err
		}
		kind := m.GetObjectKind().GroupVersionKind()
		unknown := kruntime.Unknown{Raw: raw}
		unknown.APIVersion, unknown.Kind = kind.ToAPIVersionAndKind()
		if unknown.APIVersion == "" {
			unknown.APIVersion = metav1.Unversioned.String()
		}
		data, err := unknown.Marshal()
		return f, append([]byte("k8s\x00"), data...), err
	}
	data, err := json.Marshal(v)
	if err == nil && f.media == mediaYAML {
		data, err = yaml.JSONToYAML(data)
		return f, data, err
	}
	f.media = mediaJSON
	return f, append(data, '\n'), err
}

// write answers with a document; a client that has it already is told so.
func write(w http.ResponseWriter, r *http.Request, f form, v any) {
	f, data, err := encode(f, v)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	sum := sha256.Sum256(data)
	etag := `"` + strings.ToUpper(hex.EncodeToString(sum[:])) + `"`
	h := w.Header()
	h.Set("Content-Type", f.contentType())
	h.Set("Vary", "Accept")
	h.Set("ETag", etag)
	h.Set("Cache-Control", "public")
	if slices.Contains(strings.Split(strings.ReplaceAll(r.Header.Get("If-None-Match"), " ", ""), ","), etag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	_, _ = w.Write(data) // the client may be gone
}
