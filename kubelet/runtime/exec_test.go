package runtime

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/miniorch/miniorch/kubelet/container"
)

func TestExec(t *testing.T) {
	n := startNode(t)
	spec := n.spec("x", "main", "sleep", "1000")
	spec.Env = []string{"NAME=value"}
	id := n.run(spec)
	exec := func(t *testing.T, req container.ExecRequest) (code int, stdout, stderr string) {
		t.Helper()
		var out, err bytes.Buffer
		req.Stdout, req.Stderr = &out, &err
		code, failure := n.Exec(t.Context(), id, req)
		if failure != nil {
			t.Fatal(failure)
		}
		return code, out.String(), err.String()
	}
	t.Run("streams and exit code", func(t *testing.T) {
		code, out, err := exec(t, container.ExecRequest{Command: []string{"sh", "-c", "echo $NAME; echo bad >&2; exit 5"}})
		if code != 5 || out != "value\n" || err != "bad\n" {
			t.Errorf("%d %q %q", code, out, err)
		}
	})
	t.Run("stdin ends", func(t *testing.T) {
		input := strings.Repeat("0123456789abcdef", 64<<10)
		code, out, _ := exec(t, container.ExecRequest{Command: []string{"cat"}, Stdin: strings.NewReader(input)})
		if code != 0 || out != input {
			t.Errorf("exit %d, %d of %d bytes came back", code, len(out), len(input))
		}
	})
	t.Run("terminal", func(t *testing.T) {
		sizes := make(chan container.Size, 1)
		sizes <- container.Size{Width: 123, Height: 45}
		code, out, _ := exec(t, container.ExecRequest{
			Command: []string{"sh", "-c", "while test \"$(stty size 2>/dev/null)\" != '45 123'; do sleep 0.01; done; stty size; exit 2"}, TTY: true, Resize: sizes,
		})
		if code != 2 || out != "45 123\r\n" {
			t.Errorf("%d %q", code, out)
		}
	})
	t.Run("terminal with stdin", func(t *testing.T) {
		in, type_ := io.Pipe()
		go func() { io.WriteString(type_, "echo hi $((1+1))\nexit 4\n") }()
		defer type_.Close()
		code, out, _ := exec(t, container.ExecRequest{Command: []string{"sh"}, TTY: true, Stdin: in})
		if code != 4 || !strings.Contains(out, "hi 2\r\n") {
			t.Errorf("%d %q", code, out)
		}
	})
	t.Run("missing command", func(t *testing.T) {
		_, err := n.Exec(t.Context(), id, container.ExecRequest{Command: []string{"/nope"}})
		if !errors.Is(err, container.ErrCommand) {
			t.Errorf("error %v", err)
		}
	})
	t.Run("cancelled", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		_, err := n.Exec(ctx, id, container.ExecRequest{Command: []string{"sleep", "777"}})
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v", err)
		}
		if strings.Contains(processes(t), "sleep\x00777") {
			t.Error("the process outlived its exec")
		}
	})
	t.Run("many at once", func(t *testing.T) {
		results := make(chan int, 10)
		for range cap(results) {
			go func() {
				code, _ := n.Exec(t.Context(), id, container.ExecRequest{Command: []string{"true"}})
				results <- code
			}()
		}
		for range cap(results) {
			if code := <-results; code != 0 {
				t.Errorf("exit %d", code)
			}
		}
	})
	if err := n.Stop(t.Context(), id, container.StopRequest{}); err != nil {
		t.Fatal(err)
	}
	if _, err := n.Exec(t.Context(), id, container.ExecRequest{Command: []string{"true"}}); !errors.Is(err, container.ErrNotRunning) {
		t.Errorf("exec in a stopped container: %v", err)
	}
}
