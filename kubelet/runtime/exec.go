package runtime

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	tasks "github.com/containerd/containerd/api/services/tasks/v1"
	tasktypes "github.com/containerd/containerd/api/types/task"
	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/pkg/cio"
	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/containerd/typeurl/v2"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/miniorch/miniorch/kubelet/container"
)

// Exec runs a further process in a running container, as the container's user and with
// its environment, and returns the process's exit code. When ctx ends the process is
// killed.
func (r *Runtime) Exec(ctx context.Context, id string, req container.ExecRequest) (int, error) {
	ctx = r.scope(ctx)
	fail := func(err error) (int, error) {
		return -1, fmt.Errorf("executing %q in container %s: %w", req.Command, id, err)
	}
	if len(req.Command) == 0 {
		return fail(fmt.Errorf("%w: it is empty", container.ErrCommand))
	}
	info, err := r.store().Get(ctx, id)
	if err != nil {
		return fail(translate(err))
	}
	process, err := execProcess(info, req)
	if err != nil {
		return fail(err)
	}
	x := execution{runtime: r, container: id, id: r.cfg.NewID()}
	if req.Stdin != nil {
		x.stdin = &endingReader{from: req.Stdin, ended: make(chan struct{})}
	}
	if err := x.open(req); err != nil {
		return fail(err)
	}
	defer x.close()
	if err := x.start(ctx, process); err != nil {
		return fail(err)
	}
	code, err := x.finish(ctx, req)
	if err != nil {
		return fail(err)
	}
	return code, nil
}

// execProcess derives the process from the container's own.
func execProcess(info containers.Container, req container.ExecRequest) (*specs.Process, error) {
	var spec oci.Spec
	if err := typeurl.UnmarshalTo(info.Spec, &spec); err != nil {
		return nil, fmt.Errorf("decoding spec: %w", err)
	}
	p := spec.Process
	p.Args = req.Command
	p.CommandLine = ""
	p.Terminal = req.TTY
	if req.TTY {
		p.Env = mergeEnv(p.Env, container.ContainerSpec{TTY: true})
	}
	return p, nil
}

// execution is one exec under way.
type execution struct {
	runtime   *Runtime
	container string
	id        string
	stdin     *endingReader // nil if there is none
	streams   cio.IO
	created   bool
}

// endingReader tells when what it reads has come to its end.
type endingReader struct {
	from  io.Reader
	ended chan struct{}
	once  sync.Once
}

// Read implements io.Reader.
func (e *endingReader) Read(p []byte) (int, error) {
	n, err := e.from.Read(p)
	if err != nil {
		e.once.Do(func() { close(e.ended) })
	}
	return n, err
}

// open makes pipes to the process and copies between them and the request's streams.
func (x *execution) open(req container.ExecRequest) error {
	dir := filepath.Join(x.runtime.cfg.StateDir, execDir)
	if err := os.MkdirAll(dir, 0o711); err != nil {
		return fmt.Errorf("making state directory: %w", err)
	}
	stdout, stderr := req.Stdout, req.Stderr
	if stdout == nil {
		stdout = io.Discard
	}
	if stderr == nil {
		stderr = io.Discard
	}
	var stdin io.Reader
	if x.stdin != nil {
		stdin = x.stdin
	}
	opts := []cio.Opt{cio.WithStreams(stdin, stdout, stderr), cio.WithFIFODir(dir)}
	if req.TTY {
		opts = append(opts, cio.WithTerminal)
	}
	streams, err := cio.NewCreator(opts...)(x.id)
	if err != nil {
		return fmt.Errorf("opening streams: %w", err)
	}
	x.streams = streams
	return nil
}

// execDir is where, below the state directory, the pipes of execs are.
const execDir = "exec"

func (x *execution) start(ctx context.Context, process *specs.Process) error {
	encoded, err := typeurl.MarshalAny(process)
	if err != nil {
		return fmt.Errorf("encoding process: %w", err)
	}
	config := x.streams.Config()
	service := x.runtime.client.TaskService()
	_, err = service.Exec(ctx, &tasks.ExecProcessRequest{
		ContainerID: x.container, ExecID: x.id, Terminal: config.Terminal,
		Stdin: config.Stdin, Stdout: config.Stdout, Stderr: config.Stderr,
		Spec: typeurl.MarshalProto(encoded),
	})
	if err != nil {
		return x.explain(ctx, err)
	}
	x.created = true
	if _, err = service.Start(ctx, &tasks.StartRequest{ContainerID: x.container, ExecID: x.id}); err != nil {
		return x.explain(ctx, err)
	}
	return nil
}

// explain tells a container that does not run from a command that is missing.
func (x *execution) explain(ctx context.Context, err error) error {
	err = translate(err)
	task, lookup := x.runtime.task(ctx, x.container)
	if isNotFound(lookup) || lookup == nil && task.Status != tasktypes.Status_RUNNING {
		return fmt.Errorf("%w: %w", container.ErrNotRunning, err)
	}
	return startError(err)
}

// finish serves the process until it has ended and its output is delivered.
func (x *execution) finish(ctx context.Context, req container.ExecRequest) (int, error) {
	serving, stop := context.WithCancel(ctx)
	var served sync.WaitGroup
	served.Go(func() { x.resize(serving, req.Resize) })
	served.Go(func() { x.closeStdin(serving) })
	defer func() { stop(); served.Wait() }()

	// Without its deadline: containerd would report it in words of its own, and earlier
	// than ctx does.
	waiting, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, cancel)()
	service := x.runtime.client.TaskService()
	response, err := service.Wait(waiting, &tasks.WaitRequest{ContainerID: x.container, ExecID: x.id})
	if err != nil {
		if ctx.Err() != nil {
			return -1, ctx.Err()
		}
		return -1, fmt.Errorf("waiting: %w", translate(err))
	}
	x.drain(ctx)
	return int(response.ExitStatus), nil
}

// drain waits for the copies of the output. A process that was left behind in the
// background may hold the output open for ever, and is not waited for for long.
func (x *execution) drain(ctx context.Context) {
	const patience = 2 * time.Second
	done := make(chan struct{})
	go func() { x.streams.Wait(); close(done) }()
	select {
	case <-done:
	case <-ctx.Done():
		x.streams.Cancel()
		<-done
	case <-x.runtime.cfg.Clock.After(patience):
		x.streams.Cancel()
		<-done
	}
}

// resize passes the terminal's sizes on.
func (x *execution) resize(ctx context.Context, sizes <-chan container.Size) {
	for {
		select {
		case size, ok := <-sizes:
			if !ok {
				return
			}
			_, err := x.runtime.client.TaskService().ResizePty(ctx, &tasks.ResizePtyRequest{
				ContainerID: x.container, ExecID: x.id, Width: uint32(size.Width), Height: uint32(size.Height),
			})
			if err != nil && ctx.Err() == nil {
				x.runtime.cfg.Logger.Debug("cannot resize a terminal", "container", x.container, "error", err)
			}
		case <-ctx.Done():
			return
		}
	}
}

// closeStdin passes the end of the input on: the shim holds the pipe open as well, lest a
// restarted client end it.
func (x *execution) closeStdin(ctx context.Context) {
	if x.stdin == nil {
		return
	}
	select {
	case <-x.stdin.ended:
		_, err := x.runtime.client.TaskService().CloseIO(ctx, &tasks.CloseIORequest{ContainerID: x.container, ExecID: x.id, Stdin: true})
		if err != nil && ctx.Err() == nil && !isNotFound(err) {
			x.runtime.cfg.Logger.Debug("cannot close the input of an exec", "container", x.container, "error", err)
		}
	case <-ctx.Done():
	}
}

// close removes the process, killing it if it still runs, and the pipes.
func (x *execution) close() {
	const patience = 5 * time.Second
	ctx, cancel := context.WithTimeout(x.runtime.scope(context.Background()), patience)
	defer cancel()
	service := x.runtime.client.TaskService()
	for range deleteAttempts {
		if !x.created {
			break
		}
		_, err := service.DeleteProcess(ctx, &tasks.DeleteProcessRequest{ContainerID: x.container, ExecID: x.id})
		if err == nil || isNotFound(err) {
			break
		}
		// It still runs: nobody waits for it any more.
		service.Kill(ctx, &tasks.KillRequest{ContainerID: x.container, ExecID: x.id, Signal: uint32(syscall.SIGKILL)})
		service.Wait(ctx, &tasks.WaitRequest{ContainerID: x.container, ExecID: x.id})
	}
	x.streams.Cancel()
	x.streams.Close()
}
