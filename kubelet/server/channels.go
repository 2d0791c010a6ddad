package server

import (
	"encoding/base64"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

// maxMessage is the longest message we take.
const maxMessage = 1 << 20

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

// channels are what the messages of a WebSocket carry: the first byte of each says which one it
// belongs to. Only one goroutine may receive; any may send.
type channels struct {
	conn   *websocket.Conn
	base64 bool

	mu sync.Mutex // one writer at a time
}

func newChannels(conn *websocket.Conn) *channels {
	return &channels{conn: conn, base64: strings.Contains(conn.Subprotocol(), "base64.")}
}

// receive returns the next message that is one.
func (c *channels) receive() (channel byte, data []byte, err error) {
	for {
		_, message, err := c.conn.ReadMessage()
		if err != nil {
			return 0, nil, err
		}
		if c.base64 {
			message = unbase64(message)
		}
		if len(message) > 0 {
			return message[0], message[1:], nil
		}
	}
}

// send sends p as one message.
func (c *channels) send(channel byte, p []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.base64 {
		return c.conn.WriteMessage(websocket.TextMessage, base64.StdEncoding.AppendEncode([]byte{'0' + channel}, p))
	}
	return c.conn.WriteMessage(websocket.BinaryMessage, append([]byte{channel}, p...))
}

// leave ends the connection in order, and waits for its reader. Closing with unread bytes would reset
// the connection and lose the last messages: the client closes when it has them.
func (c *channels) leave(reading *sync.WaitGroup) {
	farewell(c.conn, websocket.CloseNormalClosure, "")
	_ = c.conn.SetReadDeadline(time.Now().Add(closeTimeout))
	reading.Wait()
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

// channelWriter is a writer whose writes are messages of one channel.
type channelWriter struct {
	c *channels
	n byte
}

// Write sends p as one message.
func (w channelWriter) Write(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if err := w.c.send(w.n, p); err != nil {
		return 0, err
	}
	return len(p), nil
}
