package dns

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/miekg/dns"
	"k8s.io/utils/clock"
)

const (
	upstreamTimeout = 2 * time.Second
	// maxForwarding bounds the questions that wait for upstream servers; more are refused.
	maxForwarding = 512
	// recheck is how often the host's resolv.conf is looked at for a change, when there are questions.
	recheck = 5 * time.Second
)

var (
	errNoUpstream = errors.New("the node's resolv.conf names no server to ask for names outside the cluster")
	errBusy       = errors.New("too many questions wait for upstream servers")
)

// upstream asks the node's own resolvers for names outside the cluster.
type upstream struct {
	resolvConf string
	self       []string // our own addresses, never asked
	clock      clock.PassiveClock
	cache      *cache
	slots      chan struct{} // one for each question under way

	mu      sync.Mutex
	servers []string  // guarded by mu
	read    time.Time // guarded by mu; when resolv.conf was looked at
	changed time.Time // guarded by mu; its modification time
}

func newUpstream(resolvConf string, self []string, clk clock.PassiveClock) *upstream {
	return &upstream{resolvConf: resolvConf, self: self, clock: clk, cache: newCache(), slots: make(chan struct{}, maxForwarding)}
}

// ask returns the answer from the cache or from the first server that gives one.
func (u *upstream) ask(ctx context.Context, name string, qtype uint16) (*dns.Msg, error) {
	q := question{name, qtype}
	if reply, ok := u.cache.get(q, u.clock.Now()); ok {
		return reply, nil
	}
	select {
	case u.slots <- struct{}{}:
		defer func() { <-u.slots }()
	default:
		return nil, errBusy
	}
	servers, err := u.current()
	if err != nil {
		return nil, err
	}
	var errs []error
	for _, server := range servers {
		reply, err := exchange(ctx, server, name, qtype)
		if err != nil {
			errs = append(errs, fmt.Errorf("asking %s: %w", server, err))
			continue
		}
		u.cache.put(q, reply, u.clock.Now())
		return reply, nil
	}
	return nil, errors.Join(errs...)
}

// exchange asks by UDP, and again by TCP when the answer did not fit.
func exchange(ctx context.Context, server, name string, qtype uint16) (*dns.Msg, error) {
	m := new(dns.Msg)
	m.SetQuestion(name, qtype)
	m.SetEdns0(1232, false)
	var reply *dns.Msg
	var err error
	for _, network := range []string{"udp", "tcp"} {
		c := &dns.Client{Net: network, Timeout: upstreamTimeout, UDPSize: 1232}
		if reply, _, err = c.ExchangeContext(ctx, m, server); err != nil {
			return nil, err
		}
		if !reply.Truncated {
			break
		}
	}
	return reply, nil
}

// current returns the servers that resolv.conf names.
func (u *upstream) current() ([]string, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	now := u.clock.Now()
	if !u.read.IsZero() && now.Sub(u.read) < recheck {
		return u.known()
	}
	u.read = now
	info, err := os.Stat(u.resolvConf)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNoUpstream, err)
	}
	if info.ModTime().Equal(u.changed) {
		return u.known()
	}
	config, err := dns.ClientConfigFromFile(u.resolvConf)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", u.resolvConf, err)
	}
	u.changed, u.servers = info.ModTime(), nil
	for _, server := range config.Servers {
		if !slices.Contains(u.self, server) {
			u.servers = append(u.servers, net.JoinHostPort(server, config.Port))
		}
	}
	return u.known()
}

// known is called with mu held.
func (u *upstream) known() ([]string, error) {
	if len(u.servers) == 0 {
		return nil, errNoUpstream
	}
	return u.servers, nil
}
