package server

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/gorilla/mux"
	"github.com/gorilla/websocket"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/miniorch/miniorch/kubelet/server/spdy"
)

// How ports are forwarded: over SPDY, where each connection has a stream for its data and one
// for its error; over SPDY inside a WebSocket; or over the channels of a WebSocket (portchannels.go).
const (
	forwardProtocol = "portforward.k8s.io"
	tunnelProtocol  = spdy.Protocol + "+" + forwardProtocol
)

// maxForwards is how many connections one session may have at once.
const maxForwards = 128

func (s *Server) portForward(w http.ResponseWriter, r *http.Request) {
	v := mux.Vars(r)
	if err := s.backend.CheckPod(v["namespace"], v["pod"]); err != nil {
		fail(w, err)
		return
	}
	dial := func(ctx context.Context, port uint16) (net.Conn, error) {
		return s.backend.DialPod(ctx, v["namespace"], v["pod"], port, true)
	}
	var client *spdy.Session
	var err error
	switch {
	case websocket.IsWebSocketUpgrade(r) && !slices.Contains(websocket.Subprotocols(r), tunnelProtocol):
		forwardChannels(w, r, dial)
		return
	case websocket.IsWebSocketUpgrade(r):
		conn := upgrade(w, r, []string{tunnelProtocol})
		if conn == nil {
			return
		}
		client, err = spdy.NewSession(spdy.OverWebSocket(conn), 2*maxForwards)
	case spdy.IsUpgrade(r):
		client, _, err = spdy.Upgrade(w, r, []string{forwardProtocol}, 2*maxForwards)
	default:
		err = apierrors.NewBadRequest("port-forward needs an upgrade to SPDY/3.1, or to a WebSocket")
		fail(w, err)
	}
	if err != nil {
		return // the client has its answer
	}
	f := &forwarder{client: client, waiting: map[string]*forward{}, dial: dial}
	f.run(r.Context())
}

// forwarder serves one client's session.
type forwarder struct {
	client  *spdy.Session
	dial    dialer
	waiting map[string]*forward // by the client's ID; of which one stream is missing
	serving sync.WaitGroup
}

// forward is one connection.
type forward struct {
	data, failure *spdy.Stream
	since         time.Time
}

// run pairs streams until the client is gone or ctx ends.
func (f *forwarder) run(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer f.serving.Wait()
	defer f.client.Close()
	defer cancel()
	tick := time.NewTicker(openTimeout)
	defer tick.Stop()
	for {
		select {
		case stream := <-f.client.Streams():
			f.add(ctx, stream)
		case now := <-tick.C:
			f.forget(now)
		case <-f.client.Done():
			return
		case <-ctx.Done():
			return
		}
	}
}

// add joins a stream with its other one, and serves the two.
func (f *forwarder) add(ctx context.Context, s *spdy.Stream) {
	id := s.Headers().Get("requestID")
	pair := f.waiting[id]
	if pair == nil {
		pair = &forward{since: time.Now()}
		f.waiting[id] = pair
	}
	switch {
	case id != "" && s.Type() == "data" && pair.data == nil:
		pair.data = s
	case id != "" && s.Type() == "error" && pair.failure == nil:
		pair.failure = s
	default:
		s.Release()
	}
	if pair.data == nil && pair.failure == nil {
		delete(f.waiting, id)
	}
	if pair.data != nil && pair.failure != nil {
		delete(f.waiting, id)
		f.serving.Go(func() { pair.serve(ctx, f.dial) })
	}
}

// forget gives up streams whose other one does not come.
func (f *forwarder) forget(now time.Time) {
	for id, pair := range f.waiting {
		if now.Sub(pair.since) < openTimeout {
			continue
		}
		delete(f.waiting, id)
		for _, s := range []*spdy.Stream{pair.data, pair.failure} {
			if s != nil {
				s.Release()
			}
		}
	}
}

func parsePort(text string) (uint16, error) {
	port, err := strconv.ParseUint(text, 10, 16)
	if err != nil || port == 0 {
		return 0, fmt.Errorf("invalid port %q", text)
	}
	return uint16(port), nil
}

// dialer connects to a port of the pod.
type dialer func(ctx context.Context, port uint16) (net.Conn, error)

func forwardTo(ctx context.Context, port uint16, dial dialer) (net.Conn, error) {
	conn, err := dial(ctx, port)
	if err != nil {
		return nil, fmt.Errorf("error forwarding port %d: %w", port, err)
	}
	return conn, nil
}

// serve connects to the port that the client named and copies until both sides are done.
func (p *forward) serve(ctx context.Context, dial dialer) {
	defer p.failure.Release()
	defer p.data.Release()
	port, err := parsePort(p.data.Headers().Get("port"))
	var conn net.Conn
	if err == nil {
		conn, err = forwardTo(ctx, port, dial)
	}
	if err != nil {
		_, _ = io.WriteString(p.failure, err.Error())
		_ = p.failure.Close()
		_ = p.data.Close()
		_, _ = io.Copy(io.Discard, p.failure) // which the client has closed: it lets the text arrive before the reset
		return
	}
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	join(conn, p.data, p.data.Close)
	_ = p.failure.Close()
}

// join copies both ways between a connection and a client, passing the end of each direction
// on, and closes the connection when both have ended.
func join(conn net.Conn, client io.ReadWriter, closeWrite func() error) {
	defer conn.Close()
	var both sync.WaitGroup
	both.Go(func() {
		_, err := io.Copy(conn, client)
		if half, ok := conn.(interface{ CloseWrite() error }); !ok || err != nil || half.CloseWrite() != nil {
			_ = conn.Close()
		}
	})
	if _, err := io.Copy(client, conn); err != nil {
		_ = conn.Close()
	}
	_ = closeWrite()
	both.Wait()
}
