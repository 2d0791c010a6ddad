package spdy

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
)

// The headers by which client and server agree on what the streams mean.
const (
	headerProtocol = "X-Stream-Protocol-Version"
	headerAccepted = "X-Accepted-Stream-Protocol-Versions"
)

// IsUpgrade reports whether a request asks for SPDY.
func IsUpgrade(r *http.Request) bool {
	return hasToken(r.Header, "Connection", "Upgrade") && hasToken(r.Header, "Upgrade", Protocol)
}

func hasToken(h http.Header, name, token string) bool {
	return slices.ContainsFunc(list(h, name), func(s string) bool { return strings.EqualFold(s, token) })
}

// list is a header's comma-separated values.
func list(h http.Header, name string) (out []string) {
	for _, line := range h.Values(name) {
		for v := range strings.SplitSeq(line, ",") {
			if v = strings.TrimSpace(v); v != "" {
				out = append(out, v)
			}
		}
	}
	return out
}

// Upgrade takes a request's connection over. Of what the client offers it chooses the first
// that is supported. When it fails the client has been told.
func Upgrade(w http.ResponseWriter, r *http.Request, supported []string, limit int) (session *Session, protocol string, err error) {
	offered := list(r.Header, headerProtocol)
	i := slices.IndexFunc(offered, func(p string) bool { return slices.Contains(supported, p) })
	if i < 0 {
		w.Header()[headerAccepted] = supported
		err := fmt.Errorf("unable to upgrade: the client offers the protocols %q, supported are %q", offered, supported)
		http.Error(w, err.Error(), http.StatusForbidden)
		return nil, "", err
	}
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, "unable to upgrade this connection: use HTTP/1.1", http.StatusBadRequest)
		return nil, "", err
	}
	head := "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: " + Protocol + "\r\n" + headerProtocol + ": " + offered[i] + "\r\n\r\n"
	if _, err := io.WriteString(conn, head); err != nil {
		_ = conn.Close()
		return nil, "", err
	}
	session, err = NewSession(&bufferedConn{conn, Remaining(conn, buffered.Reader)}, limit)
	return session, offered[i], err
}

// bufferedConn first reads what the HTTP server has read already.
type bufferedConn struct {
	net.Conn
	from io.Reader
}

// Read implements net.Conn.
func (c *bufferedConn) Read(p []byte) (int, error) { return c.from.Read(p) }

// Remaining is what is still to be read of a connection that was taken over: what the HTTP
// server has read of it already, then the connection itself. Read through the server's own
// buffer, the end of the client's side would end the request's context.
func Remaining(conn net.Conn, buffered *bufio.Reader) io.Reader {
	ahead, _ := buffered.Peek(buffered.Buffered()) // what is buffered can be peeked at
	return io.MultiReader(bytes.NewReader(ahead), conn)
}
