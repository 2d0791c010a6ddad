package server

import (
	"context"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"

	"github.com/gorilla/mux"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/miniorch/miniorch/kubelet/server/spdy"
)

// dialProtocol is what the connection of a dial request is upgraded to: bytes, both ways.
const dialProtocol = "tcp"

// dial connects the API server with a port of a pod, so that it reaches pods wherever it
// reaches their nodes, and nothing else at whatever address a pod claims to have.
func (s *Server) dial(w http.ResponseWriter, r *http.Request) {
	v := mux.Vars(r)
	port, err := strconv.ParseUint(v["port"], 10, 16)
	if err != nil || port == 0 || !strings.EqualFold(r.Header.Get("Upgrade"), dialProtocol) {
		fail(w, apierrors.NewBadRequest("dialling needs a port, and an upgrade to "+dialProtocol))
		return
	}
	conn, err := s.backend.DialPod(r.Context(), v["namespace"], v["pod"], uint16(port), false)
	if err != nil {
		fail(w, err)
		return
	}
	defer conn.Close()
	client, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		fail(w, apierrors.NewBadRequest("this connection cannot be upgraded: use HTTP/1.1"))
		return
	}
	defer client.Close()
	defer context.AfterFunc(r.Context(), func() { conn.Close(); client.Close() })()
	if _, err := io.WriteString(client, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: "+dialProtocol+"\r\n\r\n"); err != nil {
		return
	}
	join(conn, &halves{client, spdy.Remaining(client, buffered.Reader)}, func() error {
		half, ok := client.(interface{ CloseWrite() error })
		if !ok {
			return client.Close()
		}
		return half.CloseWrite()
	})
}

// halves reads from one and writes to the other.
type halves struct {
	net.Conn
	from io.Reader
}

// Read implements io.Reader.
func (h *halves) Read(p []byte) (int, error) { return h.from.Read(p) }
