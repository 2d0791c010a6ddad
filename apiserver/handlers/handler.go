// Package handlers is the API server's HTTP side: it reads requests, finds out who sends
// them and whether they may, hands them to the engine (apiserver/rest) and writes what it
// returns in the format that the client asked for. It holds no state of the cluster and
// decides nothing about objects.
package handlers

import (
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"github.com/gorilla/mux"
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/clock"

	"github.com/miniorch/miniorch/apiserver/auth"
	"github.com/miniorch/miniorch/apiserver/resource"
	"github.com/miniorch/miniorch/apiserver/rest"
	"github.com/miniorch/miniorch/apiserver/storage/watchcache"
	"github.com/miniorch/miniorch/apiserver/warning"
)

// Config tunes a Handler. All but the marked fields must be set.
type Config struct {
	Authenticator auth.Authenticator
	Authorizer    auth.Authorizer
	Kubelets      Kubelets // optional: log and exec answer 503 without

	MaxInFlight, MaxMutatingInFlight int
	RequestTimeout                   time.Duration

	Metrics prometheus.Registerer
	Clock   clock.WithTicker
	Logger  *slog.Logger
	Rand    func() uint64
}

// Handler serves the REST API and whatever else is added with Handle.
type Handler struct {
	registry *rest.Registry
	cfg      Config
	metrics  *metrics
	router   *mux.Router
	chain    http.Handler
	answers  map[answer]http.Handler
	reading  chan struct{} // as many tokens as requests may be served at once
	writing  chan struct{}
}

// New returns the handler of everything below /api and /apis.
func New(registry *rest.Registry, cfg Config) *Handler {
	h := &Handler{
		registry: registry, cfg: cfg, metrics: newMetrics(cfg.Metrics),
		// Names are matched as they were sent, so that an encoded slash can never move a
		// request to another resource; nothing is cleaned up and nobody redirected.
		router:  mux.NewRouter().UseEncodedPath().SkipClean(true),
		answers: make(map[answer]http.Handler),
		reading: make(chan struct{}, cfg.MaxInFlight),
		writing: make(chan struct{}, cfg.MaxMutatingInFlight),
	}
	h.router.NotFoundHandler = h.path(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		writeError(w, r, pathNotFound())
	}))
	h.chain = h.filters(http.HandlerFunc(h.route))
	return h
}

// Handle serves a path that is no resource, and with a slash at its end everything below
// it. The authorizer is asked about it as a path. It is called before the first request.
func (h *Handler) Handle(path string, handler http.Handler) {
	if len(path) > 1 && path[len(path)-1] == '/' {
		h.router.PathPrefix(path).Handler(h.path(handler))
		return
	}
	h.router.Handle(path, h.path(handler))
}

// answer is a question about single objects of a kind: GET …/RESOURCE/NAME/SUBRESOURCE.
type answer struct{ group, resource, subresource string }

// Answer lets somebody else answer a question about single objects of a kind. The authorizer is
// asked about it as a subresource; the path values namespace and name say which object it is.
// No client finds it by discovery. It is called before the first request.
func (h *Handler) Answer(group, resource, subresource string, handler http.Handler) {
	h.answers[answer{group, resource, subresource}] = handler
}

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	makeRoom(len(r.Method)) // any number that the compiler does not know
	h.chain.ServeHTTP(w, r)
}

// served is a target that exists.
type served struct {
	target
	store *rest.Store
	desc  *resource.Descriptor
	sub   *resource.Subresource // nil: the object itself
}

// find looks the target up.
func (h *Handler) find(t target) (*served, error) {
	store, ok := h.registry.Lookup(t.gvr())
	if !ok {
		return nil, pathNotFound()
	}
	desc := store.Descriptor()
	s := &served{target: t, store: store, desc: &desc}
	if t.namespace != "" && !desc.Namespaced {
		return nil, pathNotFound()
	}
	if t.name != "" && t.namespace == "" && desc.Namespaced {
		return nil, pathNotFound()
	}
	if t.subresource == "" {
		return s, nil
	}
	for i := range desc.Subresources {
		if desc.Subresources[i].Name == t.subresource {
			s.sub = &desc.Subresources[i]
			return s, nil
		}
	}
	return nil, pathNotFound()
}

// encoding returns how an item of the target is encoded, and as what kind.
func (s *served) encoding(f format, it *watchcache.Item) (schema.GroupVersionKind, encodeFunc) {
	protobuf := f.media == mediaProtobuf
	switch {
	case f.shape == metadata && protobuf:
		return partialKind, metadataProtobuf
	case f.shape == metadata:
		return partialKind, metadataJSON
	}
	gvk := s.desc.GVK()
	if it != nil && s.sub != nil { // scale: another kind
		if k, err := kindOf(it.Object); err == nil {
			gvk = k
		}
	}
	if protobuf {
		return gvk, itemProtobuf
	}
	return gvk, itemJSON
}

// route sends requests for resources to serve, and all others to whom Handle has named.
func (h *Handler) route(w http.ResponseWriter, r *http.Request) {
	t, ok := splitTarget(r.URL.EscapedPath())
	if !ok {
		h.router.ServeHTTP(w, r)
		return
	}
	if err := h.serve(w, r, t); err != nil {
		writeError(w, r, err)
	}
}

func (h *Handler) serve(w http.ResponseWriter, r *http.Request, sent target) error {
	t, err := sent.decoded()
	if err != nil {
		return err
	}
	query, err := parseQuery(r)
	if err != nil {
		return err
	}
	verb, known := t.verb(r, query)
	connect := isConnect(t)
	needed := []string{verb}
	if connect {
		needed = connectVerbs(t, r, verb)
		known = known || t.subresource == "proxy"
	}
	note(r, needed[0], t)
	user, _ := auth.UserFrom(r.Context())
	for _, verb := range needed {
		if err := h.authorize(r.Context(), t.attributes(user, verb)); err != nil {
			return err
		}
	}
	if other := h.answers[answer{t.group, t.resource, t.subresource}]; other != nil && t.name != "" && verb == "get" {
		return h.limited(w, r, func(r *http.Request) error {
			r.SetPathValue("namespace", t.namespace)
			r.SetPathValue("name", t.name)
			other.ServeHTTP(w, r)
			return nil
		})
	}
	s, err := h.find(t)
	if err != nil {
		return err
	}
	if !known {
		return methodNotAllowed(t, r.Method)
	}
	warning.Add(r.Context(), s.desc.Deprecated)
	if connect {
		return h.connect(w, r, s, query)
	}
	if verb == "watch" {
		return h.watch(w, r, s, query)
	}
	return h.limited(w, r, func(r *http.Request) error { return h.dispatch(w, r, s, verb, query) })
}

func (h *Handler) dispatch(w http.ResponseWriter, r *http.Request, s *served, verb string, query url.Values) error {
	inNamespace := s.namespace != "" || !s.desc.Namespaced
	switch {
	case verb == "list":
		return h.list(w, r, s, query)
	case verb == "get":
		return h.get(w, r, s, query)
	case verb == "create" && (s.name == "") == (s.sub == nil) && inNamespace:
		return h.create(w, r, s, query)
	case verb == "update" && s.name != "":
		return h.update(w, r, s, query)
	case verb == "patch" && s.name != "":
		return h.patch(w, r, s, query)
	case verb == "delete" && s.sub == nil:
		return h.delete(w, r, s, query)
	case verb == "deletecollection" && inNamespace:
		return h.deleteCollection(w, r, s, query)
	}
	return methodNotAllowed(s.target, verb)
}
