package spdy_test

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"

	framing "github.com/moby/spdystream/spdy"

	"github.com/miniorch/miniorch/kubelet/server/spdy"
	"github.com/miniorch/miniorch/pkg/leaktest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

// said is what a well-behaved client writes.
func said(f *testing.F, frames ...framing.Frame) []byte {
	var out bytes.Buffer
	framer, err := framing.NewFramer(&out, nil)
	if err != nil {
		f.Fatal(err)
	}
	for _, frame := range frames {
		if err := framer.WriteFrame(frame); err != nil {
			f.Fatal(err)
		}
	}
	return out.Bytes()
}

// FuzzSession: whatever a client writes, its session opens no more streams than it may, and can be closed.
func FuzzSession(f *testing.F) {
	open := &framing.SynStreamFrame{StreamId: 1, Headers: http.Header{"Streamtype": {"stdin"}}}
	f.Add(said(f, open, &framing.DataFrame{StreamId: 1, Data: []byte("hello")}, &framing.PingFrame{Id: 1}, &framing.RstStreamFrame{StreamId: 1, Status: framing.Cancel}))
	f.Add(said(f, open, open, &framing.SynStreamFrame{StreamId: 3}, &framing.SynStreamFrame{StreamId: 5}, &framing.GoAwayFrame{}))
	f.Add(said(f, &framing.DataFrame{StreamId: 9, Data: make([]byte, 1000)}, &framing.WindowUpdateFrame{StreamId: 1, DeltaWindowSize: 1 << 30}))
	f.Add([]byte{0x80, 3, 0, 1, 0, 0xff, 0xff, 0xff, 0, 0, 0, 1})
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"))
	const limit = 2
	f.Fuzz(func(t *testing.T, data []byte) {
		client, server := net.Pipe()
		session, err := spdy.NewSession(server, limit)
		if err != nil {
			t.Fatal(err)
		}
		var all sync.WaitGroup
		defer all.Wait()
		all.Go(func() { _, _ = io.Copy(io.Discard, client) })
		all.Go(func() {
			_, _ = client.Write(data)
			session.Close()
		})
		for streams := 0; ; {
			select {
			case stream := <-session.Streams():
				if streams++; streams > limit {
					t.Errorf("%d streams are open", streams)
				}
				all.Go(func() { _, _ = io.Copy(io.Discard, stream) })
			case <-session.Done():
				_ = client.Close()
				return
			}
		}
	})
}
