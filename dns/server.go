// Package dns is the cluster's name server: every node serves the cluster's domain at the
// cluster DNS address from the informers' memory, and forwards all other names to the
// node's own resolvers, with a cache. It writes nothing to the API.
package dns

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/sync/errgroup"
	"k8s.io/utils/clock"

	"github.com/miniorch/miniorch/pkg/client"
)

// Config tunes a Server; zero fields have the defaults named.
type Config struct {
	Addresses  []netip.Addr   // where to listen; required. They must be this machine's: see Own.
	Port       uint16         // 53
	Domain     string         // "cluster.local"
	Ranges     []netip.Prefix // of pods and Services: reverse look-ups in them are never forwarded
	Pods       netip.Prefix   // of pods: their addresses have names below pod.cluster.local; invalid: they have none
	ResolvConf string         // "/etc/resolv.conf": whom to ask for other names
	Clock      clock.PassiveClock
	Logger     *slog.Logger
	// Shuffle permutes the answers, so that clients which take the first spread out.
	Shuffle func(n int, swap func(i, j int))
}

// Server answers DNS questions.
type Server struct {
	config    Config
	informers *client.Informers
	zone      zone
	upstream  *upstream
	ready     chan struct{}
}

// New returns a Server that answers from the informers.
func New(informers *client.Informers, config Config) *Server {
	s := newServer(newSource(informers), config)
	s.informers = informers
	return s
}

func newServer(source Source, config Config) *Server {
	if config.Port == 0 {
		config.Port = 53
	}
	if config.Domain == "" {
		config.Domain = "cluster.local"
	}
	if config.ResolvConf == "" {
		config.ResolvConf = "/etc/resolv.conf"
	}
	if config.Clock == nil {
		config.Clock = clock.RealClock{}
	}
	if config.Logger == nil {
		config.Logger = slog.Default()
	}
	if config.Shuffle == nil {
		config.Shuffle = rand.Shuffle
	}
	var self []string
	for _, a := range config.Addresses {
		self = append(self, a.String())
	}
	return &Server{
		config: config, zone: zone{domain: dns.CanonicalName(config.Domain), source: source, pods: config.Pods},
		upstream: newUpstream(config.ResolvConf, self, config.Clock), ready: make(chan struct{}),
	}
}

// Ready is closed once questions are answered.
func (s *Server) Ready() <-chan struct{} { return s.ready }

// Run serves until ctx ends. Questions are answered from the moment that the informers are
// synced: before, an honest answer is not known.
func (s *Server) Run(ctx context.Context) error {
	if s.informers != nil {
		if err := s.informers.WaitForSync(ctx); err != nil {
			return nil // ctx ended
		}
	}
	servers, err := s.listen()
	if err != nil {
		return err
	}
	started := make(chan struct{}, len(servers))
	group, ctx := errgroup.WithContext(ctx)
	for _, server := range servers {
		server.NotifyStartedFunc = func() { started <- struct{}{} }
		group.Go(server.ActivateAndServe)
	}
	group.Go(func() error {
		for range servers { // a server that has not started cannot be shut down
			<-started
		}
		close(s.ready)
		<-ctx.Done()
		var errs []error
		for _, server := range servers {
			errs = append(errs, server.Shutdown())
		}
		return errors.Join(errs...)
	})
	return group.Wait()
}

// listen opens a UDP and a TCP socket for every address, or none.
func (s *Server) listen() (servers []*dns.Server, err error) {
	defer func() {
		if err != nil {
			for _, server := range servers {
				closeSockets(server)
			}
		}
	}()
	for _, a := range s.config.Addresses {
		address := netip.AddrPortFrom(a, s.config.Port).String()
		packet, err := net.ListenPacket("udp", address)
		if err != nil {
			return servers, fmt.Errorf("serving DNS: %w", err)
		}
		servers = append(servers, s.server(&dns.Server{PacketConn: packet}))
		stream, err := net.Listen("tcp", address)
		if err != nil {
			return servers, fmt.Errorf("serving DNS: %w", err)
		}
		servers = append(servers, s.server(&dns.Server{Listener: stream}))
	}
	return servers, nil
}

func (s *Server) server(d *dns.Server) *dns.Server {
	d.Handler, d.ReadTimeout, d.WriteTimeout = s, 5*time.Second, 5*time.Second
	return d
}

func closeSockets(server *dns.Server) {
	if server.PacketConn != nil {
		server.PacketConn.Close()
	}
	if server.Listener != nil {
		server.Listener.Close()
	}
}

// ServeDNS answers one question.
func (s *Server) ServeDNS(w dns.ResponseWriter, req *dns.Msg) {
	reply := new(dns.Msg)
	reply.SetReply(req)
	if len(req.Question) != 1 || req.Opcode != dns.OpcodeQuery {
		reply.Rcode = dns.RcodeNotImplemented
	} else {
		s.fill(reply, req.Question[0])
	}
	size := dns.MinMsgSize
	if opt := req.IsEdns0(); opt != nil {
		size = max(size, int(opt.UDPSize()))
		reply.SetEdns0(1232, false)
	}
	if _, stream := w.LocalAddr().(*net.TCPAddr); stream {
		size = dns.MaxMsgSize
	}
	reply.Truncate(size)
	if err := w.WriteMsg(reply); err != nil {
		s.config.Logger.Debug("cannot answer", "to", w.RemoteAddr().String(), "err", err)
	}
}

// fill decides where the answer comes from: the zone, its reverse side, or upstream.
func (s *Server) fill(reply *dns.Msg, q dns.Question) {
	name := strings.ToLower(q.Name)
	if q.Qclass != dns.ClassINET && q.Qclass != dns.ClassANY {
		reply.Rcode = dns.RcodeRefused
		return
	}
	if dns.IsSubDomain(s.zone.domain, name) {
		s.own(reply, s.zone.lookup(name, q.Qtype), q)
		return
	}
	if ip, ok := parseReverse(name); ok && s.inside(ip) {
		s.own(reply, s.zone.reverse(name, ip, q.Qtype), q)
		return
	}
	s.forward(reply, name, q.Qtype)
}

// own writes an answer of the zone's, with the question's own spelling of the name.
func (s *Server) own(reply *dns.Msg, a answer, q dns.Question) {
	reply.Authoritative, reply.RecursionAvailable = true, true
	reply.Rcode, reply.Answer, reply.Extra = a.rcode, a.records, a.extra
	for _, rr := range a.records {
		if strings.EqualFold(rr.Header().Name, q.Name) {
			rr.Header().Name = q.Name
		}
	}
	s.config.Shuffle(len(reply.Answer), func(i, j int) { reply.Answer[i], reply.Answer[j] = reply.Answer[j], reply.Answer[i] })
	if a.external != "" && q.Qtype != dns.TypeCNAME {
		s.follow(reply, a.external, q.Qtype)
	}
	if len(reply.Answer) == 0 {
		reply.Ns = []dns.RR{s.zone.soa()}
	}
}

// maxAliases bounds how long a chain of CNAMEs may be: it could be a loop.
const maxAliases = 8

// follow adds what a CNAME leads to. When that cannot be had the CNAME stands alone: the
// client may do better.
func (s *Server) follow(reply *dns.Msg, target string, qtype uint16) {
	for range maxAliases {
		if !dns.IsSubDomain(s.zone.domain, target) {
			further := new(dns.Msg)
			s.forward(further, target, qtype)
			reply.Answer = append(reply.Answer, further.Answer...)
			return
		}
		next := s.zone.lookup(target, qtype)
		reply.Answer = append(reply.Answer, next.records...)
		if target = next.external; target == "" {
			return
		}
	}
}

func (s *Server) forward(reply *dns.Msg, name string, qtype uint16) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*upstreamTimeout)
	defer cancel()
	reply.RecursionAvailable = true
	found, err := s.upstream.ask(ctx, name, qtype)
	if err != nil {
		s.config.Logger.Debug("cannot resolve", "name", name, "err", err)
		reply.Rcode = dns.RcodeServerFailure
		return
	}
	reply.Rcode, reply.Answer, reply.Ns = found.Rcode, found.Answer, found.Ns
}

func (s *Server) inside(ip netip.Addr) bool {
	for _, r := range s.config.Ranges {
		if r.Contains(ip) {
			return true
		}
	}
	return false
}

// parseReverse reads "5.0.244.10.in-addr.arpa." as 10.244.0.5.
func parseReverse(name string) (netip.Addr, bool) {
	digits, ok := strings.CutSuffix(name, ".in-addr.arpa.")
	if !ok {
		return netip.Addr{}, false
	}
	parts := strings.Split(digits, ".")
	if len(parts) != 4 {
		return netip.Addr{}, false
	}
	ip, err := netip.ParseAddr(parts[3] + "." + parts[2] + "." + parts[1] + "." + parts[0])
	return ip, err == nil
}
