package handlers

import (
	"context"
	"encoding/base64"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/gorilla/websocket"

	"github.com/miniorch/miniorch/apiserver/rest"
)

const (
	webSocketWriteTimeout = 10 * time.Second
	// bearerProtocol begins the "protocol" in which a browser sends its token.
	bearerProtocol = "base64url.bearer.authorization.k8s.io."
)

func isWebSocket(r *http.Request) bool {
	return r.Method == http.MethodGet && websocket.IsWebSocketUpgrade(r)
}

// watchWebSocket serves a watch as one message per event. Browsers say where they come
// from; only this server's own pages may.
func (h *Handler) watchWebSocket(ctx context.Context, w http.ResponseWriter, r *http.Request, events *rest.Watch, fr *frames) error {
	upgrader := websocket.Upgrader{HandshakeTimeout: webSocketWriteTimeout}
	for _, protocol := range websocket.Subprotocols(r) {
		if !strings.HasPrefix(protocol, bearerProtocol) {
			upgrader.Subprotocols = append(upgrader.Subprotocols, protocol)
		}
	}
	conn, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return nil // answered already
	}
	defer conn.Close()
	ctx, cancel := context.WithCancel(ctx)
	gone := make(chan struct{})
	go func() { // reading notices that the client is gone; it has nothing to say
		defer close(gone)
		defer cancel()
		for {
			if _, _, err := conn.NextReader(); err != nil {
				return
			}
		}
	}()
	defer func() { cancel(); _ = conn.Close(); <-gone }()
	kind := websocket.TextMessage
	if fr.f.media == mediaProtobuf {
		kind = websocket.BinaryMessage
	}
	for {
		e, err := events.Next(ctx)
		if err != nil {
			if farewell := watchEnd(err); farewell != nil {
				_ = conn.WriteMessage(kind, fr.message(fr.errorFrame(farewell)))
			}
			_ = conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseNormalClosure, ""), time.Now().Add(webSocketWriteTimeout))
			return nil
		}
		data, err := fr.frame(e)
		if err != nil {
			return nil
		}
		_ = conn.SetWriteDeadline(time.Now().Add(webSocketWriteTimeout))
		if conn.WriteMessage(kind, fr.message(data)) != nil {
			return nil
		}
	}
}

// message takes a frame's own delimiter off: messages are delimited already.
func (fr *frames) message(frame []byte) []byte {
	if fr.f.media == mediaProtobuf {
		return frame[4:]
	}
	return frame
}

// logProtocols are the subprotocols of a log: its bytes, or base64 of them for those who can
// only take text.
var logProtocols = []string{"binary.k8s.io", "base64.binary.k8s.io"}

// logWebSocket sends a log as messages. It calls stop, which must end from, when the client is
// gone.
func (h *Handler) logWebSocket(w http.ResponseWriter, r *http.Request, from io.Reader, stop func()) error {
	upgrader := websocket.Upgrader{HandshakeTimeout: webSocketWriteTimeout, Subprotocols: logProtocols}
	conn, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return nil // answered already
	}
	gone := make(chan struct{})
	go func() { // reading notices that the client is gone; it has nothing to say
		defer close(gone)
		defer stop()
		for {
			if _, _, err := conn.NextReader(); err != nil {
				return
			}
		}
	}()
	defer func() { _ = conn.Close(); <-gone }()
	text := conn.Subprotocol() == "base64.binary.k8s.io"
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			kind, message := websocket.BinaryMessage, buf[:n]
			if text {
				kind, message = websocket.TextMessage, base64.StdEncoding.AppendEncode(nil, message)
			}
			_ = conn.SetWriteDeadline(time.Now().Add(h.cfg.RequestTimeout))
			if conn.WriteMessage(kind, message) != nil {
				return nil
			}
		}
		if err != nil {
			_ = conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseNormalClosure, ""), time.Now().Add(webSocketWriteTimeout))
			return nil
		}
	}
}
