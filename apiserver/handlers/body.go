package handlers

import (
	"bytes"
	"errors"
	"io"
	"mime"
	"net/http"
	"os"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"

	"github.com/miniorch/miniorch/apiserver/decode"
	"github.com/miniorch/miniorch/pkg/api"
)

// maxBody is how large a request's body may be.
const maxBody = 3 << 20

// readBody reads the whole body, or as much of it as shows that it is too large.
func readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	if r.ContentLength > maxBody {
		return nil, &http.MaxBytesError{Limit: maxBody}
	}
	limited := http.MaxBytesReader(w, r.Body, maxBody)
	if r.ContentLength > 0 {
		data := make([]byte, r.ContentLength)
		if _, err := io.ReadFull(limited, data); err != nil {
			return nil, bodyError(err)
		}
		return data, nil
	}
	data, err := io.ReadAll(limited)
	if err != nil {
		return nil, bodyError(err)
	}
	return data, nil
}

func bodyError(err error) error {
	if _, tooLarge := err.(*http.MaxBytesError); tooLarge {
		return err
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return apierrors.NewTimeoutError("the body did not arrive in time", 0)
	}
	return apierrors.NewBadRequest("cannot read the body: " + err.Error())
}

// mediaType returns the media type of the body. Nothing said means JSON.
func mediaType(r *http.Request) (string, error) {
	header := r.Header.Get("Content-Type")
	if header == "" {
		return mediaJSON, nil
	}
	media, _, err := mime.ParseMediaType(header)
	if err != nil {
		return "", decode.UnsupportedMediaType(header, mediaJSON, mediaYAML, mediaProtobuf)
	}
	return media, nil
}

// decodeBody reads the body into obj, which is of the given kind.
func decodeBody(w http.ResponseWriter, r *http.Request, obj runtime.Object, kind schema.GroupVersionKind, validation string) error {
	media, err := mediaType(r)
	if err != nil {
		return err
	}
	data, err := readBody(w, r)
	if err != nil {
		return err
	}
	return decode.Into(r.Context(), data, obj, decode.Options{Kind: kind, MediaType: media, Validation: validation})
}

// deleteOptions reads the options of a deletion: from the body if there is one, from the
// query otherwise.
func deleteOptions(w http.ResponseWriter, r *http.Request) (metav1.DeleteOptions, error) {
	var opts metav1.DeleteOptions
	data, err := readBody(w, r)
	if err != nil {
		return opts, err
	}
	if len(data) == 0 {
		query, err := parseQuery(r)
		if err != nil {
			return opts, err
		}
		return opts, decodeOptions(query, &opts)
	}
	media, err := mediaType(r)
	if err != nil {
		return opts, err
	}
	kind, err := deleteOptionsKind(data, media)
	if err != nil {
		return opts, err
	}
	return opts, decode.Into(r.Context(), data, &opts, decode.Options{Kind: kind, MediaType: media, Validation: metav1.FieldValidationWarn})
}

// deleteOptionsKind returns the kind as the body names it: DeleteOptions is a kind of every
// group and version, and clients name any of them.
func deleteOptionsKind(data []byte, media string) (schema.GroupVersionKind, error) {
	kind := metav1.SchemeGroupVersion.WithKind("DeleteOptions")
	kind.Group = ""
	var said metav1.TypeMeta
	switch media {
	case mediaProtobuf:
		var unknown runtime.Unknown
		if !bytes.HasPrefix(data, protobufMagic) || unknown.Unmarshal(data[len(protobufMagic):]) != nil {
			return kind, apierrors.NewBadRequest("the body is not a protobuf message of Kubernetes")
		}
		said = metav1.TypeMeta{Kind: unknown.Kind, APIVersion: unknown.APIVersion}
	default: // YAML is a superset of JSON
		if err := yaml.Unmarshal(data, &said); err != nil {
			return kind, apierrors.NewBadRequest("cannot read DeleteOptions: " + err.Error())
		}
	}
	if said.Kind == kind.Kind && said.APIVersion != "" {
		kind = said.GroupVersionKind()
		if !api.Scheme.Recognizes(kind) {
			return kind, apierrors.NewBadRequest("there is no " + kind.String())
		}
	}
	return kind, nil
}

// patchTypes are the media types of patches.
var patchTypes = []string{
	"application/json-patch+json", "application/merge-patch+json",
	"application/strategic-merge-patch+json", "application/apply-patch+yaml",
}

func patchType(r *http.Request) (string, error) {
	media, err := mediaType(r)
	if err == nil && slices.Contains(patchTypes, media) {
		return media, nil
	}
	return "", decode.UnsupportedMediaType(r.Header.Get("Content-Type"), patchTypes...)
}

// emptyBody makes the object that a body is decoded into.
func emptyBody(s *served) (runtime.Object, schema.GroupVersionKind, error) {
	kind := s.desc.GVK()
	if s.sub == nil {
		return s.desc.New(), kind, nil
	}
	if s.sub.Kind != "" {
		kind.Kind = s.sub.Kind
	}
	if s.sub.Version != "" {
		kind.Group, kind.Version = s.sub.Group, s.sub.Version
	}
	if s.sub.NewBody != nil {
		return s.sub.NewBody(), kind, nil
	}
	if kind == s.desc.GVK() {
		return s.desc.New(), kind, nil
	}
	obj, err := api.Scheme.New(kind)
	if err != nil {
		return nil, kind, apierrors.NewInternalError(err)
	}
	return obj, kind, nil
}
