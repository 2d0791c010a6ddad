package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/gorilla/mux"
	"github.com/gorilla/websocket"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/miniorch/miniorch/kubelet/container"
)

// The channels of a remote command: the first byte of every message.
const (
	channelStdin  = 0
	channelStdout = 1
	channelStderr = 2
	channelError  = 3 // one Status at the end
	channelResize = 4
	channelClose  = 255 // v5: the next byte names the channel that ends
)

// The subprotocols, best first. v5 adds the end of stdin.
var subprotocols = []string{"v5.channel.k8s.io", "v4.channel.k8s.io"}

// closeTimeout is how long a client is given to take the last message.
const closeTimeout = 5 * time.Second

func (s *Server) exec(w http.ResponseWriter, r *http.Request) {
	v := mux.Vars(r)
	req := container.ExecRequest{Command: r.URL.Query()["command"]}
	streams, err := parseStreams(r)
	if err == nil && len(req.Command) == 0 {
		err = errors.New("you must specify at least 1 command")
	}
	if err != nil {
		fail(w, apierrors.NewBadRequest(err.Error()))
		return
	}
	id, err := s.backend.ContainerID(v["namespace"], v["pod"], v["container"])
	if err != nil {
		fail(w, err)
		return
	}
	upgrader := websocket.Upgrader{
		Subprotocols: subprotocols, ReadBufferSize: 32 << 10, WriteBufferSize: 32 << 10,
		CheckOrigin: func(*http.Request) bool { return true }, // no browser has a certificate of ours
	}
	if !websocket.IsWebSocketUpgrade(r) {
		fail(w, apierrors.NewBadRequest("exec needs a WebSocket"))
		return
	}
	conn, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return // the upgrader has answered
	}
	defer conn.Close()
	c := &command{conn: conn}
	c.run(r.Context(), req, streams, func(ctx context.Context, req container.ExecRequest) (int, error) {
		return s.backend.Exec(ctx, id, req)
	})
}

type streams struct{ stdin, stdout, stderr, tty bool }

func parseStreams(r *http.Request) (s streams, err error) {
	q := r.URL.Query()
	for name, to := range map[string]*bool{"stdin": &s.stdin, "stdout": &s.stdout, "stderr": &s.stderr, "tty": &s.tty} {
		if *to, err = flag(q, name); err != nil {
			return s, err
		}
	}
	if !s.stdin && !s.stdout && !s.stderr {
		return s, errors.New("you must specify at least one of stdin, stdout, stderr")
	}
	return s, nil
}

// command is one remote command over one connection.
type command struct {
	conn *websocket.Conn
	mu   sync.Mutex // one writer at a time
}

// run connects the streams, runs the command, and sends how it ended.
func (c *command) run(ctx context.Context, req container.ExecRequest, s streams, exec func(context.Context, container.ExecRequest) (int, error)) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if c.conn.Subprotocol() == "" {
		c.finish(errors.New("none of the offered WebSocket subprotocols is known"), 0)
		return
	}
	stdin, feed := io.Pipe()
	resize := make(chan container.Size, 1)
	if s.stdin {
		req.Stdin = stdin
	} else {
		stdin.Close()
	}
	if s.stdout {
		req.Stdout = c.channel(channelStdout)
	}
	if s.stderr && !s.tty {
		req.Stderr = c.channel(channelStderr)
	}
	if req.TTY = s.tty; s.tty {
		req.Resize = resize
	}
	var reading sync.WaitGroup
	reading.Go(func() {
		defer cancel() // the client is gone: so is the reason to run
		c.read(ctx, feed, resize)
	})
	code, err := exec(ctx, req)
	stdin.Close() // unblocks a reader that has more than the command wanted
	c.finish(err, code)
	// Closing with unread bytes would reset the connection and lose the last messages; the
	// client closes when it has them.
	_ = c.conn.SetReadDeadline(time.Now().Add(closeTimeout))
	reading.Wait()
}

// read takes the client's messages until the connection ends.
func (c *command) read(ctx context.Context, stdin *io.PipeWriter, resize chan container.Size) {
	defer stdin.Close()
	for {
		_, message, err := c.conn.ReadMessage()
		if err != nil {
			return
		}
		if len(message) == 0 {
			continue
		}
		switch message[0] {
		case channelStdin:
			_, _ = stdin.Write(message[1:]) // a command that reads no more is no error
		case channelClose:
			if len(message) > 1 && message[1] == channelStdin {
				stdin.Close()
			}
		case channelResize:
			var size container.Size
			if json.Unmarshal(message[1:], &size) != nil {
				continue
			}
			select {
			case <-resize: // only the newest size matters
			default:
			}
			select {
			case resize <- size:
			case <-ctx.Done():
			}
		}
	}
}

// finish sends the Status and closes the connection in order.
func (c *command) finish(err error, code int) {
	status := metav1.Status{Status: metav1.StatusSuccess}
	switch {
	case err != nil:
		status = metav1.Status{Status: metav1.StatusFailure, Reason: metav1.StatusReasonInternalError,
			Code: http.StatusInternalServerError, Message: "error executing command in container: " + err.Error()}
	case code != 0:
		status = metav1.Status{
			Status: metav1.StatusFailure, Reason: "NonZeroExitCode",
			Message: fmt.Sprintf("command terminated with non-zero exit code: exit status %d", code),
			Details: &metav1.StatusDetails{Causes: []metav1.StatusCause{{Type: "ExitCode", Message: strconv.Itoa(code)}}},
		}
	}
	if text, err := json.Marshal(status); err == nil {
		_, _ = c.channel(channelError).Write(text)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	_ = c.conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseNormalClosure, ""), time.Now().Add(closeTimeout))
}

// channel returns a writer whose writes are messages of one channel.
func (c *command) channel(n byte) io.Writer { return &channelWriter{c, n} }

type channelWriter struct {
	c *command
	n byte
}

// Write sends p as one message.
func (w *channelWriter) Write(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	w.c.mu.Lock()
	defer w.c.mu.Unlock()
	m, err := w.c.conn.NextWriter(websocket.BinaryMessage)
	if err != nil {
		return 0, err
	}
	if _, err := m.Write([]byte{w.n}); err != nil {
		return 0, err
	}
	if _, err := m.Write(p); err != nil {
		return 0, err
	}
	return len(p), m.Close()
}
