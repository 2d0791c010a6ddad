package server

import (
	"encoding/binary"
	"net/http"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// TestForwardChannels talks to two ports over one WebSocket, one of which nobody listens at.
func TestForwardChannels(t *testing.T) {
	address, client := serve(t)
	for _, protocol := range forwardProtocols {
		t.Run(protocol, func(t *testing.T) {
			dialer := websocket.Dialer{TLSClientConfig: client("system:apiserver", "x"), Subprotocols: []string{protocol}}
			conn, _, err := dialer.Dial("wss://"+address+"/portForward/ns/p?ports=81&ports=82", nil)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			_ = conn.SetReadDeadline(time.Now().Add(2 * time.Minute))
			c := newChannels(conn)
			for n, want := range []uint16{81, 81, 82, 82} {
				channel, data, err := c.receive()
				if err != nil || int(channel) != n || len(data) != 2 || binary.LittleEndian.Uint16(data) != want {
					t.Fatalf("message %d: channel %d, %v, %v; want port %d", n, channel, data, err, want)
				}
			}
			if channel, data, err := c.receive(); err != nil || channel != 3 || string(data) != "error forwarding port 82: connection refused" {
				t.Errorf("of the closed port: channel %d, %q, %v", channel, data, err)
			}
			if err := c.send(2, []byte("nobody reads this")); err != nil {
				t.Fatal(err)
			}
			for _, line := range []string{"one", "two"} {
				if err := c.send(0, []byte(line+"\n")); err != nil {
					t.Fatal(err)
				}
				got := ""
				for len(got) < len(line)+1 {
					channel, data, err := c.receive()
					if err != nil || channel != 0 {
						t.Fatalf("after %q: channel %d, %q, %v", line, channel, data, err)
					}
					got += string(data)
				}
				if want := map[string]string{"one": "ONE\n", "two": "TWO\n"}[line]; got != want {
					t.Errorf("%q was answered by %q", line, got)
				}
			}
			if err := c.send(0, []byte("bye\n")); err != nil {
				t.Fatal(err)
			}
			if _, _, err := c.receive(); !websocket.IsCloseError(err, websocket.CloseNormalClosure) {
				t.Errorf("when all ports are done: %v", err)
			}
		})
	}
}

func TestForwardChannelsRefuses(t *testing.T) {
	address, client := serve(t)
	dialer := websocket.Dialer{TLSClientConfig: client("system:apiserver", "x"), Subprotocols: forwardProtocols}
	for _, query := range []string{"", "?ports=", "?ports=0", "?ports=65536", "?ports=80,x", "?ports=1,2,3&ports=4,5,6"} {
		_, response, err := dialer.Dial("wss://"+address+"/portForward/ns/p"+query, nil)
		if err == nil || response == nil || response.StatusCode != http.StatusBadRequest {
			t.Errorf("%q: %v, %v; want 400", query, response, err)
		}
	}
}
