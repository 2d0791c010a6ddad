package server

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/gorilla/websocket"
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

// maxMessage is the longest message we take.
const maxMessage = 1 << 20

// socket is a session over a WebSocket.
type socket struct {
	conn    *websocket.Conn
	want    streams
	stdin   *io.PipeReader
	feed    *io.PipeWriter
	resize  chan container.Size
	reading sync.WaitGroup
	base64  bool
	plain   bool // errors are told in words

	mu sync.Mutex // one writer at a time
}

// upgrade takes a request's connection over as a WebSocket. A nil conn means that the client
// has its answer.
func upgrade(w http.ResponseWriter, r *http.Request, protocols []string) *websocket.Conn {
	upgrader := websocket.Upgrader{
		Subprotocols: protocols, ReadBufferSize: 32 << 10, WriteBufferSize: 32 << 10,
		CheckOrigin: func(*http.Request) bool { return true }, // no browser has a certificate of ours
	}
	conn, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return nil // the upgrader has answered
	}
	conn.SetReadLimit(maxMessage)
	if conn.Subprotocol() == "" && len(websocket.Subprotocols(r)) > 0 {
		farewell(conn, websocket.CloseProtocolError, "none of the offered WebSocket subprotocols is known")
		_ = conn.Close()
		return nil
	}
	return conn
}

func farewell(conn *websocket.Conn, code int, text string) {
	_ = conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, text), time.Now().Add(closeTimeout))
}

// openSocket upgrades the connection and starts reading it. gone is called when it ends.
func openSocket(ctx context.Context, gone func(), w http.ResponseWriter, r *http.Request, want streams) session {
	conn := upgrade(w, r, socketProtocols)
	if conn == nil {
		return nil
	}
	c := &socket{conn: conn, want: want, resize: make(chan container.Size, 1)}
	switch conn.Subprotocol() {
	case "v4.base64.channel.k8s.io":
		c.base64 = true
	case "base64.channel.k8s.io":
		c.base64, c.plain = true, true
	case "", "channel.k8s.io":
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
		s.stdout = &channelWriter{c, channelStdout}
	}
	if c.want.stderr {
		s.stderr = &channelWriter{c, channelStderr}
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
		_, message, err := c.conn.ReadMessage()
		if err != nil {
			return
		}
		if c.base64 {
			message = unbase64(message)
		}
		if len(message) == 0 {
			continue
		}
		switch message[0] {
		case channelStdin:
			_, _ = c.feed.Write(message[1:]) // a command that reads no more is no error
		case channelClose:
			if len(message) > 1 && message[1] == channelStdin {
				c.feed.Close()
			}
		case channelResize:
			resizeTo(message[1:], c.resize)
		}
	}
}

// unbase64 makes a text message a binary one. What is no such message is empty.
func unbase64(text []byte) []byte {
	if len(text) == 0 || text[0] < '0' || text[0] > '9' {
		return nil
	}
	data, err := base64.StdEncoding.AppendDecode([]byte{text[0] - '0'}, text[1:])
	if err != nil {
		return nil
	}
	return data
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
	_, _ = (&channelWriter{c, channelError}).Write(text)
	farewell(c.conn, websocket.CloseNormalClosure, "")
	// Closing with unread bytes would reset the connection and lose the last messages; the
	// client closes when it has them.
	_ = c.conn.SetReadDeadline(time.Now().Add(closeTimeout))
	c.reading.Wait()
}

func (c *socket) cut() {
	_ = c.conn.Close()
	c.stdin.Close()
}

func (c *socket) close() {
	c.cut()
	c.reading.Wait()
}

// channelWriter is a writer whose writes are messages of one channel.
type channelWriter struct {
	c *socket
	n byte
}

// Write sends p as one message.
func (w *channelWriter) Write(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	w.c.mu.Lock()
	defer w.c.mu.Unlock()
	kind, message := websocket.BinaryMessage, append([]byte{w.n}, p...)
	if w.c.base64 {
		kind, message = websocket.TextMessage, base64.StdEncoding.AppendEncode([]byte{'0' + w.n}, p)
	}
	if err := w.c.conn.WriteMessage(kind, message); err != nil {
		return 0, err
	}
	return len(p), nil
}
