package kubelet

import (
	"crypto/tls"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net"
	"time"

	"k8s.io/utils/clock"

	"github.com/miniorch/miniorch/kubelet/node"
	"github.com/miniorch/miniorch/pkg/decision"
)

// Config tunes a Kubelet; zero fields have the defaults named.
type Config struct {
	NodeName string // required
	NodeIP   string // required: what pods on the host's network and status.hostIP report

	RootDir string // pods' files; default /var/lib/kubelet
	LogDir  string // container logs; default /var/log/pods

	// NoFiles leaves out what only real containers would read: /etc, logs, messages. For
	// simulated nodes.
	NoFiles bool

	ClusterDNS    []string // nameservers of pods with dnsPolicy ClusterFirst
	ClusterDomain string   // default cluster.local
	HostResolv    string   // the host's resolv.conf; default /etc/resolv.conf

	// Node describes the machine to the API. NodeName and NodeIP are filled in.
	Node node.Config
	// Listener serves the kubelet's API with TLS, which holds the node's certificate and the
	// authority of its clients; nil serves nothing.
	Listener net.Listener
	TLS      *tls.Config

	Clock     clock.WithTicker // default the real clock
	Rand      func() float64   // jitter in [0,1); default math/rand
	Logger    *slog.Logger     // default slog.Default()
	Decisions *decision.Log    // nil drops

	// Resync is how often everything is looked at although nothing happened: a safety net,
	// default 5 minutes.
	Resync time.Duration
}

func (c Config) withDefaults() (Config, error) {
	if c.NodeName == "" || net.ParseIP(c.NodeIP) == nil {
		return c, errors.New("kubelet: NodeName and a valid NodeIP are required")
	}
	if c.Listener != nil && c.TLS == nil {
		return c, errors.New("kubelet: a Listener needs TLS")
	}
	set := func(s *string, value string) {
		if *s == "" {
			*s = value
		}
	}
	set(&c.RootDir, "/var/lib/kubelet")
	set(&c.LogDir, "/var/log/pods")
	set(&c.ClusterDomain, "cluster.local")
	set(&c.HostResolv, "/etc/resolv.conf")
	if c.Clock == nil {
		c.Clock = clock.RealClock{}
	}
	if c.Rand == nil {
		c.Rand = rand.Float64
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.Resync == 0 {
		c.Resync = 5 * time.Minute
	}
	c.Logger = c.Logger.With("component", "kubelet", "node", c.NodeName)
	return c, nil
}
