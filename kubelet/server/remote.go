package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/gorilla/mux"
	"github.com/gorilla/websocket"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/miniorch/miniorch/kubelet/container"
	"github.com/miniorch/miniorch/kubelet/server/spdy"
)

const (
	// closeTimeout is how long a client is given to take the last message,
	closeTimeout = 5 * time.Second
	// stopTimeout if the server stops: a SPDY client that is told nothing believes that all
	// went well.
	stopTimeout = 500 * time.Millisecond
)

// streams says which a client wants to join.
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
	if s.tty {
		s.stderr = false // a terminal has one output
	}
	return s, nil
}

// stdio is a client's end of the streams. What it did not ask for is nil.
type stdio struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	resize         <-chan container.Size
}

// session is one client's connection, in whatever protocol.
type session interface {
	stdio() stdio
	// finish tells how it ended and gives the client time to go in peace.
	finish(status metav1.Status)
	// cut cuts the connection, whoever uses it.
	cut()
	// close cuts the connection and waits until nothing of it is left.
	close()
}

// act does what a client wants with a container's streams, and returns an exit code.
type act func(ctx context.Context, s stdio) (code int, err error)

func (s *Server) exec(w http.ResponseWriter, r *http.Request) {
	command := r.URL.Query()["command"]
	want, err := parseStreams(r)
	if err == nil && len(command) == 0 {
		err = errors.New("you must specify at least 1 command")
	}
	if err != nil {
		fail(w, apierrors.NewBadRequest(err.Error()))
		return
	}
	id, err := s.containerOf(r)
	if err != nil {
		fail(w, err)
		return
	}
	s.serve(w, r, want, "error executing command in container", func(ctx context.Context, c stdio) (int, error) {
		return s.backend.Exec(ctx, id, container.ExecRequest{
			Command: command, Stdin: c.stdin, Stdout: c.stdout, Stderr: c.stderr, TTY: want.tty, Resize: c.resize,
		})
	})
}

func (s *Server) attach(w http.ResponseWriter, r *http.Request) {
	want, err := parseStreams(r)
	if err != nil {
		fail(w, apierrors.NewBadRequest(err.Error()))
		return
	}
	id, err := s.containerOf(r)
	if err != nil {
		fail(w, err)
		return
	}
	s.serve(w, r, want, "error attaching to container", func(ctx context.Context, c stdio) (int, error) {
		return 0, s.backend.Attach(ctx, id, container.AttachRequest{Stdin: c.stdin, Stdout: c.stdout, Stderr: c.stderr, Resize: c.resize})
	})
}

func (s *Server) containerOf(r *http.Request) (id string, err error) {
	v := mux.Vars(r)
	return s.backend.ContainerID(v["namespace"], v["pod"], v["container"])
}

// serve upgrades the connection and does what the client wants, until that has ended or the
// client is gone.
func (s *Server) serve(w http.ResponseWriter, r *http.Request, want streams, failed string, do act) {
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	var client session
	switch {
	case websocket.IsWebSocketUpgrade(r):
		client = openSocket(ctx, cancel, w, r, want)
	case spdy.IsUpgrade(r):
		client = openSPDY(ctx, cancel, w, r, want)
	default:
		fail(w, apierrors.NewBadRequest("this needs an upgrade to a WebSocket or to SPDY/3.1"))
	}
	if client == nil {
		return // it has its answer
	}
	defer client.close()
	finished := make(chan struct{})
	defer close(finished)
	defer context.AfterFunc(r.Context(), func() {
		select {
		case <-finished:
		case <-time.After(stopTimeout):
			client.cut() // also wakes what waits for the client to read
		}
	})()
	code, err := do(ctx, client.stdio())
	client.finish(outcome(code, err, failed))
}

// outcome is what a client is told at the end.
func outcome(code int, err error, failed string) metav1.Status {
	switch {
	case err != nil:
		return metav1.Status{Status: metav1.StatusFailure, Reason: metav1.StatusReasonInternalError,
			Code: http.StatusInternalServerError, Message: failed + ": " + err.Error()}
	case code != 0:
		return metav1.Status{
			Status: metav1.StatusFailure, Reason: "NonZeroExitCode",
			Message: fmt.Sprintf("command terminated with non-zero exit code: exit status %d", code),
			Details: &metav1.StatusDetails{Causes: []metav1.StatusCause{{Type: "ExitCode", Message: strconv.Itoa(code)}}},
		}
	}
	return metav1.Status{Status: metav1.StatusSuccess}
}
