package server

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/miniorch/miniorch/kubelet/container"
	"github.com/miniorch/miniorch/kubelet/server/spdy"
)

// The versions of remote commands over SPDY. v4 sends a Status at the end, earlier ones a
// text for errors only; v3 added the size of the terminal.
const (
	spdyV4 = "v4.channel.k8s.io"
	spdyV3 = "v3.channel.k8s.io"
	spdyV2 = "v2.channel.k8s.io"
)

// openTimeout is how long a client may take to open its streams.
const openTimeout = 30 * time.Second

// spdySession is a session over SPDY: a stream for each of the streams.
type spdySession struct {
	*spdy.Session
	protocol string
	streams  map[string]*spdy.Stream // by type
	sizes    chan container.Size
	reading  sync.WaitGroup
}

// openSPDY upgrades the connection and waits for all the streams that the client is to open.
func openSPDY(ctx context.Context, gone func(), w http.ResponseWriter, r *http.Request, want streams) session {
	conn, protocol, err := spdy.Upgrade(w, r, []string{spdyV4, spdyV3, spdyV2}, 5)
	if err != nil {
		return nil
	}
	c := &spdySession{Session: conn, protocol: protocol, streams: map[string]*spdy.Stream{}, sizes: make(chan container.Size, 1)}
	if c.gather(ctx, expected(want, protocol)) != nil {
		conn.Close()
		return nil // there is no way to tell
	}
	c.reading.Go(func() {
		defer gone()
		select {
		case <-conn.Done():
		case <-ctx.Done():
		}
	})
	if sizes := c.streams["resize"]; sizes != nil {
		c.reading.Go(func() { readSizes(sizes, c.sizes) })
	}
	return c
}

// expected lists the types of the streams that a client opens.
func expected(want streams, protocol string) map[string]bool {
	return map[string]bool{
		"error": true, "stdin": want.stdin, "stdout": want.stdout, "stderr": want.stderr,
		"resize": want.tty && protocol != spdyV2,
	}
}

func (c *spdySession) gather(ctx context.Context, types map[string]bool) error {
	missing := 0
	for _, needed := range types {
		if needed {
			missing++
		}
	}
	timeout := time.NewTimer(openTimeout)
	defer timeout.Stop()
	for missing > 0 {
		select {
		case s := <-c.Streams():
			if !types[s.Type()] || c.streams[s.Type()] != nil {
				s.Release()
				continue
			}
			c.streams[s.Type()] = s
			missing--
		case <-timeout.C:
			return errors.New("the client did not open its streams")
		case <-c.Done():
			return errors.New("the client is gone")
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func (c *spdySession) stdio() (s stdio) {
	if stream := c.streams["stdin"]; stream != nil {
		s.stdin = stream
	}
	if stream := c.streams["stdout"]; stream != nil {
		s.stdout = stream
	}
	if stream := c.streams["stderr"]; stream != nil {
		s.stderr = stream
	}
	if c.streams["resize"] != nil {
		s.resize = c.sizes
	}
	return s
}

// readSizes passes terminal sizes on, one JSON object per line, until the stream ends.
func readSizes(from *spdy.Stream, to chan container.Size) {
	lines := bufio.NewScanner(from)
	lines.Buffer(make([]byte, 0, 256), 4<<10)
	for lines.Scan() {
		resizeTo(lines.Bytes(), to)
	}
	from.Release() // what is too long for a size is not read on
}

// finish sends the outcome, ends the streams, and waits until the client has closed the
// connection: to close it under data that is still on its way would lose it.
func (c *spdySession) finish(status metav1.Status) {
	for _, name := range []string{"stdin", "resize"} {
		if s := c.streams[name]; s != nil {
			s.Release()
		}
	}
	text := []byte(status.Message)
	if c.protocol == spdyV4 {
		text, _ = json.Marshal(status)
	}
	if len(text) > 0 {
		_, _ = c.streams["error"].Write(text)
	}
	for _, name := range []string{"stdout", "stderr", "error"} {
		if s := c.streams[name]; s != nil {
			_ = s.Close()
		}
	}
	timeout := time.NewTimer(closeTimeout)
	defer timeout.Stop()
	select {
	case <-c.Done():
	case <-timeout.C:
	}
}

func (c *spdySession) cut() { c.Close() }

func (c *spdySession) close() {
	c.Close()
	c.reading.Wait()
}
