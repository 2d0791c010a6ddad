package runtime

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"

	tasks "github.com/containerd/containerd/api/services/tasks/v1"

	"github.com/miniorch/miniorch/kubelet/container"
	"github.com/miniorch/miniorch/kubelet/logs/writer"
)

// Attach joins the streams of a running container's own process until its output ends or
// ctx does. Sessions are equal: all see the output from when they came, and all may type.
func (r *Runtime) Attach(ctx context.Context, id string, req container.AttachRequest) error {
	ctx = r.scope(ctx)
	fail := func(err error) error { return fmt.Errorf("attaching to container %s: %w", id, err) }
	info, err := r.store().Get(ctx, id)
	if err != nil {
		return fail(translate(err))
	}
	if req.Stdin != nil && info.Labels[labelStdin] == "" {
		return fail(container.ErrNoStdin)
	}
	// The log writer serves for some moments more after the container has exited.
	if c, err := r.inspect(ctx, info); err != nil {
		return fail(err)
	} else if c.State == container.StateExited {
		return fail(container.ErrNotRunning)
	}
	conn, err := dialStdio(r.stdioDir(id))
	if err != nil {
		return fail(r.explainNoSession(ctx, id, err))
	}
	defer conn.Close()
	var resizing sync.WaitGroup
	defer resizing.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	if _, err := conn.Write([]byte{writer.MessageAttach, wants(req)}); err != nil {
		return fail(r.explainNoSession(ctx, id, err))
	}
	if req.Stdin != nil {
		go sendInput(conn, req.Stdin) // ends with the connection, or with what it reads from
	}
	if info.Labels[labelTTY] != "" && req.Resize != nil {
		resizing.Go(func() { r.resizeTerminal(ctx, id, req.Resize) })
	}
	err = receiveOutput(conn, req)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		return fail(err)
	}
	return nil
}

// dialStdio connects to the log writer that has its socket in dir. See writer.listen for why
// not by the socket's path.
func dialStdio(dir string) (*net.UnixConn, error) {
	parent, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer parent.Close()
	path := filepath.Join("/proc/self/fd", fmt.Sprint(parent.Fd()), writer.SocketFile)
	return net.DialUnix("unixpacket", nil, &net.UnixAddr{Net: "unixpacket", Name: path})
}

// explainNoSession tells a container that has ended from one that was started without a
// socket.
func (r *Runtime) explainNoSession(ctx context.Context, id string, err error) error {
	c, lookup := r.Container(ctx, id)
	if lookup == nil && c.State == container.StateRunning {
		return fmt.Errorf("nobody serves its streams: %w", err)
	}
	return fmt.Errorf("%w: %w", container.ErrNotRunning, err)
}

func wants(req container.AttachRequest) (bits byte) {
	if req.Stdin != nil {
		bits |= writer.WantsStdin
	}
	if req.Stdout != nil {
		bits |= writer.WantsStdout
	}
	if req.Stderr != nil {
		bits |= writer.WantsStderr
	}
	return bits
}

// sendInput passes input on, and its end.
func sendInput(conn *net.UnixConn, from io.Reader) {
	buffer := make([]byte, writer.MaxMessage)
	buffer[0] = writer.MessageStdin
	for {
		n, err := from.Read(buffer[1:])
		if n > 0 {
			if _, err := conn.Write(buffer[:1+n]); err != nil {
				return
			}
		}
		if err != nil {
			_, _ = conn.Write([]byte{writer.MessageEnd}) // if it fails, the session's end says the same
			return
		}
	}
}

// receiveOutput copies output until the log writer has no more.
func receiveOutput(conn *net.UnixConn, req container.AttachRequest) error {
	buffer := make([]byte, writer.MaxMessage)
	for {
		n, err := conn.Read(buffer)
		if errors.Is(err, io.EOF) || err == nil && n == 0 {
			return nil
		}
		if err != nil {
			return err
		}
		to := io.Discard
		switch {
		case buffer[0] == writer.MessageRefused:
			return fmt.Errorf("refused: %s", buffer[1:n])
		case buffer[0] == writer.MessageStdout && req.Stdout != nil:
			to = req.Stdout
		case buffer[0] == writer.MessageStderr && req.Stderr != nil:
			to = req.Stderr
		}
		if _, err := to.Write(buffer[1:n]); err != nil {
			return err
		}
	}
}

// resizeTerminal passes the sizes of a session's terminal on to the container's.
func (r *Runtime) resizeTerminal(ctx context.Context, id string, sizes <-chan container.Size) {
	for {
		select {
		case size, ok := <-sizes:
			if !ok {
				return
			}
			_, err := r.client.TaskService().ResizePty(ctx, &tasks.ResizePtyRequest{
				ContainerID: id, Width: uint32(size.Width), Height: uint32(size.Height),
			})
			if err != nil && ctx.Err() == nil {
				r.cfg.Logger.Debug("cannot resize a terminal", "container", id, "error", err)
			}
		case <-ctx.Done():
			return
		}
	}
}
