package server

import (
	"encoding/json"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/miniorch/miniorch/kubelet/stats"
)

// resourceMetrics serves what the HorizontalPodAutoscaler and `kubectl top` live on.
func (s *Server) resourceMetrics(w http.ResponseWriter, r *http.Request) {
	node, err := s.backend.Usage()
	if err != nil {
		s.cfg.Logger.Debug("cannot measure everything", "err", err)
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(stats.NewCollector(node, err != nil))
	promhttp.HandlerFor(registry, promhttp.HandlerOpts{}).ServeHTTP(w, r)
}

// summary serves the same as a document.
func (s *Server) summary(w http.ResponseWriter, _ *http.Request) {
	node, err := s.backend.Usage()
	if err != nil {
		s.cfg.Logger.Debug("cannot measure everything", "err", err)
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(stats.Summarize(node))
}
