// Package spdy is the server's side of SPDY/3.1 as kubectl and client-go speak it: streams
// that the client opens over one upgraded connection, or over a WebSocket that carries one.
// It bounds what a client can make us hold: streams, the size of frames, headers. It knows
// nothing of what the streams mean.
package spdy

import (
	"errors"
	"net"
	"net/http"
	"sync"

	"github.com/moby/spdystream"
	"github.com/moby/spdystream/spdy"
)

// Protocol is what a request's Upgrade header says.
const Protocol = "SPDY/3.1"

// The bounds of what is read. Clients write what they copy, in pieces of 32 KiB.
const (
	maxFrame   = 256 << 10
	maxControl = 16 << 10
	maxHeaders = 32
	maxHeader  = 4 << 10
)

// Stream is one stream that the client opened. Reading it ends with io.EOF when the client
// has closed its side, or is gone.
type Stream struct {
	*spdystream.Stream
	session *Session
}

// Type is what the client says the stream is for.
func (s *Stream) Type() string { return s.Headers().Get("streamType") }

// Release ends a stream in both directions and makes room for another.
func (s *Stream) Release() {
	s.session.mu.Lock()
	delete(s.session.open, s)
	s.session.mu.Unlock()
	_ = s.Reset() // the connection may be gone
}

// Session is one client's connection.
type Session struct {
	conn    net.Conn
	limit   int
	streams chan *Stream
	done    chan struct{}

	mu     sync.Mutex
	open   map[*Stream]bool // guarded by mu
	closed bool             // guarded by mu
}

// errTooMany ends the headers of a stream that is one too many.
var errTooMany = errors.New("too many streams are open")

// NewSession serves conn, which has been upgraded, until Close. The client may have limit
// streams open at once. The session owns conn.
func NewSession(conn net.Conn, limit int) (*Session, error) {
	conn = &guarded{Conn: conn}
	s := &Session{conn: conn, limit: limit, streams: make(chan *Stream, limit), done: make(chan struct{}), open: map[*Stream]bool{}}
	served, err := spdystream.NewConnectionWithOptions(conn, true, spdy.WithMaxControlFramePayloadSize(maxControl),
		spdy.WithMaxHeaderCount(maxHeaders), spdy.WithMaxHeaderFieldSize(maxHeader))
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	go func() {
		defer close(s.done)
		served.Serve(s.accept)
	}()
	return s, nil
}

// Streams delivers what the client opens. It is not closed: see Done.
func (s *Session) Streams() <-chan *Stream { return s.streams }

// Done is closed when the connection has ended.
func (s *Session) Done() <-chan struct{} { return s.done }

// accept lets a stream begin, or refuses it. The library calls it for one stream after the
// other on each of its workers.
func (s *Session) accept(raw *spdystream.Stream) {
	stream := &Stream{raw, s}
	if err := s.admit(stream); err != nil {
		_ = raw.Reset()
		return
	}
	// Data that comes before the reply is dropped, so clients wait for it.
	if raw.SendReply(http.Header{}, false) != nil {
		return // the connection has ended
	}
	s.streams <- stream
}

// admit counts a stream. Every open one has room in the channel.
func (s *Session) admit(stream *Stream) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || len(s.open) >= s.limit {
		return errTooMany
	}
	s.open[stream] = true
	return nil
}

// Close cuts the connection and returns when nothing of it is left.
func (s *Session) Close() {
	_ = s.conn.Close() // first: somebody may be waiting for the client to read
	s.mu.Lock()
	s.closed = true
	open := s.open
	s.open = map[*Stream]bool{}
	s.mu.Unlock()
	for stream := range open {
		_ = stream.Reset() // wakes the library where it waits for somebody to read
	}
	<-s.done
}
