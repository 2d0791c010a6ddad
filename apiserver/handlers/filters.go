package handlers

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"github.com/google/uuid"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/miniorch/miniorch/apiserver/auth"
	"github.com/miniorch/miniorch/apiserver/managedfields"
	"github.com/miniorch/miniorch/apiserver/warning"
)

const (
	auditHeader = "Audit-Id"
	maxAuditID  = 64
	// queueWait is how long a request waits for its turn before it is told to come again.
	queueWait = time.Second
	// farewell is how much longer than the request itself its answer may take.
	farewell = 5 * time.Second
)

// filters wraps next in what every request goes through.
func (h *Handler) filters(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := h.cfg.Clock.Now()
		hurry(w, h.cfg.RequestTimeout)
		id := auditID(r)
		w.Header().Set(auditHeader, id)
		ctx, warnings := warning.With(r.Context())
		rec := &recorder{ResponseWriter: w, warnings: warnings}
		ctx = context.WithValue(ctx, requestKey{}, &requestState{})
		r = r.WithContext(ctx)
		defer h.finish(rec, r, id, start)
		h.authenticated(rec, r, next)
	})
}

// auditID is the client's own name for the request if it is harmless, or a new one.
func auditID(r *http.Request) string {
	id := r.Header.Get(auditHeader)
	if id == "" || len(id) > maxAuditID || strings.ContainsFunc(id, func(c rune) bool { return c <= ' ' || c > '~' }) {
		return uuid.NewString()
	}
	return id
}

// requestState is what is learnt about a request on its way.
type requestState struct {
	verb   string
	target target
}

type requestKey struct{}

func stateOf(r *http.Request) *requestState {
	if s, ok := r.Context().Value(requestKey{}).(*requestState); ok {
		return s
	}
	return &requestState{}
}

// note remembers what the request is about, for metrics and logs.
func note(r *http.Request, verb string, t target) {
	s := stateOf(r)
	s.verb, s.target = verb, t
}

// finish recovers a panic into an answer, and counts the request.
func (h *Handler) finish(rec *recorder, r *http.Request, id string, start time.Time) {
	caught := recover()
	if caught != nil && caught != http.ErrAbortHandler {
		h.cfg.Logger.Error("request handler panicked", "panic", fmt.Sprint(caught), "method", r.Method, "path", r.URL.Path,
			"audit", id, "stack", string(debug.Stack()))
		if rec.code == 0 {
			writeError(rec, r, apierrors.NewInternalError(errors.New("this request caused the server to panic; it is logged under audit ID "+id)))
			caught = nil
		} else {
			caught = http.ErrAbortHandler // half an answer is out: only cutting it off is honest
		}
	}
	took := h.cfg.Clock.Since(start)
	h.metrics.observe(stateOf(r), r, rec, took)
	h.cfg.Logger.Debug("request", "method", r.Method, "uri", r.URL.RequestURI(), "code", rec.code, "took", took, "audit", id)
	if caught != nil {
		panic(caught)
	}
}

// authenticated finds out who sends the request. Bad credentials are refused; none at all
// make a stranger, who may ask for what is open to everybody.
func (h *Handler) authenticated(w http.ResponseWriter, r *http.Request, next http.Handler) {
	user, known, err := h.cfg.Authenticator.Authenticate(r)
	if err != nil {
		h.cfg.Logger.Debug("authentication failed", "remote", r.RemoteAddr, "error", err)
		if !errors.Is(err, auth.ErrUnauthenticated) {
			writeError(w, r, apierrors.NewInternalError(err))
			return
		}
		writeError(w, r, apierrors.NewUnauthorized("Unauthorized"))
		return
	}
	if !known {
		user = auth.Stranger()
	}
	r.Header.Del("Authorization") // nothing behind this line has a use for it
	if user, err = h.impersonated(r, user); err != nil {
		writeError(w, r, err)
		return
	}
	ctx := auth.WithUser(r.Context(), user)
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		ctx = managedfields.WithAgent(ctx, r.UserAgent())
	}
	next.ServeHTTP(w, r.WithContext(ctx))
}

// impersonated returns whom the request is to be treated as from: its sender, or who the sender
// asks to be and may be.
func (h *Handler) impersonated(r *http.Request, sender auth.User) (auth.User, error) {
	as, needs, asked, err := auth.Impersonated(r.Header)
	if err != nil {
		return auth.User{}, apierrors.NewBadRequest(err.Error())
	}
	if !asked {
		return sender, nil
	}
	for _, need := range needs {
		need.User = sender
		if err := h.authorize(r.Context(), need); err != nil {
			return auth.User{}, err
		}
	}
	auth.DropImpersonation(r.Header)
	return as, nil
}

// authorize asks whether the request may go on. A stranger is told to say who it is.
func (h *Handler) authorize(ctx context.Context, a auth.Attributes) error {
	allowed, reason, err := h.cfg.Authorizer.Authorize(ctx, a)
	if err != nil {
		return apierrors.NewInternalError(fmt.Errorf("authorizing: %w", err))
	}
	if allowed {
		return nil
	}
	if a.User.Name == auth.Anonymous {
		return apierrors.NewUnauthorized("Unauthorized")
	}
	return forbidden(a, reason)
}

func forbidden(a auth.Attributes, reason string) error {
	what := fmt.Sprintf("User %q cannot %s path %q", a.User.Name, a.Verb, a.Path)
	if !a.IsResource() {
		return apierrors.NewForbidden(schema.GroupResource{}, "", errors.New(what))
	}
	resource := a.Resource
	if a.Subresource != "" {
		resource += "/" + a.Subresource
	}
	what = fmt.Sprintf("User %q cannot %s resource %q in API group %q", a.User.Name, a.Verb, resource, a.Group)
	if a.Namespace != "" {
		what += fmt.Sprintf(" in the namespace %q", a.Namespace)
	} else {
		what += " at the cluster scope"
	}
	if reason != "" {
		what += ": " + reason
	}
	return apierrors.NewForbidden(schema.GroupResource{Group: a.Group, Resource: resource}, a.Name, errors.New(what))
}

// path authorizes a request that is about no resource.
func (h *Handler) path(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, _ := auth.UserFrom(r.Context())
		verb := strings.ToLower(r.Method)
		if verb == "head" {
			verb = "get"
		}
		if err := h.authorize(r.Context(), auth.Attributes{User: user, Verb: verb, Path: r.URL.Path}); err != nil {
			writeError(w, r, err)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// limited runs a request that must end soon: with a deadline, and only so many at once.
func (h *Handler) limited(w http.ResponseWriter, r *http.Request, do func(*http.Request) error) error {
	timeout, err := h.timeout(r)
	if err != nil {
		return err
	}
	slots := h.writing
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		slots = h.reading
	}
	if err := h.acquire(r.Context(), slots); err != nil {
		return err
	}
	defer func() { <-slots }()
	ctx, cancel := context.WithTimeout(r.Context(), timeout)
	defer cancel()
	return do(r.WithContext(ctx))
}

// timeout is how long a request may take: as long as any, or less if it asks for that.
func (h *Handler) timeout(r *http.Request) (time.Duration, error) {
	limit := h.cfg.RequestTimeout
	text := r.URL.Query().Get("timeout")
	if text == "" {
		return limit, nil
	}
	asked, err := time.ParseDuration(text)
	if err != nil {
		return 0, apierrors.NewBadRequest(fmt.Sprintf("invalid timeout specified in the request URL: %v", err))
	}
	if asked > 0 {
		limit = min(limit, asked)
	}
	return limit, nil
}

// hurry bounds how long reading from and writing to the client may take: one that sends its body or
// reads its answer too slowly keeps nothing here busy, whoever it is. The bounds outlast the request,
// as the server still discards what is left of the body and sends what is left of the answer; the next
// one on the connection brings its own. The network's deadlines are in real time, whatever the clock.
func hurry(w http.ResponseWriter, limit time.Duration) {
	control, deadline := http.NewResponseController(w), time.Now().Add(limit)
	// Writers that are no connection have no deadlines and need none.
	_, _ = control.SetReadDeadline(deadline), control.SetWriteDeadline(deadline.Add(farewell))
}

// unhurried lifts these bounds from a request that lasts as long as its client wants.
func unhurried(w http.ResponseWriter) {
	control := http.NewResponseController(w)
	_, _ = control.SetReadDeadline(time.Time{}), control.SetWriteDeadline(time.Time{})
}

// Unhurried is next for those who may take longer than other requests.
func Unhurried(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		unhurried(w)
		next.ServeHTTP(w, r)
	})
}

func (h *Handler) acquire(ctx context.Context, slots chan struct{}) error {
	select {
	case slots <- struct{}{}:
		return nil
	default:
	}
	timer := h.cfg.Clock.NewTimer(queueWait)
	defer timer.Stop()
	select {
	case slots <- struct{}{}:
		return nil
	case <-timer.C():
		return apierrors.NewTooManyRequests("too many requests, please try again later", 1)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// addWarnings puts what was worth a warning into an answer's header.
func addWarnings(h http.Header, warnings *warning.Recorder) {
	for _, text := range warnings.Warnings() {
		h.Add("Warning", `299 - "`+headerSafe.Replace(text)+`"`)
	}
}

// headerSafe makes a text fit for one header.
var headerSafe = strings.NewReplacer("\\", "\\\\", `"`, `\"`, "\n", " ", "\r", " ", "\t", " ")
