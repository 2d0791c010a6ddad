package apiserver

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gorilla/mux"

	"github.com/miniorch/miniorch/apiserver/handlers"
)

// healthTimeout bounds one check.
const healthTimeout = 2 * time.Second

// check is one named condition of health.
type check struct {
	name string
	test func(context.Context) error
}

func (s *Server) healthRoutes(h *handlers.Handler) {
	ping := check{"ping", func(context.Context) error { return nil }}
	storage := check{"etcd", s.checkStorage}
	caches := check{"informer-sync", func(context.Context) error { return closed(s.registry.Ready(), "caches are not filled yet") }}
	started := check{"poststarthook/bootstrap", func(context.Context) error { return closed(s.Ready(), "the cluster's own objects are not there yet") }}
	for root, checks := range map[string][]check{
		// A server whose store is away is alive: restarting it would help nobody.
		"/livez":   {ping},
		"/healthz": {ping, storage, caches, started},
		"/readyz":  {ping, storage, caches, started},
	} {
		h.Handle(root, reading(healthHandler(strings.TrimPrefix(root, "/"), checks)))
		h.Handle(root+"/{check:.+}", reading(func(w http.ResponseWriter, r *http.Request) {
			name := mux.Vars(r)["check"]
			i := slices.IndexFunc(checks, func(c check) bool { return c.name == name })
			if i < 0 {
				handlers.NotFound(w, r)
				return
			}
			healthHandler(name, checks[i:i+1])(w, r)
		}))
	}
}

func (s *Server) checkStorage(ctx context.Context) error {
	_, err := s.store.Revision(ctx)
	return err
}

func closed(ch <-chan struct{}, otherwise string) error {
	select {
	case <-ch:
		return nil
	default:
		return errors.New(otherwise)
	}
}

// healthHandler answers "ok", or with the list of checks if one fails or ?verbose is given.
// The reason of a failure is not shown: strangers may look.
func healthHandler(name string, checks []check) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		query := r.URL.Query()
		_, verbose := query["verbose"]
		var list strings.Builder
		failed := false
		for _, c := range checks {
			if slices.Contains(query["exclude"], c.name) {
				fmt.Fprintf(&list, "[+]%s excluded: ok\n", c.name)
				continue
			}
			ctx, cancel := context.WithTimeout(r.Context(), healthTimeout)
			err := c.test(ctx)
			cancel()
			if err != nil {
				failed = true
				fmt.Fprintf(&list, "[-]%s failed: reason withheld\n", c.name)
				continue
			}
			fmt.Fprintf(&list, "[+]%s ok\n", c.name)
		}
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Cache-Control", "no-cache, private")
		switch {
		case failed:
			w.WriteHeader(http.StatusInternalServerError)
			fmt.Fprintf(w, "%s%s check failed\n", list.String(), name)
		case verbose:
			fmt.Fprintf(w, "%s%s check passed\n", list.String(), name)
		default:
			fmt.Fprint(w, "ok")
		}
	}
}
