package handlers

import (
	"fmt"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	mediaJSON     = "application/json"
	mediaYAML     = "application/yaml"
	mediaProtobuf = "application/vnd.kubernetes.protobuf"

	maxAcceptClauses = 64
)

// shape is what the client wants to see of objects.
type shape int

const (
	whole    shape = iota // the object itself
	metadata              // PartialObjectMetadata
	table                 // Table
)

// format is how an answer is to be written.
type format struct {
	media  string
	shape  shape
	pretty bool
}

// clause is one alternative of an Accept header.
type clause struct {
	media  string
	params map[string]string
	q      float64
}

// negotiate chooses the first alternative that the client prefers and we can do.
func negotiate(r *http.Request, shapes ...shape) (format, error) {
	pretty := wantsPretty(r)
	header := strings.Join(r.Header.Values("Accept"), ",")
	if header == "" {
		return format{media: mediaJSON, pretty: pretty}, nil
	}
	for _, c := range parseAccept(header) {
		f, ok := c.format(shapes)
		if ok {
			f.pretty = pretty
			return f, nil
		}
	}
	return format{media: mediaJSON}, notAcceptable([]string{mediaJSON, mediaYAML, mediaProtobuf})
}

// parseAccept returns the alternatives, most wanted first.
func parseAccept(header string) []clause {
	var out []clause
	for part := range strings.SplitSeq(header, ",") {
		if len(out) == maxAcceptClauses {
			break
		}
		media, params, err := mime.ParseMediaType(part)
		if err != nil {
			continue
		}
		c := clause{media: media, params: params, q: 1}
		if q, ok := params["q"]; ok {
			if c.q, err = strconv.ParseFloat(q, 64); err != nil || c.q <= 0 || c.q > 1 {
				continue
			}
		}
		out = append(out, c)
	}
	slices.SortStableFunc(out, func(a, b clause) int {
		switch {
		case a.q > b.q:
			return -1
		case a.q < b.q:
			return 1
		}
		return 0
	})
	return out
}

// format says how to satisfy the clause; ok is false if that cannot be.
func (c clause) format(shapes []shape) (f format, ok bool) {
	switch c.media {
	case mediaJSON, mediaYAML, mediaProtobuf:
		f.media = c.media
	case "*/*", "application/*":
		f.media = mediaJSON
	case "text/yaml", "application/x-yaml":
		f.media = mediaYAML
	default:
		return f, false
	}
	switch c.params["as"] {
	case "":
		return f, true
	case "Table":
		f.shape = table
	case "PartialObjectMetadata", "PartialObjectMetadataList":
		f.shape = metadata
	default:
		return f, false
	}
	if c.params["g"] != "meta.k8s.io" || c.params["v"] != "v1" || !slices.Contains(shapes, f.shape) {
		return f, false
	}
	return f, f.shape != table || f.media != mediaProtobuf // tables have no protobuf form
}

// wantsPretty: people who look at answers with their own eyes get them indented.
func wantsPretty(r *http.Request) bool {
	switch v := r.URL.Query().Get("pretty"); v {
	case "":
		agent := r.UserAgent()
		return strings.HasPrefix(agent, "curl") || strings.HasPrefix(agent, "Wget") || strings.HasPrefix(agent, "Mozilla")
	default:
		on, err := strconv.ParseBool(v)
		return err == nil && on
	}
}

func notAcceptable(accepted []string) *apierrors.StatusError {
	return &apierrors.StatusError{ErrStatus: metav1.Status{
		Status: metav1.StatusFailure, Code: http.StatusNotAcceptable, Reason: metav1.StatusReasonNotAcceptable,
		Message: fmt.Sprintf("only the following media types are accepted: %s", strings.Join(accepted, ", ")),
	}}
}
