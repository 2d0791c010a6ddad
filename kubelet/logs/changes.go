package logs

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// changes tells followers when their logs change. Inotify instances are scarce (128 for
// all of a user's programs), so there is one, opened with the first follower; it watches
// the directories of followed logs.
type changes struct {
	mu      sync.Mutex
	file    *os.File        // guarded by mu; the instance, nil until needed
	fd      int             // guarded by mu; that of file, whose Fd method would make it block
	dirs    map[string]*dir // guarded by mu
	watches map[int32]*dir  // guarded by mu; by watch descriptor
	done    chan struct{}   // guarded by mu; closed when the reading goroutine ends
	closed  bool            // guarded by mu
}

// dir is one watched directory.
type dir struct {
	descriptor int32
	followers  map[chan struct{}]struct{}
}

func newChanges() *changes {
	return &changes{dirs: map[string]*dir{}, watches: map[int32]*dir{}}
}

// watch returns a channel that receives after the log at path may have changed. If the
// kernel grants no watch it never does, and the follower's own clock has to do.
func (c *changes) watch(path string) (notice <-chan struct{}, forget func()) {
	name := filepath.Dir(path)
	mine := make(chan struct{}, 1)
	c.mu.Lock()
	defer c.mu.Unlock()
	d, err := c.dir(name)
	if err != nil {
		return mine, func() {}
	}
	d.followers[mine] = struct{}{}
	return mine, func() { c.forget(name, mine) }
}

// dir returns the watched directory of that name, watching it from now on. c.mu is held.
func (c *changes) dir(name string) (*dir, error) {
	if d := c.dirs[name]; d != nil {
		return d, nil
	}
	if err := c.open(); err != nil {
		return nil, err
	}
	descriptor, err := unix.InotifyAddWatch(c.fd, name, unix.IN_MODIFY|unix.IN_CREATE|unix.IN_MOVED_TO|unix.IN_CLOSE_WRITE)
	if err != nil {
		return nil, fmt.Errorf("watching %s: %w", name, err)
	}
	d := &dir{descriptor: int32(descriptor), followers: map[chan struct{}]struct{}{}}
	c.dirs[name], c.watches[d.descriptor] = d, d
	return d, nil
}

// open makes the instance and starts reading it. c.mu is held.
func (c *changes) open() error {
	if c.closed {
		return errors.New("closed")
	}
	if c.file != nil {
		return nil
	}
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return fmt.Errorf("watching logs: %w", err)
	}
	c.file, c.fd = os.NewFile(uintptr(fd), "inotify"), fd
	c.done = make(chan struct{})
	go c.read(c.file, c.done)
	return nil
}

// forget ends the watch of one follower, of the directory with its last, and of
// everything with the last directory's.
func (c *changes) forget(name string, follower chan struct{}) {
	c.mu.Lock()
	d := c.dirs[name]
	if d == nil {
		c.mu.Unlock()
		return
	}
	delete(d.followers, follower)
	var file *os.File
	var done chan struct{}
	if len(d.followers) == 0 {
		delete(c.dirs, name)
		delete(c.watches, d.descriptor)
		if c.file != nil {
			// The directory may be gone, and its watch with it.
			unix.InotifyRmWatch(c.fd, uint32(d.descriptor))
		}
		if len(c.dirs) == 0 {
			file, done = c.file, c.done
			c.file, c.done = nil, nil
		}
	}
	c.mu.Unlock()
	stopReading(file, done)
}

func stopReading(file *os.File, done chan struct{}) {
	if file != nil {
		file.Close()
		<-done
	}
}

func (c *changes) close() error {
	c.mu.Lock()
	file, done := c.file, c.done
	c.file, c.done, c.closed = nil, nil, true
	c.mu.Unlock()
	stopReading(file, done)
	return nil
}

// read passes notices on until the instance is closed.
func (c *changes) read(file *os.File, done chan struct{}) {
	defer close(done)
	buffer := make([]byte, 16<<10)
	for {
		n, err := file.Read(buffer)
		if err != nil {
			return
		}
		c.notify(buffer[:n])
	}
}

func (c *changes) notify(events []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(events) >= unix.SizeofInotifyEvent {
		event := (*unix.InotifyEvent)(unsafe.Pointer(&events[0]))
		events = events[unix.SizeofInotifyEvent+int(event.Len):]
		d := c.watches[event.Wd]
		if d == nil {
			continue
		}
		for f := range d.followers {
			select {
			case f <- struct{}{}:
			default: // it has one to read already
			}
		}
	}
}
