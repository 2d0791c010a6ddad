package runtime

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miniorch/miniorch/kubelet/container"
)

// typist is a client's end of an attached session.
type typist struct {
	t    *testing.T
	in   *io.PipeWriter
	done chan error

	mu  sync.Mutex
	out bytes.Buffer // guarded by mu
}

func (y *typist) Write(p []byte) (int, error) {
	y.mu.Lock()
	defer y.mu.Unlock()
	return y.out.Write(p)
}

func (y *typist) text() string {
	y.mu.Lock()
	defer y.mu.Unlock()
	return y.out.String()
}

func (y *typist) types(text string) {
	y.t.Helper()
	if _, err := io.WriteString(y.in, text); err != nil {
		y.t.Fatal(err)
	}
}

func (y *typist) sees(want string) {
	y.t.Helper()
	eventually(y.t, func() string {
		if got := y.text(); !strings.Contains(got, want) {
			return "the session shows " + got + ", want " + want
		}
		return ""
	})
}

// ends waits for the end of the session.
func (y *typist) ends() error {
	y.t.Helper()
	select {
	case err := <-y.done:
		return err
	case <-time.After(2 * time.Minute):
		y.t.Fatalf("the session does not end; it shows %.200q", y.text())
		return nil
	}
}

func attach(t *testing.T, r *Runtime, ctx context.Context, id string, resize <-chan container.Size) *typist {
	t.Helper()
	stdin, in := io.Pipe()
	y := &typist{t: t, in: in, done: make(chan error, 1)}
	go func() {
		err := r.Attach(ctx, id, container.AttachRequest{Stdin: stdin, Stdout: y, Stderr: y, Resize: resize})
		stdin.Close()
		y.done <- err
	}()
	return y
}

// TestAttach: sessions with a container's own process, also across a restart of the agent.
func TestAttach(t *testing.T) {
	n := startNode(t)
	ctx, cancel := context.WithCancel(t.Context())
	events, err := n.Events(ctx) // it is the agent that tidies up after containers, which ends their output
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		cancel()
		for range events {
		}
	}()
	go func() {
		for range events {
		}
	}()
	t.Run("stdin without a terminal", func(t *testing.T) {
		spec := n.spec("a", "main", "sh", "-c", "while read -r line; do echo got $line; echo bad $line >&2; done; echo the end")
		spec.Stdin = true
		id := n.run(spec)
		first := attach(t, n.Runtime, t.Context(), id, nil)
		first.types("one\n")
		first.sees("got one")
		first.sees("bad one")
		// Another agent, as after a restart, and the old session at the same time.
		restarted := n.newRuntime(t)
		defer restarted.Close()
		second := attach(t, restarted, t.Context(), id, nil)
		second.types("two\n")
		second.sees("got two")
		first.sees("got two")
		if strings.Contains(second.text(), "one") {
			t.Errorf("a later session sees earlier output: %q", second.text())
		}
		first.in.Close() // its input ends; the container's does not
		second.types("three\n")
		second.sees("got three")
		stop(t, n, id)
		if err := errors.Join(first.ends(), second.ends()); err != nil {
			t.Errorf("the container's end ended the sessions with %v", err)
		}
		if log, err := os.ReadFile(spec.LogPath); err != nil || !strings.Contains(string(log), "stdout F got three") {
			t.Errorf("the log: %s, %v", log, err)
		}
	})
	t.Run("stdin once", func(t *testing.T) {
		spec := n.spec("b", "main", "sh", "-c", "echo early; printf part; cat; echo over")
		spec.Stdin, spec.StdinOnce = true, true
		id := n.run(spec)
		eventually(t, func() string {
			if log, _ := os.ReadFile(spec.LogPath); !strings.Contains(string(log), "early") {
				return "no output yet"
			}
			return ""
		})
		session := attach(t, n.Runtime, t.Context(), id, nil)
		big := strings.Repeat("0123456789abcde\n", 1<<15)
		session.types(big)
		session.in.Close()
		if err := session.ends(); err != nil {
			t.Error(err)
		}
		if got := session.text(); got != "part"+big+"over\n" {
			t.Errorf("%d bytes came back, want %d", len(got), len(big)+9)
		}
		eventually(t, func() string {
			if c := n.get(id); c.State != container.StateExited || c.ExitCode != 0 {
				return "the container is " + c.String()
			}
			return ""
		})
		if err := n.Attach(t.Context(), id, container.AttachRequest{Stdout: io.Discard}); !errors.Is(err, container.ErrNotRunning) {
			t.Errorf("attaching to an exited container: %v", err)
		}
	})
	t.Run("the client vanishes", func(t *testing.T) {
		spec := n.spec("c", "main", "cat")
		spec.Stdin, spec.StdinOnce = true, true
		id := n.run(spec)
		ctx, vanish := context.WithCancel(t.Context())
		session := attach(t, n.Runtime, ctx, id, nil)
		session.types("hello\n")
		session.sees("hello")
		vanish()
		if err := session.ends(); !errors.Is(err, context.Canceled) {
			t.Errorf("error %v", err)
		}
		eventually(t, func() string {
			if c := n.get(id); c.State != container.StateExited {
				return "stdin is still open"
			}
			return ""
		})
	})
	t.Run("terminal", func(t *testing.T) {
		spec := n.spec("d", "main", "sh")
		spec.Stdin, spec.TTY, spec.StdinOnce = true, true, true
		id := n.run(spec)
		sizes := make(chan container.Size, 1)
		session := attach(t, n.Runtime, t.Context(), id, sizes)
		session.sees("# ") // the prompt that was there before
		sizes <- container.Size{Width: 123, Height: 45}
		session.types("while test \"$(stty size)\" != '45 123'; do sleep 0.01; done; tty; stty size\n")
		session.sees("\r\n45 123\r\n")
		session.sees("/dev/pts/0")
		session.in.Close() // a terminal stays
		again := attach(t, n.Runtime, t.Context(), id, nil)
		again.types("echo $((40+2))\n")
		again.sees("42\r\n")
		again.types("exit 3\n")
		if err := errors.Join(session.ends(), again.ends()); err != nil {
			t.Error(err)
		}
		eventually(t, func() string {
			if c := n.get(id); c.ExitCode != 3 {
				return c.String()
			}
			return ""
		})
	})
	t.Run("a container without stdin", func(t *testing.T) {
		id := n.run(n.spec("e", "main", "sh", "-c", "while :; do echo tick; sleep 0.05; done"))
		if err := n.Attach(t.Context(), id, container.AttachRequest{Stdin: strings.NewReader("x")}); !errors.Is(err, container.ErrNoStdin) {
			t.Errorf("stdin: %v", err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		y := &typist{t: t, done: make(chan error, 1)}
		go func() { y.done <- n.Attach(ctx, id, container.AttachRequest{Stdout: y}) }()
		y.sees("tick\ntick\n")
		cancel()
		y.ends()
	})
	t.Run("only so many", func(t *testing.T) {
		spec := n.spec("f", "main", "cat")
		spec.Stdin = true
		id := n.run(spec)
		ctx, cancel := context.WithCancel(t.Context())
		var sessions []*typist
		for range 16 {
			y := attach(t, n.Runtime, ctx, id, nil)
			y.types("x\n")
			y.sees("x")
			sessions = append(sessions, y)
		}
		if err := attach(t, n.Runtime, ctx, id, nil).ends(); err == nil || !strings.Contains(err.Error(), "too many") {
			t.Errorf("the 17th session: %v", err)
		}
		cancel()
		for _, s := range sessions {
			s.ends()
		}
	})
}

func stop(t *testing.T, n *node, id string) {
	t.Helper()
	if err := n.Stop(t.Context(), id, container.StopRequest{}); err != nil {
		t.Fatal(err)
	}
}
