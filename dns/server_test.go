package dns

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
	"go.uber.org/goleak"
	discoveryv1 "k8s.io/api/discovery/v1"
	clocktesting "k8s.io/utils/clock/testing"
)

// running starts a server on a loopback address with an upstream of the test's own, and
// returns its address and the count of questions that upstream got.
func running(t *testing.T, source Source, clk *clocktesting.FakePassiveClock) (address string, asked *atomic.Int32) {
	t.Helper()
	asked = new(atomic.Int32)
	up := netip.MustParseAddr("127.0.0.54")
	packet, err := net.ListenPacket("udp", netip.AddrPortFrom(up, 0).String())
	if err != nil {
		t.Fatal(err)
	}
	started := make(chan struct{})
	upstreamServer := &dns.Server{PacketConn: packet, NotifyStartedFunc: func() { close(started) }, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, req *dns.Msg) {
		asked.Add(1)
		reply := new(dns.Msg)
		reply.SetReply(req)
		if strings.HasPrefix(req.Question[0].Name, "example.") {
			rr, _ := dns.NewRR(req.Question[0].Name + " 20 IN A 192.0.2.7")
			reply.Answer = []dns.RR{rr}
		} else {
			reply.Rcode = dns.RcodeNameError
		}
		_ = w.WriteMsg(reply)
	})}
	stopped := make(chan error, 2)
	go func() { stopped <- upstreamServer.ActivateAndServe() }()
	<-started

	free, err := net.Listen("tcp", "127.0.0.53:0")
	if err != nil {
		t.Fatal(err)
	}
	own := free.Addr().(*net.TCPAddr)
	free.Close()
	conf := filepath.Join(t.TempDir(), "resolv.conf")
	if err := os.WriteFile(conf, []byte("nameserver 127.0.0.53\nnameserver 127.0.0.54\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	s := newServer(source, Config{
		Addresses: []netip.Addr{netip.MustParseAddr("127.0.0.53")}, Port: uint16(own.Port), ResolvConf: conf, Clock: clk,
		Ranges: []netip.Prefix{netip.MustParsePrefix("10.96.0.0/16"), netip.MustParsePrefix("10.244.0.0/16")},
	})
	// resolv.conf has no way to name a port: the test's upstream is not on 53.
	s.upstream.servers, s.upstream.read = []string{packet.LocalAddr().String()}, clk.Now().Add(time.Hour)
	ctx, cancel := context.WithCancel(context.Background())
	go func() { stopped <- s.Run(ctx) }()
	<-s.Ready()
	t.Cleanup(func() {
		cancel()
		if err := upstreamServer.Shutdown(); err != nil {
			t.Error(err)
		}
		for range 2 {
			if err := <-stopped; err != nil {
				t.Error(err)
			}
		}
		goleak.VerifyNone(t)
	})
	return own.String(), asked
}

func query(t *testing.T, network, address, name string, qtype uint16) *dns.Msg {
	t.Helper()
	m := new(dns.Msg)
	m.SetQuestion(name, qtype)
	reply, _, err := (&dns.Client{Net: network, Timeout: 10 * time.Second}).Exchange(m, address)
	if err != nil {
		t.Fatal(err)
	}
	return reply
}

func TestServerOnTheWire(t *testing.T) {
	clk := clocktesting.NewFakePassiveClock(time.Now())
	source := testWorld()
	many := &discoveryv1.EndpointSlice{ObjectMeta: source.slices[0].ObjectMeta, Ports: source.slices[0].Ports}
	for i := range 100 {
		many.Endpoints = append(many.Endpoints, discoveryv1.Endpoint{Addresses: []string{fmt.Sprintf("10.244.1.%d", i)}})
	}
	source.slices = append(source.slices, many)
	address, asked := running(t, source, clk)

	if r := query(t, "udp", address, "Web.Default.svc.Cluster.local.", dns.TypeA); len(r.Answer) != 1 || !r.Authoritative || r.Answer[0].Header().Name != "Web.Default.svc.Cluster.local." {
		t.Errorf("names are compared without case and answered as spelled (RFC 4343): %v", r)
	}
	if r := query(t, "udp", address, "nobody.default.svc.cluster.local.", dns.TypeA); r.Rcode != dns.RcodeNameError || len(r.Ns) != 1 {
		t.Errorf("a name that does not exist comes with the SOA record (RFC 2308): %v", r)
	}
	if r := query(t, "udp", address, "db.default.svc.cluster.local.", dns.TypeA); !r.Truncated || len(r.Answer) == 0 {
		t.Errorf("102 addresses do not fit into 512 bytes: want a truncated answer, got %d records, truncated %v", len(r.Answer), r.Truncated)
	}
	if r := query(t, "tcp", address, "db.default.svc.cluster.local.", dns.TypeA); r.Truncated || len(r.Answer) != 102 {
		t.Errorf("by TCP all 102 addresses come, got %d, truncated %v", len(r.Answer), r.Truncated)
	}
	if r := query(t, "udp", address, "away.default.svc.cluster.local.", dns.TypeA); len(r.Answer) != 2 {
		t.Errorf("ExternalName is followed to its address: %v", r)
	}
	if r := query(t, "tcp", address, "further.default.svc.cluster.local.", dns.TypeA); len(r.Answer) != 3 {
		t.Errorf("ExternalName that leads to ExternalName is followed to the end: %v", r)
	}
	if r := query(t, "tcp", address, "loop.default.svc.cluster.local.", dns.TypeA); len(r.Answer) != 1+maxAliases {
		t.Errorf("a loop ends: %v", r)
	}
	if n := asked.Load(); n != 1 {
		t.Errorf("upstream got %d questions, want one: names of the cluster are not its business", n)
	}
	if r := query(t, "udp", address, "200.0.244.10.in-addr.arpa.", dns.TypePTR); r.Rcode != dns.RcodeNameError || asked.Load() != 1 {
		t.Errorf("reverse look-ups of pod addresses stay inside: %v, upstream asked %d times", r, asked.Load())
	}

	for range 5 {
		if r := query(t, "udp", address, "example.com.", dns.TypeA); len(r.Answer) != 1 {
			t.Fatalf("outside names are forwarded: %v", r)
		}
	}
	if n := asked.Load(); n != 2 {
		t.Errorf("upstream got %d questions, want the second one only once: answers are cached", n)
	}
	clk.SetTime(clk.Now().Add(15 * time.Second))
	if r := query(t, "udp", address, "example.com.", dns.TypeA); r.Answer[0].Header().Ttl != 5 || asked.Load() != 2 {
		t.Errorf("after 15 of 20 seconds TTL is %d (want 5) and upstream was asked %d times (want 2)", r.Answer[0].Header().Ttl, asked.Load())
	}
	clk.SetTime(clk.Now().Add(6 * time.Second))
	query(t, "udp", address, "example.com.", dns.TypeA)
	if n := asked.Load(); n != 3 {
		t.Errorf("upstream got %d questions, want a third when the answer has expired", n)
	}
}

func TestNoUpstreamIsAServerFailure(t *testing.T) {
	s := newServer(testWorld(), Config{ResolvConf: filepath.Join(t.TempDir(), "absent")})
	reply := new(dns.Msg)
	s.fill(reply, dns.Question{Name: "example.com.", Qtype: dns.TypeA, Qclass: dns.ClassINET})
	if reply.Rcode != dns.RcodeServerFailure {
		t.Errorf("without upstream: %s, want SERVFAIL", dns.RcodeToString[reply.Rcode])
	}
}

func TestCacheIsBounded(t *testing.T) {
	c, now := newCache(), time.Now()
	for i := range maxEntries + 100 {
		m := new(dns.Msg)
		rr, err := dns.NewRR(fmt.Sprintf("n%d.example. 60 IN A 192.0.2.1", i))
		if err != nil {
			t.Fatal(err)
		}
		m.Answer = []dns.RR{rr}
		c.put(question{fmt.Sprintf("n%d.example.", i), dns.TypeA}, m, now)
	}
	if len(c.entries) != maxEntries || c.recent.Len() != maxEntries {
		t.Errorf("%d entries, want %d", len(c.entries), maxEntries)
	}
	if _, ok := c.get(question{"n0.example.", dns.TypeA}, now); ok {
		t.Error("the least recently used entry is still there")
	}
}

// FuzzServeDNS feeds whole messages: no input may make the server panic.
func FuzzServeDNS(f *testing.F) {
	m := new(dns.Msg)
	m.SetQuestion("_http._tcp.web.default.svc.cluster.local.", dns.TypeSRV)
	packed, err := m.Pack()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(packed)
	s := newServer(testWorld(), Config{ResolvConf: "/nonexistent"})
	f.Fuzz(func(t *testing.T, data []byte) {
		req := new(dns.Msg)
		if req.Unpack(data) != nil || len(req.Question) != 1 {
			return
		}
		reply := new(dns.Msg)
		reply.SetReply(req)
		s.fill(reply, req.Question[0])
		if _, err := reply.Pack(); err != nil && len(reply.Answer) > 0 {
			t.Errorf("the answer to %v cannot be packed: %v", req.Question[0], err)
		}
	})
}
