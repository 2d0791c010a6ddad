package writer

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// File is a log that rotates itself. While it is open it holds an exclusive flock on the
// newest file, by which readers know that more may come.
type File struct {
	path     string
	maxBytes int64
	maxFiles int

	mu   sync.Mutex
	file *os.File // guarded by mu; nil while it cannot be opened
	size int64    // guarded by mu
	lost int      // guarded by mu; entries that could not be written
}

// NewFile returns the log at path, opened by the first write. Beyond maxBytes it is
// renamed aside, and no more than maxFiles are kept, it included; zero or less means no
// bound.
func NewFile(path string, maxBytes int64, maxFiles int) *File {
	return &File{path: path, maxBytes: maxBytes, maxFiles: maxFiles}
}

// Write appends whole entries. It never fails its caller, who has a container to keep
// going: what cannot be written is counted, and the count is written when that works.
func (f *File) Write(entries []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.maxBytes > 0 && f.size > 0 && f.size+int64(len(entries)) > f.maxBytes {
		f.rotate()
	}
	if f.file == nil {
		f.open()
	}
	if f.lost > 0 {
		notice := appendEntry(nil, "stderr", 'F', fmt.Appendf(nil, "[miniorch: %d log lines could not be written here]", f.lost))
		if f.append(notice) {
			f.lost = 0
		}
	}
	if !f.append(entries) {
		f.lost += strings.Count(string(entries), "\n")
	}
	return len(entries), nil
}

// append writes all of data or, as far as it can, nothing of it.
func (f *File) append(data []byte) bool {
	if f.file == nil {
		return false
	}
	n, err := f.file.Write(data)
	if err != nil && n > 0 {
		f.file.Truncate(f.size) // a torn entry would corrupt the next
		n = 0
	}
	f.size += int64(n)
	return err == nil
}

func (f *File) openNow() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.open()
}

// open opens the newest file. f.mu is held.
func (f *File) open() {
	file, size, err := openLocked(f.path)
	if err != nil {
		return
	}
	f.file, f.size = file, size
}

func openLocked(path string) (*os.File, int64, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o640)
	if err != nil {
		return nil, 0, err
	}
	info, err := file.Stat()
	if err == nil {
		err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX) // readers hold it for an instant only
	}
	if err != nil {
		file.Close()
		return nil, 0, err
	}
	return file, info.Size(), nil
}

// Close ends the log.
func (f *File) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.file == nil {
		return nil
	}
	err := f.file.Close()
	f.file = nil
	return err
}

// rotatedFormat dates a file that was put aside; its order is that of time.
const rotatedFormat = "20060102-150405.000000000"

// rotate puts the file aside and begins a new one. The new one gets its name only when it
// is locked, and the old one is let go after that: a reader never comes to the end of a
// log that is being written and finds no writer. f.mu is held.
func (f *File) rotate() {
	if f.file == nil {
		return
	}
	fresh := filepath.Join(filepath.Dir(f.path), "."+filepath.Base(f.path)+".new")
	file, _, err := openLocked(fresh)
	if err != nil {
		return // too long a log is better than none
	}
	aside := f.path + "." + time.Now().UTC().Format(rotatedFormat)
	if os.Rename(f.path, aside) != nil || os.Rename(fresh, f.path) != nil {
		os.Rename(aside, f.path)
		file.Close()
		return
	}
	f.file.Close()
	f.file, f.size = file, 0
	f.prune()
}

// prune removes the oldest files beyond the number to keep.
func (f *File) prune() {
	aside := Rotated(f.path)
	if f.maxFiles <= 0 {
		return
	}
	for ; len(aside) > f.maxFiles-1; aside = aside[1:] {
		os.Remove(aside[0])
	}
}

// Rotated lists the files that were put aside of the log at path, oldest first.
func Rotated(path string) []string {
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		return nil
	}
	var out []string
	prefix := filepath.Base(path) + "."
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), prefix) {
			out = append(out, filepath.Join(filepath.Dir(path), e.Name()))
		}
	}
	slices.Sort(out)
	return out
}
