package writer

import (
	"bytes"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// connect attaches to the hub of dir and waits until it takes part.
func connect(t *testing.T, h *hub, dir string, sessions int) *net.UnixConn {
	t.Helper()
	conn, err := net.DialUnix("unixpacket", nil, &net.UnixAddr{Net: "unixpacket", Name: filepath.Join(dir, SocketFile)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if _, err := conn.Write([]byte{MessageAttach, WantsStdout}); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(time.Millisecond) {
		h.mu.Lock()
		n := len(h.sessions)
		h.mu.Unlock()
		if n == sessions {
			return conn
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d sessions are attached, want %d", n, sessions)
		}
	}
}

// TestSlowSession: a session that does not read holds the container up for a bounded time,
// and others lose nothing.
func TestSlowSession(t *testing.T) {
	dir, err := os.MkdirTemp("", "hub") // t.TempDir's path is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	h := openHub(Options{Dir: dir, Partial: true})
	h.wait = 3 * time.Second // more than the one that reads is ever kept waiting for a processor
	connect(t, h, dir, 1)    // and never reads
	reader := connect(t, h, dir, 2)
	got := make(chan int)
	go func() {
		total, buffer := 0, make([]byte, MaxMessage)
		for {
			n, err := reader.Read(buffer)
			if err != nil || n == 0 {
				got <- total
				return
			}
			total += n - 1
		}
	}()
	const size = 8 << 20
	h.output(MessageStdout, bytes.Repeat([]byte("x"), size))
	h.mu.Lock()
	left, kept := len(h.sessions), len(h.partial[MessageStdout])
	h.mu.Unlock()
	h.close()
	if total := <-got; total != size || left != 1 || kept > maxPartial {
		t.Errorf("the reader got %d bytes of %d, %d sessions are left, %d bytes of the line are kept", total, size, left, kept)
	}
}

// TestPartialLine: who comes gets the line that is being written and nothing before it.
func TestPartialLine(t *testing.T) {
	h := openHub(Options{Partial: true})
	for _, c := range []struct{ output, want string }{
		{"one\ntw", "tw"}, {"o", "two"}, {"\n", ""}, {"# ", "# "}, {strings.Repeat("y", 3*maxPartial), strings.Repeat("y", maxPartial)}, {"a\n\nb", "b"},
	} {
		h.output(MessageStdout, []byte(c.output))
		if got := string(h.partial[MessageStdout]); got != c.want {
			t.Errorf("after %.20q: %.40q, want %.40q", c.output, got, c.want)
		}
	}
	h.close()
}
