// Package writer is the program that writes a container's log. A container's shim starts
// it with the container and it lives until the container's output ends; no agent is
// needed in between, so an agent may be restarted or replaced without a line lost. It also
// holds the container's stdin open, and serves the sessions attached to the container.
//
// There is one such process per container. The package imports nothing but the standard
// library's smallest parts, and package early runs it before anything else of its binary
// is initialized.
package writer

import (
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Command is the hidden first argument that makes a binary a log writer.
const Command = "container-log-writer"

// The file descriptors of containerd's logging protocol.
const (
	fdStdout = 3
	fdStderr = 4
	fdReady  = 5
)

// Options say what a writer does.
type Options struct {
	Path     string // of the log; empty: none is written
	MaxBytes int64  // of one file before it is put aside
	MaxFiles int    // to keep
	Dir      string // of the container's stdin and of the socket for attached sessions; empty: neither
	Partial  bool   // a session is first sent what there is of an unfinished line, such as a prompt
	Once     bool   // stdin ends with the first session attached to it
}

// Argument encodes the options for the one argument after Command.
func Argument(o Options) string {
	return fmt.Sprintf("%d:%d:%t:%t:%s:%s", o.MaxBytes, o.MaxFiles, o.Partial, o.Once, escaped.Replace(o.Dir), o.Path)
}

var (
	escaped   = strings.NewReplacer("%", "%25", ":", "%3a")
	unescaped = strings.NewReplacer("%25", "%", "%3a", ":")
)

// parseArgument is the inverse of Argument.
func parseArgument(arg string) (o Options, err error) {
	parts := strings.SplitN(arg, ":", 6)
	if len(parts) != 6 {
		return o, fmt.Errorf("bad log argument %q", arg)
	}
	if o.MaxBytes, err = strconv.ParseInt(parts[0], 10, 64); err != nil {
		return o, fmt.Errorf("bad size in log argument: %w", err)
	}
	if o.MaxFiles, err = strconv.Atoi(parts[1]); err != nil {
		return o, fmt.Errorf("bad count in log argument: %w", err)
	}
	for i, flag := range []*bool{&o.Partial, &o.Once} {
		if *flag, err = strconv.ParseBool(parts[2+i]); err != nil {
			return o, fmt.Errorf("bad log argument: %w", err)
		}
	}
	o.Dir, o.Path = unescaped.Replace(parts[4]), parts[5]
	for _, path := range []string{o.Dir, o.Path} {
		if path != "" && !filepath.IsAbs(path) {
			return o, fmt.Errorf("bad path in log argument %q", arg)
		}
	}
	return o, nil
}

// Main is the whole program: it copies the container's output to its log, and to who is
// attached, until both streams end. It returns the exit code.
func Main(args []string) int {
	if len(args) != 1 {
		fmt.Fprintln(os.Stderr, "this is started by containerd, for a container")
		return 2
	}
	options, err := parseArgument(args[0])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	streams := map[byte]*os.File{MessageStdout: inherited(fdStdout), MessageStderr: inherited(fdStderr)}
	drainOnTerm(streams)
	var log io.Writer = io.Discard
	if options.Path != "" {
		file := NewFile(options.Path, options.MaxBytes, options.MaxFiles)
		file.openNow()
		defer file.Close()
		log = file
	}
	live := openHub(options)
	// Whatever happened, the container may start: a log that cannot be opened now is
	// tried again with every line, and what was lost meanwhile is said in it.
	if ready := os.NewFile(fdReady, "ready"); ready != nil {
		ready.Write([]byte{1}) // version 2 of the protocol wants a byte, version 1 takes it
		ready.Close()
	}
	var copying sync.WaitGroup
	for kind, stream := range streams {
		copying.Go(func() { Copy(log, streamNames[kind], &tee{from: stream, kind: kind, to: live}) })
	}
	copying.Wait()
	live.close()
	return 0
}

var streamNames = map[byte]string{MessageStdout: "stdout", MessageStderr: "stderr"}

// tee shows what is read from a stream to the hub first.
type tee struct {
	from io.Reader
	kind byte
	to   *hub
}

// Read implements io.Reader.
func (t *tee) Read(p []byte) (int, error) {
	n, err := t.from.Read(p)
	t.to.output(t.kind, p[:n])
	return n, err
}

// inherited makes a file of a descriptor that Go's poller can wait for, so that reads
// take deadlines and hold no thread.
func inherited(fd uintptr) *os.File {
	syscall.SetNonblock(int(fd), true)
	return os.NewFile(fd, "container output")
}

// drainOnTerm makes SIGTERM, which the shim sends when the container is deleted, mean
// "finish": what is in the pipes is still written, but processes that escaped the
// container and hold them open are not waited for.
func drainOnTerm(streams map[byte]*os.File) {
	const patience = 300 * time.Millisecond
	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM, syscall.SIGINT)
	go func() {
		for range term {
			for _, s := range streams {
				s.SetReadDeadline(time.Now().Add(patience))
			}
		}
	}()
}

// MaxLine is the longest piece of a line that is written as one entry.
const MaxLine = 16 << 10

// timeFormat is RFC 3339 with all nine digits, as the CRI log format has it.
const timeFormat = "2006-01-02T15:04:05.000000000Z07:00"

// Copy turns what r delivers into log entries: one per line, tagged F, and for lines
// longer than MaxLine partial entries tagged P before it. It returns when r ends.
func Copy(log io.Writer, stream string, r io.Reader) {
	buffer := make([]byte, 0, 2*MaxLine)
	var out []byte
	for {
		n, err := r.Read(buffer[len(buffer):cap(buffer)])
		buffer = buffer[:len(buffer)+n]
		out = out[:0]
		rest := buffer
		for {
			entry, tag, remaining, ok := cut(rest, err != nil)
			if !ok {
				break
			}
			out = appendEntry(out, stream, tag, entry)
			rest = remaining
		}
		buffer = append(buffer[:0], rest...)
		if len(out) > 0 {
			log.Write(out)
		}
		if err != nil {
			return
		}
	}
}

// cut takes the next entry off data: a whole line, or a piece of a long one, or, at the
// end of the stream, what is left.
func cut(data []byte, end bool) (entry []byte, tag byte, rest []byte, ok bool) {
	const full, partial = 'F', 'P'
	for i, c := range data[:min(len(data), MaxLine+1)] {
		if c == '\n' {
			return data[:i], full, data[i+1:], true
		}
	}
	switch {
	case len(data) > MaxLine:
		return data[:MaxLine], partial, data[MaxLine:], true
	case end && len(data) > 0:
		// A last line without its newline stays one: P says that none follows.
		return data, partial, nil, true
	}
	return nil, 0, data, false
}

func appendEntry(out []byte, stream string, tag byte, line []byte) []byte {
	out = time.Now().AppendFormat(out, timeFormat)
	out = append(out, ' ')
	out = append(out, stream...)
	out = append(out, ' ', tag, ' ')
	out = append(out, line...)
	return append(out, '\n')
}
