package writer

import (
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// The files of a container's Dir.
const (
	// SocketFile is where attached sessions connect: a Unix socket of type SEQPACKET.
	SocketFile = "attach"
	// StdinFile is the pipe that a container with an open stdin reads.
	StdinFile = "stdin"
)

// The first byte of every message between a session and the writer says what the rest is.
const (
	MessageAttach  = 'a' // session → writer, once and first: a byte of Wants…
	MessageStdin   = 'i' // session → writer: input
	MessageEnd     = 'e' // session → writer: the end of the input
	MessageStdout  = '1' // writer → session: output, from now on
	MessageStderr  = '2' // writer → session
	MessageRefused = 'x' // writer → session: why it may not stay
)

// What a session wants, as bits of MessageAttach.
const (
	WantsStdin  = 1
	WantsStdout = 2
	WantsStderr = 4
)

// MaxMessage is the longest message, its first byte included.
const MaxMessage = 32<<10 + 1

const (
	// maxSessions is how many may be attached to one container.
	maxSessions = 16
	// patience is how long a session may leave its output unread. The container waits
	// meanwhile, as it would for a terminal that was stopped; then the session is cut off.
	patience = 10 * time.Second
	// maxPartial bounds what is kept of an unfinished line.
	maxPartial = 4 << 10
)

// hub passes a container's output on to the sessions attached to it, as it comes, and their
// input to the container. It is part of the log writer because that lives as long as the
// container does, whatever happens to the agent.
type hub struct {
	keep bool // the unfinished lines, for those who come
	once bool // stdin ends with the first session
	wait time.Duration

	listener *os.File
	serving  sync.WaitGroup

	mu       sync.Mutex
	stdin    *os.File          // guarded by mu; nil if there is none, or no more
	sessions map[*session]bool // guarded by mu
	partial  map[byte][]byte   // guarded by mu; the end of the output behind its last newline, by stream
	closed   bool              // guarded by mu
}

// message is one message as it is sent.
type message []byte

// session is one connection.
type session struct {
	conn  *os.File
	wants byte
}

// openHub makes the hub of a container. What cannot be opened is not offered: a container
// starts although nobody can attach to it.
func openHub(o Options) *hub {
	h := &hub{keep: o.Partial, once: o.Once, wait: patience, sessions: map[*session]bool{}, partial: map[byte][]byte{}}
	dir := o.Dir
	if dir == "" {
		return h
	}
	// For reading and writing: so it opens without a reader, and stays whole without one.
	if fd, err := syscall.Open(filepath.Join(dir, StdinFile), syscall.O_RDWR|syscall.O_NONBLOCK|syscall.O_CLOEXEC, 0); err == nil {
		h.stdin = os.NewFile(uintptr(fd), "stdin")
	}
	if h.listener = listen(dir); h.listener != nil {
		h.serving.Go(h.accept)
	}
	return h
}

// listen opens the socket. Its path goes by way of the open directory, since the name of a
// socket may have no more than 107 bytes.
func listen(dir string) *os.File {
	parent, err := syscall.Open(dir, syscall.O_RDONLY|syscall.O_DIRECTORY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	defer syscall.Close(parent)
	name := "/proc/self/fd/" + strconv.Itoa(parent) + "/" + SocketFile
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_SEQPACKET|syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	if syscall.Bind(fd, &syscall.SockaddrUnix{Name: name}) != nil || syscall.Listen(fd, maxSessions) != nil {
		syscall.Close(fd)
		return nil
	}
	return os.NewFile(uintptr(fd), "attach socket")
}

// accept takes sessions until the listener is closed.
func (h *hub) accept() {
	raw, err := h.listener.SyscallConn()
	if err != nil {
		return
	}
	for {
		fd := -1
		err := raw.Read(func(listener uintptr) bool {
			var failure error
			fd, _, failure = syscall.Accept4(int(listener), syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC)
			return failure != syscall.EAGAIN
		})
		if err != nil {
			return
		}
		if fd >= 0 {
			s := &session{conn: os.NewFile(uintptr(fd), "attached session")}
			h.serving.Go(func() { h.serve(s) })
		}
	}
}

// serve reads what one session sends until it goes.
func (h *hub) serve(s *session) {
	defer s.conn.Close()
	buffer := make([]byte, MaxMessage)
	s.conn.SetReadDeadline(time.Now().Add(patience))
	if n, err := s.conn.Read(buffer); err != nil || n != 2 || buffer[0] != MessageAttach {
		return
	}
	s.conn.SetReadDeadline(time.Time{})
	s.wants = buffer[1]
	if !h.join(s) {
		return
	}
	defer h.leave(s)
	for {
		n, err := s.conn.Read(buffer)
		if err != nil || n == 0 {
			return
		}
		switch buffer[0] {
		case MessageStdin:
			h.input(buffer[1:n])
		case MessageEnd:
			h.endInput()
		}
	}
}

// join lets a session take part. The lines that were written before it are in the log, where
// clients look first; the line that is being written, of which a prompt consists, is not.
func (h *hub) join(s *session) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return false
	}
	if len(h.sessions) >= maxSessions {
		h.send(s, append([]byte{MessageRefused}, "too many sessions are attached"...))
		return false
	}
	h.sessions[s] = true
	for _, kind := range []byte{MessageStdout, MessageStderr} {
		if line := h.partial[kind]; len(line) > 0 {
			h.deliver(s, append(message{kind}, line...))
		}
	}
	return true
}

func (h *hub) leave(s *session) {
	if s.wants&WantsStdin != 0 {
		h.endInput()
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.sessions, s)
}

// input gives the container something to read. It waits until there is room.
func (h *hub) input(data []byte) {
	h.mu.Lock()
	stdin := h.stdin
	h.mu.Unlock()
	if stdin != nil {
		stdin.Write(data) // fails only once it is closed
	}
}

// endInput ends the stdin of a container that was made for one session.
func (h *hub) endInput() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.once && h.stdin != nil {
		h.stdin.Close()
		h.stdin = nil
	}
}

// output passes on what the container wrote.
func (h *hub) output(kind byte, data []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.keep {
		h.remember(kind, data)
	}
	for len(data) > 0 {
		n := min(len(data), MaxMessage-1)
		m := append(message{kind}, data[:n]...)
		data = data[n:]
		for s := range h.sessions {
			h.deliver(s, m)
		}
	}
}

// remember keeps what is behind the last newline, or the end of that. h.mu is held.
func (h *hub) remember(kind byte, data []byte) {
	line := h.partial[kind]
	for i := len(data) - 1; i >= 0; i-- {
		if data[i] == '\n' {
			line, data = line[:0], data[i+1:]
			break
		}
	}
	line = append(line, data[max(0, len(data)-maxPartial):]...)
	if over := len(line) - maxPartial; over > 0 {
		line = append(line[:0], line[over:]...)
	}
	h.partial[kind] = line
}

// deliver sends a message to a session that wants it. One that does not take it in time is
// cut off: it can have no gap in its output. h.mu is held.
func (h *hub) deliver(s *session, m message) {
	wanted := m[0] == MessageStdout && s.wants&WantsStdout != 0 || m[0] == MessageStderr && s.wants&WantsStderr != 0
	if wanted && !h.send(s, m) {
		delete(h.sessions, s)
		s.conn.Close()
	}
}

func (h *hub) send(s *session, m message) bool {
	s.conn.SetWriteDeadline(time.Now().Add(h.wait))
	_, err := s.conn.Write(m)
	return err == nil
}

// close ends all sessions: the container has said all it had to say. What was sent to them
// they can still read.
func (h *hub) close() {
	h.mu.Lock()
	h.closed = true
	for s := range h.sessions {
		s.conn.Close()
	}
	if h.stdin != nil {
		h.stdin.Close()
		h.stdin = nil
	}
	h.mu.Unlock()
	if h.listener != nil {
		h.listener.Close()
	}
	h.serving.Wait()
}
