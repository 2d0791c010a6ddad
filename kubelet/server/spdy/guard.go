package spdy

import (
	"fmt"
	"net"
	"sync"
)

// guarded ends a connection that brings a larger frame than we are ready to hold: the
// library would make room for 16 megabytes, hundreds of times.
type guarded struct {
	net.Conn
	header [8]byte
	have   int // bytes of header
	rest   int // bytes of the frame's content still to come

	closing sync.Once
}

// Close closes the connection, and is content if it was closed before: for an error the
// library would keep a goroutine to tell somebody.
func (g *guarded) Close() error {
	g.closing.Do(func() { _ = g.Conn.Close() })
	return nil
}

// Read implements net.Conn. It is called by one goroutine.
func (g *guarded) Read(p []byte) (int, error) {
	n, err := g.Conn.Read(p)
	for data := p[:n]; len(data) > 0; {
		if g.rest > 0 {
			passed := min(g.rest, len(data))
			g.rest, data = g.rest-passed, data[passed:]
			continue
		}
		taken := copy(g.header[g.have:], data)
		g.have, data = g.have+taken, data[taken:]
		if g.have < len(g.header) {
			break
		}
		// Of control and data frames alike the last three bytes are the length.
		g.rest, g.have = int(g.header[5])<<16|int(g.header[6])<<8|int(g.header[7]), 0
		if g.rest > maxFrame {
			return 0, fmt.Errorf("a SPDY frame of %d bytes is too large", g.rest)
		}
	}
	return n, err
}
