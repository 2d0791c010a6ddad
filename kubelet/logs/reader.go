package logs

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/clock"

	"github.com/miniorch/miniorch/kubelet/logs/writer"
)

// Config tunes a Reader.
type Config struct {
	Clock clock.WithTicker
}

// Reader reads the logs of containers. All its followers share one inotify instance.
type Reader struct {
	clock   clock.WithTicker
	changes *changes
}

// NewReader returns a reader. Close it to release what followers shared.
func NewReader(cfg Config) *Reader {
	if cfg.Clock == nil {
		cfg.Clock = clock.RealClock{}
	}
	return &Reader{clock: cfg.Clock, changes: newChanges()}
}

// Close ends the sharing of change notices. Followers go on by looking now and then.
func (r *Reader) Close() error { return r.changes.close() }

// Read writes the log at path, its rotated files included, to w as opts ask: TailLines,
// SinceSeconds, SinceTime, Timestamps, LimitBytes, Stream and Follow. Previous is a matter
// of the path. With Follow it ends when exited is closed and all was written, or when ctx
// ends, which is no error. Without Follow, exited being closed says that the container has
// ended: what its writer still holds is waited for, so that nobody who knows of the end
// misses the last line.
func (r *Reader) Read(ctx context.Context, path string, opts *corev1.PodLogOptions, exited <-chan struct{}, w io.Writer) error {
	if opts == nil {
		opts = &corev1.PodLogOptions{}
	}
	sel, err := newSelection(opts, r.clock.Now())
	if err != nil {
		return fmt.Errorf("reading log: %w", err)
	}
	notice, forget := r.watch(path, opts.Follow)
	defer forget()
	if !opts.Follow && isClosed(exited) {
		r.awaitWriter(ctx, path)
	}
	file, offset, err := openAt(path, sel)
	if err != nil {
		return fmt.Errorf("reading log: %w", err)
	}
	out := &printer{selection: sel, to: w}
	f := follower{path: path, file: file, in: bufio.NewReaderSize(file, 64<<10), out: out}
	defer func() { f.file.Close() }()
	if _, err := file.Seek(offset, io.SeekStart); err != nil {
		return fmt.Errorf("reading log: %w", err)
	}
	err = f.run(ctx, r.clock, opts.Follow, exited, notice)
	if errors.Is(err, errLimit) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading log: %w", err)
	}
	return nil
}

// writerPatience bounds the wait for the writer of a container that has ended. It takes
// milliseconds, or more on a busy machine, unless a process that escaped the container holds its
// output open.
const writerPatience = 3 * time.Second

// awaitWriter waits until nobody writes the log any more.
func (r *Reader) awaitWriter(ctx context.Context, path string) {
	file, err := os.Open(path)
	if err != nil {
		return // whoever reads it next says why
	}
	defer file.Close()
	for end := r.clock.Now().Add(writerPatience); !writerGone(file) && r.clock.Now().Before(end); {
		select {
		case <-ctx.Done():
			return
		case <-r.clock.After(2 * time.Millisecond):
		}
	}
}

func (r *Reader) watch(path string, follow bool) (notice <-chan struct{}, forget func()) {
	if !follow {
		return nil, func() {}
	}
	return r.changes.watch(path)
}

// follower reads one log through its files.
type follower struct {
	path string
	file *os.File
	in   *bufio.Reader
	torn []byte // the beginning of an entry whose end is not written yet
	out  *printer
}

// lookAgain bounds how long a change may go unnoticed if notices do not work.
const lookAgain = 250 * time.Millisecond

func (f *follower) run(ctx context.Context, clk clock.WithTicker, follow bool, exited <-chan struct{}, notice <-chan struct{}) error {
	for {
		// Asked before reading: what was written before the end is read below.
		ended := !follow || isClosed(exited) && writerGone(f.file)
		if err := f.drain(ctx); err != nil {
			return err
		}
		if moved, err := f.next(ctx); err != nil {
			return err
		} else if moved {
			continue
		}
		if ended {
			return nil
		}
		wait := lookAgain
		if isClosed(exited) {
			wait = 5 * time.Millisecond // the writer is about to finish
		}
		select {
		case <-ctx.Done():
			return nil
		case <-notice:
		case <-whenOpen(exited):
		case <-clk.After(wait):
		}
	}
}

// whenOpen is exited while it is open: once closed it must not wake anybody again.
func whenOpen(exited <-chan struct{}) <-chan struct{} {
	if isClosed(exited) {
		return nil
	}
	return exited
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// drain reads the open file to its present end.
func (f *follower) drain(ctx context.Context) error {
	for {
		if ctx.Err() != nil {
			return nil
		}
		line, err := f.in.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			f.torn = append(f.torn, line...)
			if len(f.torn) > 1<<20 {
				return fmt.Errorf("%s is not a container log: it has a line of over a megabyte", f.path)
			}
			continue
		}
		if errors.Is(err, io.EOF) {
			f.torn = append(f.torn, line...)
			return nil
		}
		if err != nil {
			return err
		}
		if len(f.torn) > 0 {
			f.torn = append(f.torn, line...)
			line = f.torn
		}
		err = f.out.print(line)
		f.torn = f.torn[:0]
		if err != nil {
			return err
		}
	}
}

// next moves on to the file that came after the open one, if that was put aside.
func (f *follower) next(ctx context.Context) (moved bool, err error) {
	mine, err := f.file.Stat()
	if err != nil {
		return false, err
	}
	current, err := os.Stat(f.path)
	if err == nil && os.SameFile(mine, current) {
		return false, nil
	}
	// It was renamed. Nothing is written to it from now on, so one more look sees all.
	if err := f.drain(ctx); err != nil {
		return false, err
	}
	file, err := openSuccessor(f.path, mine)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil // between two renames, or deleted with its pod
	}
	if err != nil {
		return false, err
	}
	f.file.Close()
	f.file, f.torn = file, nil
	f.in.Reset(file)
	return true, nil
}

// openSuccessor opens the file that was begun when mine was put aside.
func openSuccessor(path string, mine os.FileInfo) (*os.File, error) {
	for {
		name := successor(path, mine)
		file, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		// Names move on with every rotation: look again who has this one.
		if name == successor(path, mine) {
			return file, nil
		}
		file.Close()
	}
}

// successor is the present name of the file that came after mine.
func successor(path string, mine os.FileInfo) string {
	aside := writer.Rotated(path)
	for i, name := range aside {
		if info, err := os.Stat(name); err == nil && os.SameFile(mine, info) && i+1 < len(aside) {
			return aside[i+1]
		}
	}
	return path
}

// printer renders the entries that are asked for.
type printer struct {
	selection
	to      io.Writer
	written int64
	inside  map[string]bool // streams in the middle of a line
	buffer  []byte
}

// errLimit ends a read whose LimitBytes are used up.
var errLimit = errors.New("limit reached")

// print writes one entry. Lines that are not entries are passed over: they can only be
// damage.
func (p *printer) print(line []byte) error {
	e, ok := parseEntry(line)
	if !ok || !p.wants(e) {
		return nil
	}
	p.buffer = p.buffer[:0]
	if p.timestamps && !p.inside[e.stream] {
		p.buffer = append(append(p.buffer, e.stamp...), ' ')
	}
	p.buffer = append(p.buffer, e.text...)
	if !e.partial {
		p.buffer = append(p.buffer, '\n')
	}
	if p.inside == nil {
		p.inside = map[string]bool{}
	}
	p.inside[e.stream] = e.partial
	if p.limited && p.written+int64(len(p.buffer)) >= p.limit {
		p.buffer = p.buffer[:p.limit-p.written]
		if _, err := p.to.Write(p.buffer); err != nil {
			return err
		}
		return errLimit
	}
	n, err := p.to.Write(p.buffer)
	p.written += int64(n)
	return err
}

// entry is one parsed line of a log. It points into the line.
type entry struct {
	stamp   []byte
	stream  string
	partial bool
	text    []byte
}

func parseEntry(line []byte) (entry, bool) {
	line = bytes.TrimSuffix(line, []byte("\n"))
	stamp, rest, ok := bytes.Cut(line, []byte(" "))
	stream, rest, ok2 := bytes.Cut(rest, []byte(" "))
	tag, text, ok3 := bytes.Cut(rest, []byte(" "))
	if !ok || !ok2 || !ok3 {
		return entry{}, false
	}
	e := entry{stamp: stamp, text: text}
	switch string(stream) {
	case "stdout":
		e.stream = "stdout"
	case "stderr":
		e.stream = "stderr"
	default:
		return entry{}, false
	}
	// Further tags may follow the first after colons.
	first, _, _ := bytes.Cut(tag, []byte(":"))
	switch string(first) {
	case "P":
		e.partial = true
	case "F":
	default:
		return entry{}, false
	}
	return e, true
}

func (e entry) time() (time.Time, error) { return time.Parse(time.RFC3339Nano, string(e.stamp)) }
