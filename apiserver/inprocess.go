package apiserver

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/miniorch/miniorch/apiserver/auth"
	"github.com/miniorch/miniorch/pkg/client"
)

// inProcess is the registry's transport, and reads what is no resource from the handler.
type inProcess struct {
	client.Transport
	handler http.Handler
	user    auth.User
}

// Raw asks the handler as if by HTTP; it knows the user from the context.
func (t inProcess) Raw(ctx context.Context, path string, query url.Values) ([]byte, error) {
	r, err := http.NewRequestWithContext(auth.WithUser(ctx, t.user), http.MethodGet, path+"?"+query.Encode(), nil)
	if err != nil {
		return nil, fmt.Errorf("making the request: %w", err)
	}
	r.Header.Set("Accept", "application/json")
	a := kept{header: http.Header{}, code: http.StatusOK}
	t.handler.ServeHTTP(&a, r)
	if a.code < 300 {
		return a.body.Bytes(), nil
	}
	var status metav1.Status
	if json.Unmarshal(a.body.Bytes(), &status) == nil && status.Status == metav1.StatusFailure {
		return nil, &apierrors.StatusError{ErrStatus: status}
	}
	return nil, apierrors.NewGenericServerResponse(a.code, "get", schema.GroupResource{}, path, a.body.String(), 0, true)
}

// kept is what a handler has written.
type kept struct {
	header http.Header
	code   int
	body   bytes.Buffer
}

// Header implements http.ResponseWriter.
func (a *kept) Header() http.Header { return a.header }

// WriteHeader implements http.ResponseWriter.
func (a *kept) WriteHeader(code int) { a.code = code }

// Write implements http.ResponseWriter.
func (a *kept) Write(p []byte) (int, error) { return a.body.Write(p) }
