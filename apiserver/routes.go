package apiserver

import (
	"encoding/json"
	"net/http"
	"net/http/pprof"
	"net/netip"
	"strconv"
	"strings"

	"github.com/gorilla/mux"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/miniorch/miniorch/apiserver/auth"
	"github.com/miniorch/miniorch/apiserver/discovery"
	"github.com/miniorch/miniorch/apiserver/handlers"
	"github.com/miniorch/miniorch/apiserver/openapi"
	"github.com/miniorch/miniorch/pkg/decision"
)

// routes joins everything that is served.
func (s *Server) routes() http.Handler {
	numbers := prometheus.NewRegistry()
	numbers.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	h := handlers.New(s.registry, handlers.Config{
		Authenticator: s.authenticator(), Authorizer: s.cfg.Authorizer, Kubelets: s.kubelets(),
		MaxInFlight: s.cfg.MaxInFlight, MaxMutatingInFlight: s.cfg.MaxMutatingInFlight, RequestTimeout: s.cfg.RequestTimeout,
		Metrics: numbers, Clock: s.cfg.Clock, Logger: s.cfg.Logger, Rand: s.cfg.Rand,
	})
	s.discoveryRoutes(h)
	s.healthRoutes(h)
	h.Handle("/openapi/", openapi.New(s.registry.Descriptors, discovery.Version.GitVersion))
	h.Handle("/metrics", promhttp.HandlerFor(numbers, promhttp.HandlerOpts{}))
	h.Handle("/debug/decisions", http.HandlerFunc(s.decisions))
	if s.cfg.Why != nil {
		h.Answer("", "pods", "why", s.cfg.Why)
	}
	if s.cfg.Profiling {
		h.Handle("/debug/pprof/profile", handlers.Unhurried(http.HandlerFunc(pprof.Profile)))
		h.Handle("/debug/pprof/trace", handlers.Unhurried(http.HandlerFunc(pprof.Trace)))
		h.Handle("/debug/pprof/", http.HandlerFunc(pprof.Index))
	}
	if s.cfg.Tokens != nil {
		h.Handle("/.well-known/openid-configuration", http.HandlerFunc(s.openIDConfiguration))
		h.Handle("/openid/v1/jwks", http.HandlerFunc(s.openIDKeys))
	}
	return h
}

func (s *Server) authenticator() auth.Authenticator {
	all := auth.Union{auth.InProcess{}}
	if s.cfg.ClientCAs != nil {
		all = append(all, auth.NewCertificates(s.cfg.ClientCAs, s.cfg.Clock))
	}
	if len(s.cfg.StaticTokens) > 0 {
		all = append(all, auth.StaticTokens(s.cfg.StaticTokens))
	}
	if s.cfg.Tokens != nil {
		all = append(all, s.cfg.Tokens)
	}
	return append(all, auth.NoTokens{})
}

func (s *Server) kubelets() handlers.Kubelets {
	if s.cfg.KubeletTLS == nil {
		return nil
	}
	return handlers.NewTLSKubelets(s.cfg.KubeletTLS, s.cfg.KubeletDialer)
}

func (s *Server) discoveryRoutes(h *handlers.Handler) {
	address := ""
	if s.cfg.AdvertiseAddress.IsValid() {
		address = netip.AddrPortFrom(s.cfg.AdvertiseAddress, uint16(s.cfg.AdvertisePort)).String()
	}
	d := discovery.New(s.registry.Descriptors, address)
	h.Handle("/", reading(d.Index("/livez", "/readyz", "/healthz", "/metrics", "/openapi/v2", "/openapi/v3", "/version")))
	h.Handle("/api"+orSlash, reading(d.Root))
	h.Handle("/apis"+orSlash, reading(d.Groups))
	h.Handle("/version"+orSlash, reading(d.ServeVersion))
	h.Handle("/api/{version}"+orSlash, reading(func(w http.ResponseWriter, r *http.Request) {
		if !d.Resources(w, r, schema.GroupVersion{Version: mux.Vars(r)["version"]}) {
			handlers.NotFound(w, r)
		}
	}))
	h.Handle("/apis/{group}"+orSlash, reading(func(w http.ResponseWriter, r *http.Request) {
		if !d.Group(w, r, mux.Vars(r)["group"]) {
			handlers.NotFound(w, r)
		}
	}))
	h.Handle("/apis/{group}/{version}"+orSlash, reading(func(w http.ResponseWriter, r *http.Request) {
		vars := mux.Vars(r)
		if !d.Resources(w, r, schema.GroupVersion{Group: vars["group"], Version: vars["version"]}) {
			handlers.NotFound(w, r)
		}
	}))
}

// orSlash ends a path that may have a slash behind it: people type it so.
const orSlash = "{slash:/?}"

// reading lets only GET and HEAD through.
func reading(next http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			handlers.MethodNotAllowed(w, r)
			return
		}
		next(w, r)
	})
}

// decisions serves the log of applied plans: those after ?since=SEQ, at most ?limit=N.
func (s *Server) decisions(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	since, err := strconv.ParseUint(defaultTo(query.Get("since"), "0"), 10, 64)
	if err != nil {
		http.Error(w, "since must be a sequence number", http.StatusBadRequest)
		return
	}
	limit, err := strconv.Atoi(defaultTo(query.Get("limit"), "0"))
	if err != nil || limit < 0 {
		http.Error(w, "limit must be a number", http.StatusBadRequest)
		return
	}
	records := s.cfg.Decisions.Since(since)
	if limit > 0 && len(records) > limit {
		records = records[:limit]
	}
	if records == nil {
		records = []decision.Record{}
	}
	writeJSON(w, map[string]any{"records": records})
}

func (s *Server) openIDConfiguration(w http.ResponseWriter, _ *http.Request) {
	issuer := s.cfg.Tokens.Issuer()
	writeJSON(w, map[string]any{
		"issuer": issuer, "jwks_uri": strings.TrimSuffix(issuer, "/") + "/openid/v1/jwks",
		"response_types_supported": []string{"id_token"}, "subject_types_supported": []string{"public"},
		"id_token_signing_alg_values_supported": []string{"ES256"},
	})
}

func (s *Server) openIDKeys(w http.ResponseWriter, _ *http.Request) {
	keys, err := s.cfg.Tokens.JWKS()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/jwk-set+json")
	writeJSON(w, map[string]any{"keys": keys})
}

func writeJSON(w http.ResponseWriter, v any) {
	if w.Header().Get("Content-Type") == "" {
		w.Header().Set("Content-Type", "application/json")
	}
	_ = json.NewEncoder(w).Encode(v) // the client may be gone
}

func defaultTo(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}
