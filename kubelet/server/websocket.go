package server

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/miniorch/miniorch/kubelet/container"
)

// The channels of a remote command: the first byte of every message.
const (
	channelStdin  = 0
	channelStdout = 1
	channelStderr = 2
	channelError  = 3 // how it ended
	channelResize = 4
	channelClose  = 255 // v5: the next byte names the channel that ends
)

// socketProtocols are the subprotocols, best first. v5 adds the end of stdin, v4 a Status at
// the end instead of a text for errors only. In base64 messages are text, their first
// character the channel's digit.
var socketProtocols = []string{"v5.channel.k8s.io", "v4.channel.k8s.io", "v4.base64.channel.k8s.io", "channel.k8s.io", "base64.channel.k8s.io"}

// socket is a session over a WebSocket.
type socket struct {
	*channels
	want    streams
	stdin   *io.PipeReader
	feed    *io.PipeWriter
	resize  chan container.Size
	reading sync.WaitGroup
	plain   bool // errors are told in words
}

// openSocket upgrades the connection and starts reading it. gone is called when it ends.
func openSocket(ctx context.Context, gone func(), w http.ResponseWriter, r *http.Request, want streams) session {
	conn := upgrade(w, r, socketProtocols)
	if conn == nil {
		return nil
	}
	c := &socket{channels: newChannels(conn), want: want, resize: make(chan container.Size, 1)}
	switch conn.Subprotocol() {
	case "", "channel.k8s.io", "base64.channel.k8s.io":
		c.plain = true
	}
	c.stdin, c.feed = io.Pipe()
	c.reading.Go(func() {
		defer gone()
		c.read(ctx)
	})
	return c
}

func (c *socket) stdio() (s stdio) {
	if c.want.stdin {
		s.stdin = c.stdin
	} else {
		c.stdin.Close()
	}
	if c.want.stdout {
		s.stdout = channelWriter{c.channels, channelStdout}
	}
	if c.want.stderr {
		s.stderr = channelWriter{c.channels, channelStderr}
	}
	if c.want.tty {
		s.resize = c.resize
	}
	return s
}

// read takes the client's messages until the connection ends.
func (c *socket) read(ctx context.Context) {
	defer c.feed.Close()
	defer context.AfterFunc(ctx, func() { c.stdin.Close() })()
	for {
		channel, data, err := c.receive()
		if err != nil {
			return
		}
		switch channel {
		case channelStdin:
			_, _ = c.feed.Write(data) // a command that reads no more is no error
		case channelClose:
			if len(data) > 0 && data[0] == channelStdin {
				c.feed.Close()
			}
		case channelResize:
			resizeTo(data, c.resize)
		}
	}
}

// resizeTo passes on a terminal's size as clients encode it. Only the newest one matters.
// There is one caller per channel, which has room for one.
func resizeTo(text []byte, to chan container.Size) {
	var size container.Size
	if json.Unmarshal(text, &size) != nil {
		return
	}
	select {
	case <-to:
	default:
	}
	to <- size
}

// finish sends the outcome and closes the connection in order.
func (c *socket) finish(status metav1.Status) {
	c.stdin.Close() // unblocks a reader that has more than the command wanted
	text := []byte(status.Message)
	if !c.plain {
		text, _ = json.Marshal(status)
	}
	_, _ = channelWriter{c.channels, channelError}.Write(text)
	c.leave(&c.reading)
}

func (c *socket) cut() {
	_ = c.conn.Close()
	c.stdin.Close()
}

func (c *socket) close() {
	c.cut()
	c.reading.Wait()
}
