package logs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/miniorch/miniorch/kubelet/logs/writer"
)

// selection is which part of a log is asked for, and how it is shown.
type selection struct {
	since      time.Time
	tail       int64 // lines; -1 for all
	limit      int64
	limited    bool
	timestamps bool
	stream     string // empty for both
}

func newSelection(opts *corev1.PodLogOptions, now time.Time) (selection, error) {
	s := selection{tail: -1, timestamps: opts.Timestamps}
	if opts.SinceSeconds != nil && opts.SinceTime != nil {
		return s, errors.New("at most one of sinceTime or sinceSeconds may be specified")
	}
	if opts.SinceSeconds != nil {
		s.since = now.Add(-time.Duration(*opts.SinceSeconds) * time.Second)
	}
	if opts.SinceTime != nil {
		s.since = opts.SinceTime.Time
	}
	if opts.TailLines != nil {
		s.tail = max(*opts.TailLines, 0)
	}
	if opts.LimitBytes != nil {
		s.limit, s.limited = *opts.LimitBytes, true
	}
	if opts.Stream != nil {
		switch *opts.Stream {
		case corev1.LogStreamAll:
		case corev1.LogStreamStdout:
			s.stream = "stdout"
		case corev1.LogStreamStderr:
			s.stream = "stderr"
		default:
			return s, fmt.Errorf("unknown stream %q", *opts.Stream)
		}
	}
	return s, nil
}

// wants reports whether an entry is in the selection, its tail aside.
func (s selection) wants(e entry) bool {
	if s.stream != "" && e.stream != s.stream {
		return false
	}
	if s.since.IsZero() {
		return true
	}
	at, err := e.time()
	return err == nil && !at.Before(s.since)
}

// openAt opens the file of a log in which the selection begins, at the offset where. It
// looks again if the log was rotated meanwhile.
func openAt(path string, s selection) (*os.File, int64, error) {
	const attempts = 20
	for attempt := 1; ; attempt++ {
		aside := writer.Rotated(path)
		f, offset, err := openAmong(append(slices.Clone(aside), path), s)
		// Between the two renames of a rotation the newest file has no name.
		inBetween := errors.Is(err, os.ErrNotExist) && len(aside) > 0
		if attempt == attempts || !inBetween && slices.Equal(aside, writer.Rotated(path)) {
			return f, offset, err
		}
		if f != nil {
			f.Close()
		}
		time.Sleep(time.Millisecond)
	}
}

func openAmong(names []string, s selection) (*os.File, int64, error) {
	if s.tail < 0 {
		return openFirst(names)
	}
	left := s.tail
	for i, name := range slices.Backward(names) {
		f, err := os.Open(name)
		if errors.Is(err, os.ErrNotExist) && i < len(names)-1 {
			continue // pruned meanwhile
		}
		if err != nil {
			return nil, 0, err
		}
		offset, found, err := tailOffset(f, left, left < s.tail, s)
		if err != nil {
			f.Close()
			return nil, 0, err
		}
		left -= found
		if left <= 0 || i == 0 {
			return f, offset, nil
		}
		f.Close()
	}
	return openFirst(names)
}

// openFirst opens the oldest file that exists.
func openFirst(names []string) (*os.File, int64, error) {
	for i, name := range names {
		f, err := os.Open(name)
		if errors.Is(err, os.ErrNotExist) && i < len(names)-1 {
			continue
		}
		return f, 0, err
	}
	return nil, 0, os.ErrNotExist
}

// tailOffset finds where the last n lines of f begin, reading it from behind, and how
// many there are of them. The pieces of a long line count once; begun says that pieces at
// the very end belong to a line that was counted already, in a later file.
func tailOffset(f *os.File, n int64, begun bool, s selection) (offset, found int64, err error) {
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil || n == 0 {
		return size, 0, err
	}
	const block = 64 << 10
	offset = size
	var tail []byte // what was read but not yet looked at; it begins at position at
	for at := size; at > 0; {
		step := min(int64(block), at)
		piece := make([]byte, step, step+int64(len(tail)))
		if _, err := f.ReadAt(piece, at-step); err != nil {
			return 0, 0, err
		}
		at -= step
		tail = append(piece, tail...)
		for len(tail) > 0 {
			start := bytes.LastIndexByte(tail[:len(tail)-1], '\n') + 1
			if start == 0 && at > 0 {
				break // its beginning is in the block before
			}
			e, ok := parseEntry(tail[start:])
			tail = tail[:start]
			if !ok || !s.wants(e) {
				continue
			}
			if !e.partial || (found == 0 && !begun) {
				if found == n {
					return offset, found, nil
				}
				found++
			}
			offset = at + int64(start)
		}
	}
	return offset, found, nil
}
