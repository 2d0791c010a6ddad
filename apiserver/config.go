package apiserver

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"time"

	"k8s.io/utils/clock"

	"github.com/miniorch/miniorch/apiserver/auth"
	"github.com/miniorch/miniorch/apiserver/registry"
	"github.com/miniorch/miniorch/apiserver/rest"
	"github.com/miniorch/miniorch/pkg/decision"
)

// Config is what a Server can be told. Its zero value is a server for clients in the same
// process: no network, no credentials, every default.
type Config struct {
	// Listener, if not nil, is served with TLS; Certificate is then needed.
	Listener net.Listener
	// Certificate is asked for the serving certificate at every handshake.
	Certificate func(*tls.ClientHelloInfo) (*tls.Certificate, error)
	// ClientCAs are trusted to say who a client is. Nil: client certificates mean nothing.
	ClientCAs *x509.CertPool
	// Tokens issues and checks service-account tokens. Nil: there are none.
	Tokens *auth.Tokens
	// StaticTokens are further bearer tokens, each with its user.
	StaticTokens map[string]auth.User
	// Authorizer decides who may do what. Nil: auth.Components.
	Authorizer auth.Authorizer

	// KubeletTLS is how kubelets are dialled for log and exec: it carries the client
	// certificate and the CAs; the server's name is filled in per node. Nil: log and exec
	// answer 503.
	KubeletTLS *tls.Config
	// KubeletDialer opens connections to kubelets. Nil: the network.
	KubeletDialer *net.Dialer

	// AdvertiseAddress and AdvertisePort are where the cluster reaches this server: the
	// endpoint of the Service default/kubernetes. An invalid address (zero) publishes none.
	AdvertiseAddress netip.Addr
	AdvertisePort    int32
	// ServiceCIDR is where cluster IPs come from; its first address is default/kubernetes.
	ServiceCIDR netip.Prefix

	// Registry and Rest tune the built-in kinds and the engine. What this Config has as
	// well (clock, logger, authorizer, …) is set from here.
	Registry registry.Config
	Rest     rest.Config

	// MaxInFlight bounds reading and MaxMutatingInFlight writing requests that are being served
	// at once; watches, log and exec do not count. Default 400 and 200.
	MaxInFlight, MaxMutatingInFlight int
	// RequestTimeout bounds every request that is not a watch, log or exec. Default 1 minute.
	RequestTimeout time.Duration
	// ShutdownGrace is how long requests may take to end after Run's context has. Default 5 s.
	ShutdownGrace time.Duration
	// UsagePeriod is how often nodes are asked what they and their pods use. Default 15 s.
	UsagePeriod time.Duration
	// Profiling serves /debug/pprof to administrators.
	Profiling bool

	Clock     clock.WithTicker
	Logger    *slog.Logger
	Rand      func() uint64 // must be safe for concurrent use
	Decisions *decision.Log // served at /debug/decisions
	// Why answers GET …/pods/NAME/why: where a pod runs, and why not elsewhere. Optional.
	Why http.Handler
}

func (c *Config) setDefaults() {
	if c.Clock == nil {
		c.Clock = clock.RealClock{}
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.Rand == nil {
		c.Rand = rand.Uint64
	}
	if c.Authorizer == nil {
		c.Authorizer = auth.Components{}
	}
	if !c.ServiceCIDR.IsValid() {
		c.ServiceCIDR = netip.MustParsePrefix("10.96.0.0/16")
	}
	if c.AdvertisePort == 0 {
		c.AdvertisePort = 6443
	}
	if c.MaxInFlight <= 0 {
		c.MaxInFlight = 400
	}
	if c.MaxMutatingInFlight <= 0 {
		c.MaxMutatingInFlight = 200
	}
	if c.RequestTimeout <= 0 {
		c.RequestTimeout = time.Minute
	}
	if c.UsagePeriod <= 0 {
		c.UsagePeriod = 15 * time.Second
	}
	if c.ShutdownGrace <= 0 {
		c.ShutdownGrace = 5 * time.Second
	}
}

func (c *Config) validate() error {
	if c.Listener != nil && c.Certificate == nil {
		return errors.New("a listener needs a certificate: the API is served with TLS only")
	}
	return nil
}

// restConfig is the engine's part of c.
func (c *Config) restConfig() rest.Config {
	r := c.Rest
	r.Authorizer, r.ServiceCIDR = c.Authorizer, c.ServiceCIDR
	r.Clock, r.Logger, r.Rand = c.Clock, c.Logger, c.Rand
	if c.Tokens != nil {
		r.Tokens = c.Tokens
	}
	return r
}
