package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	"github.com/miniorch/miniorch/pkg/api"
)

// maxBody bounds what is read of one answer.
const maxBody = 512 << 20

// HTTPConfig says how to reach an API server and who we are.
type HTTPConfig struct {
	Server     string // https://host:port[/prefix]
	CAFile     string // PEM file; or
	CAData     []byte // PEM; both empty: the system's
	ServerName string // expected in the server's certificate, if it is not Server's host
	Insecure   bool   // accept any server certificate

	CertFile, KeyFile string // client certificate, read again when it changes; or
	CertData, KeyData []byte // PEM
	Token             string // bearer token; or
	TokenFile         string // read again when it changes

	As string // the user to act as, if not as oneself; the server must allow it

	Namespace string        // the kubeconfig context's; not used by the transport
	UserAgent string        // default: the program's name
	Timeout   time.Duration // of a call that is not a watch and whose context has no deadline; default 30s
}

// httpTransport is the Transport over HTTP. Known kinds travel as protobuf, others as JSON.
type httpTransport struct {
	cfg    HTTPConfig
	base   *url.URL
	dialer *dialer
	token  func() (string, error)
}

// NewHTTP returns a Transport over HTTP. Files that cfg names are read now, so that a
// mistake shows now, and again when they change.
func NewHTTP(cfg HTTPConfig) (Transport, error) {
	base, err := url.Parse(cfg.Server)
	if err != nil {
		return nil, fmt.Errorf("reading the server's address: %w", err)
	}
	if base.Scheme != "https" && base.Scheme != "http" || base.Host == "" {
		return nil, fmt.Errorf("the server's address %q is not http(s)://host[:port]", cfg.Server)
	}
	if cfg.UserAgent == "" {
		cfg.UserAgent = filepath.Base(os.Args[0])
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = 30 * time.Second
	}
	d, err := newDialer(cfg)
	if err != nil {
		return nil, err
	}
	token, err := tokenSource(cfg)
	if err != nil {
		return nil, err
	}
	return &httpTransport{cfg: cfg, base: base, dialer: d, token: token}, nil
}

// call is one HTTP request to be.
type call struct {
	verb   string
	path   string
	query  url.Values
	accept string
	media  string // of body
	body   []byte
}

func (t *httpTransport) path(req Request) string {
	p := req.Resource.Path(req.Namespace)
	if req.Name != "" {
		p += "/" + url.PathEscape(req.Name)
	}
	if req.Subresource != "" {
		p += "/" + req.Subresource
	}
	return p
}

// send performs one call and returns the answer if it is a success, else its error.
func (t *httpTransport) send(ctx context.Context, c call) (*http.Response, error) {
	u := *t.base
	u.Path, u.RawPath = "", ""
	address := u.String() + trimSlash(t.base.EscapedPath()) + c.path
	if len(c.query) > 0 {
		address += "?" + c.query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, c.verb, address, bytes.NewReader(c.body))
	if err != nil {
		return nil, fmt.Errorf("making the request: %w", err)
	}
	req.Header.Set("Accept", c.accept)
	req.Header.Set("User-Agent", t.cfg.UserAgent)
	if c.media != "" {
		req.Header.Set("Content-Type", c.media)
	}
	if t.cfg.As != "" {
		req.Header.Set("Impersonate-User", t.cfg.As)
	}
	token, err := t.token()
	if err != nil {
		return nil, err
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := t.dialer.client().Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode >= 200 && resp.StatusCode < 300 {
		return resp, nil
	}
	defer func() { _ = resp.Body.Close() }()
	return nil, errorOf(resp, c)
}

func trimSlash(p string) string {
	for len(p) > 0 && p[len(p)-1] == '/' {
		p = p[:len(p)-1]
	}
	return p
}

// errorOf reads an answer that is not a success: the Status that the API server sent, or
// what can be told from the code if something else answered.
func errorOf(resp *http.Response, c call) error {
	if resp.StatusCode >= 300 && resp.StatusCode < 400 {
		return fmt.Errorf("%s %s: the server redirects to %q: redirects are refused", c.verb, c.path, resp.Header.Get("Location"))
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return fmt.Errorf("reading the error: %w", err)
	}
	obj, err := decode(resp.Header.Get("Content-Type"), body)
	if status, ok := obj.(*metav1.Status); err == nil && ok && status.Status != metav1.StatusSuccess {
		return &apierrors.StatusError{ErrStatus: *status}
	}
	return apierrors.NewGenericServerResponse(resp.StatusCode, c.verb, apiGroupless, c.path, string(body), retryAfter(resp), true)
}

// do performs a call that answers with one body.
func (t *httpTransport) do(ctx context.Context, c call) (media string, body []byte, err error) {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, t.cfg.Timeout)
		defer cancel()
	}
	resp, err := t.send(ctx, c)
	if err != nil {
		return "", nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err = readBody(resp)
	if err != nil {
		return "", nil, fmt.Errorf("reading the answer: %w", err)
	}
	return resp.Header.Get("Content-Type"), body, nil
}

func readBody(resp *http.Response) ([]byte, error) {
	if resp.ContentLength > maxBody {
		return nil, errors.New("the answer is too large")
	}
	var buf bytes.Buffer
	if resp.ContentLength > 0 {
		buf.Grow(int(resp.ContentLength) + bytes.MinRead)
	}
	n, err := buf.ReadFrom(io.LimitReader(resp.Body, maxBody+1))
	if err == nil && n > maxBody {
		return nil, errors.New("the answer is too large")
	}
	return buf.Bytes(), err
}

// object performs a call that answers with an object.
func (t *httpTransport) object(ctx context.Context, c call) (api.Object, error) {
	media, body, err := t.do(ctx, c)
	if err != nil {
		return nil, err
	}
	obj, err := decode(media, body)
	if err != nil {
		return nil, err
	}
	o, ok := obj.(api.Object)
	if !ok {
		return nil, fmt.Errorf("%s %s: the server answered with %T, which is not an object", c.verb, c.path, obj)
	}
	return o, nil
}

// query encodes call options as URL parameters.
func query(opts runtime.Object) (url.Values, error) {
	v, err := api.ParameterCodec.EncodeParameters(opts, metav1.Unversioned)
	if err != nil {
		return nil, fmt.Errorf("encoding options: %w", err)
	}
	return v, nil
}

// Get reads one object.
func (t *httpTransport) Get(ctx context.Context, req Request, opts metav1.GetOptions) (api.Object, error) {
	q, err := query(&opts)
	if err != nil {
		return nil, err
	}
	return t.object(ctx, call{verb: http.MethodGet, path: t.path(req), query: q, accept: acceptFor(req.Resource)})
}

// List reads one page of a collection.
func (t *httpTransport) List(ctx context.Context, req Request, opts metav1.ListOptions) (*List, error) {
	q, err := query(&opts)
	if err != nil {
		return nil, err
	}
	media, body, err := t.do(ctx, call{verb: http.MethodGet, path: t.path(req), query: q, accept: acceptFor(req.Resource)})
	if err != nil {
		return nil, err
	}
	return decodeList(media, body)
}

// Raw reads any path.
func (t *httpTransport) Raw(ctx context.Context, path string, query url.Values) ([]byte, error) {
	_, body, err := t.do(ctx, call{verb: http.MethodGet, path: path, query: query, accept: mediaJSON})
	return body, err
}

// Create posts an object to a collection or to a subresource.
func (t *httpTransport) Create(ctx context.Context, req Request, obj api.Object, opts metav1.CreateOptions) (api.Object, error) {
	if req.Subresource == "" {
		req.Name = ""
	}
	return t.write(ctx, http.MethodPost, req, obj, &opts)
}

// Update puts an object.
func (t *httpTransport) Update(ctx context.Context, req Request, obj api.Object, opts metav1.UpdateOptions) (api.Object, error) {
	return t.write(ctx, http.MethodPut, req, obj, &opts)
}

func (t *httpTransport) write(ctx context.Context, verb string, req Request, obj api.Object, opts runtime.Object) (api.Object, error) {
	q, err := query(opts)
	if err != nil {
		return nil, err
	}
	media, body, err := encode(req.Resource, obj)
	if err != nil {
		return nil, err
	}
	c := call{verb: verb, path: t.path(req), query: q, accept: acceptFor(req.Resource), media: media, body: body}
	media, body, err = t.do(ctx, c)
	if err != nil {
		return nil, err
	}
	out, err := decode(media, body)
	if err != nil {
		return nil, err
	}
	if _, ok := out.(*metav1.Status); ok && req.Subresource != "" {
		return obj, nil // a subresource that only acts (binding, eviction) answers with a Status
	}
	o, ok := out.(api.Object)
	if !ok {
		return nil, fmt.Errorf("%s %s: the server answered with %T, which is not an object", verb, c.path, out)
	}
	return o, nil
}

// Patch changes part of an object.
func (t *httpTransport) Patch(ctx context.Context, req Request, pt types.PatchType, data []byte, opts metav1.PatchOptions) (api.Object, error) {
	q, err := query(&opts)
	if err != nil {
		return nil, err
	}
	return t.object(ctx, call{
		verb: http.MethodPatch, path: t.path(req), query: q,
		accept: acceptFor(req.Resource), media: string(pt), body: data,
	})
}

// Delete removes one object.
func (t *httpTransport) Delete(ctx context.Context, req Request, opts metav1.DeleteOptions) error {
	return t.remove(ctx, req, opts, nil)
}

// DeleteCollection removes what list selects.
func (t *httpTransport) DeleteCollection(ctx context.Context, req Request, opts metav1.DeleteOptions, list metav1.ListOptions) error {
	q, err := query(&list)
	if err != nil {
		return err
	}
	return t.remove(ctx, req, opts, q)
}

func (t *httpTransport) remove(ctx context.Context, req Request, opts metav1.DeleteOptions, q url.Values) error {
	media, body, err := encodeMeta(&opts)
	if err != nil {
		return err
	}
	_, _, err = t.do(ctx, call{
		verb: http.MethodDelete, path: t.path(req), query: q,
		accept: acceptFor(req.Resource), media: media, body: body,
	})
	return err
}
