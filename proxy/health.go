package proxy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// healthPorts answers load balancers that ask, at a Service's health check node port,
// whether this node has endpoints for it: those of Services with externalTrafficPolicy
// Local send packets only to nodes that say yes. One goroutine (Run's) calls its methods.
type healthPorts struct {
	logger *slog.Logger
	open   map[types.NamespacedName]*healthPort
	done   sync.WaitGroup
}

// healthPort is one open port. Its server's goroutines read ready.
type healthPort struct {
	service types.NamespacedName
	port    uint16
	server  *http.Server

	mu    sync.Mutex
	ready int // guarded by mu; endpoints on this node
}

func newHealthPorts(logger *slog.Logger) *healthPorts {
	return &healthPorts{logger: logger, open: map[types.NamespacedName]*healthPort{}}
}

// followAll is follow for all Services that there are.
func (h *healthPorts) followAll(all map[types.NamespacedName][]ServicePort) {
	with := maps.Clone(all)
	for name := range h.open {
		with[name] = all[name] // nil: gone
	}
	h.follow(with)
}

// follow opens, closes and updates the ports of the Services given. A port that cannot be
// opened is tried again with the Service's next change, or resync.
func (h *healthPorts) follow(changed map[types.NamespacedName][]ServicePort) {
	type want struct {
		port  uint16
		ready int
	}
	wanted := map[types.NamespacedName]want{}
	for name, ports := range changed {
		addresses := map[netip.Addr]bool{}
		for _, p := range ports {
			for _, ip := range p.Ready {
				addresses[ip] = true
			}
			wanted[name] = want{port: p.HealthPort, ready: len(addresses)}
		}
		if o := h.open[name]; o != nil && o.port != wanted[name].port { // first: another Service may want it
			o.close()
			delete(h.open, name)
		}
	}
	for name, w := range wanted {
		if w.port == 0 {
			continue
		}
		if h.open[name] == nil {
			o, err := h.listen(name, w.port)
			if err != nil {
				h.logger.Warn("cannot answer health checks of a service", "service", name.String(), "err", err)
				continue
			}
			h.open[name] = o
		}
		h.open[name].set(w.ready)
	}
}

func (h *healthPorts) listen(name types.NamespacedName, port uint16) (*healthPort, error) {
	listener, err := net.Listen("tcp4", net.JoinHostPort("", strconv.Itoa(int(port))))
	if err != nil {
		return nil, fmt.Errorf("opening the health check node port: %w", err)
	}
	o := &healthPort{service: name, port: port}
	o.server = &http.Server{Handler: o, ReadTimeout: 10 * time.Second, WriteTimeout: 10 * time.Second, MaxHeaderBytes: 1 << 13}
	h.done.Go(func() {
		if err := o.server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			h.logger.Warn("health checks of a service are not answered any more", "service", name.String(), "err", err)
		}
	})
	return o, nil
}

// stop closes all ports.
func (h *healthPorts) stop() {
	for _, o := range h.open {
		o.close()
	}
	h.done.Wait()
}

func (o *healthPort) set(ready int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.ready = ready
}

// close lets answers that are under way finish, for a moment.
func (o *healthPort) close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if o.server.Shutdown(ctx) != nil {
		o.server.Close()
	}
}

// ServeHTTP says 200 when the node has endpoints and 503 when it has not, on any path, with
// the body that people know from kube-proxy.
func (o *healthPort) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	o.mu.Lock()
	ready := o.ready
	o.mu.Unlock()
	answer := struct {
		Service struct {
			Namespace string `json:"namespace"`
			Name      string `json:"name"`
		} `json:"service"`
		LocalEndpoints      int  `json:"localEndpoints"`
		ServiceProxyHealthy bool `json:"serviceProxyHealthy"`
	}{LocalEndpoints: ready, ServiceProxyHealthy: true}
	answer.Service.Namespace, answer.Service.Name = o.service.Namespace, o.service.Name
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("X-Load-Balancing-Endpoint-Weight", strconv.Itoa(ready))
	if ready == 0 {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	_ = json.NewEncoder(w).Encode(answer) // the asker may be gone
}
