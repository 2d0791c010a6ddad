package etcd_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miniorch/miniorch/apiserver/storage"
	"github.com/miniorch/miniorch/apiserver/storage/etcd"
)

func TestRestartKeepsEverything(t *testing.T) {
	dir := t.TempDir() + "/etcd"
	var last int64
	for round := range 3 {
		e, err := etcd.StartEmbedded(t.Context(), etcd.EmbeddedConfig{DataDir: dir, Logger: quiet})
		if err != nil {
			t.Fatal(err)
		}
		s := etcd.New(e.Client(), etcd.Config{})
		kvs, rev, err := s.List(t.Context(), "/", 0)
		if err != nil || len(kvs) != round || rev < last {
			t.Errorf("round %d: %d keys at %d after %d, %v", round, len(kvs), rev, last, err)
		}
		r, err := s.Write(t.Context(), storage.Write{Key: fmt.Sprintf("/%d", round), Value: []byte("v")})
		if err != nil || !r.Done {
			t.Errorf("round %d: %+v, %v", round, r, err)
		}
		last = r.Revision
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestDefragment(t *testing.T) {
	e := start(t, etcd.EmbeddedConfig{NoSync: true})
	s := etcd.New(e.Client(), etcd.Config{})
	var rev int64
	for range 300 {
		r, err := s.Write(t.Context(), storage.Write{Key: "/a", Value: make([]byte, 50_000), Expect: rev})
		if err != nil || !r.Done {
			t.Fatalf("%+v, %v", r, err)
		}
		rev = r.Revision
	}
	before, _ := e.Size()
	for deadline := time.Now().Add(5 * time.Minute); before < 5<<20; before, _ = e.Size() {
		if time.Now().After(deadline) {
			t.Fatalf("15 MB were written, and the file has %d bytes", before)
		}
		time.Sleep(10 * time.Millisecond) // etcd commits to its file every 100 ms
	}
	if _, err := e.Client().Compact(t.Context(), rev); err != nil {
		t.Fatal(err)
	}
	// Compaction goes on in the background, and frees pages bit by bit.
	for deadline := time.Now().Add(5 * time.Minute); ; {
		if err := e.Defragment(); err != nil {
			t.Fatal(err)
		}
		after, used := e.Size()
		if after < before/2 && used <= after {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d bytes before, %d after, %d in use", before, after, used)
		}
		time.Sleep(10 * time.Millisecond)
	}
	if kv, _, err := s.Get(t.Context(), "/a"); err != nil || kv == nil || kv.Revision != rev {
		t.Errorf("after defragmenting: %+v, %v", kv, err)
	}
}

// Three members elect a leader and agree, and two go on without the third.
func TestThreeMembers(t *testing.T) {
	peers := map[string][]string{}
	for _, name := range []string{"m1", "m2", "m3"} {
		peers[name] = []string{"http://" + freeAddress(t)}
	}
	members := make(map[string]*etcd.Embedded)
	var mu sync.Mutex
	var wg sync.WaitGroup
	for name, urls := range peers {
		dir := t.TempDir() + "/etcd"
		wg.Go(func() {
			e, err := etcd.StartEmbedded(t.Context(), etcd.EmbeddedConfig{
				DataDir: dir, Name: name, PeerListen: urls, PeerAdvertise: urls, InitialCluster: peers, NoSync: true, Logger: quiet,
			})
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			members[name] = e
			mu.Unlock()
		})
	}
	wg.Wait()
	defer func() {
		for _, e := range members {
			if err := e.Close(); err != nil {
				t.Error(err)
			}
		}
	}()
	if t.Failed() {
		return
	}
	one, two := etcd.New(members["m1"].Client(), etcd.Config{}), etcd.New(members["m2"].Client(), etcd.Config{})
	mustAgree := func(key string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
		defer cancel()
		for {
			r, err := one.Write(ctx, storage.Write{Key: key, Value: []byte("v")})
			if err == nil && (r.Done || r.Current != nil) {
				break
			}
			if ctx.Err() != nil {
				t.Fatalf("writing %s: %+v, %v", key, r, err)
			}
		}
		if kv, _, err := two.Get(ctx, key); err != nil || kv == nil {
			t.Errorf("the other member has %+v, %v", kv, err)
		}
	}
	mustAgree("/a")
	if err := members["m3"].Close(); err != nil {
		t.Error(err)
	}
	delete(members, "m3")
	mustAgree("/b")
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// A member by itself listens nowhere: two on one machine do not meet.
func TestAloneListensNowhere(t *testing.T) {
	start(t, etcd.EmbeddedConfig{NoSync: true})
	start(t, etcd.EmbeddedConfig{NoSync: true})
}

func TestStartFails(t *testing.T) {
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	tests := []struct {
		name string
		ctx  context.Context
		cfg  etcd.EmbeddedConfig
		want error
	}{
		{"no data directory", t.Context(), etcd.EmbeddedConfig{}, nil},
		{"a URL that is none", t.Context(), etcd.EmbeddedConfig{ClientListen: []string{"http://a b"}}, nil},
		{"an address that is not ours", t.Context(), etcd.EmbeddedConfig{ClientListen: []string{"http://192.0.2.1:1"}}, nil},
		{"TLS without certificates", t.Context(), etcd.EmbeddedConfig{ClientListen: []string{"https://127.0.0.1:0"}}, nil},
		{"peers that do not come", canceled, etcd.EmbeddedConfig{
			PeerAdvertise: []string{"http://127.0.0.1:1"}, Name: "a",
			InitialCluster: map[string][]string{"a": {"http://127.0.0.1:1"}, "b": {"http://127.0.0.1:2"}},
		}, context.Canceled},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.name != "no data directory" {
				tt.cfg.DataDir = t.TempDir() + "/etcd"
			}
			tt.cfg.Logger = quiet
			e, err := etcd.StartEmbedded(tt.ctx, tt.cfg)
			if err == nil {
				e.Close()
				t.Fatal("it started")
			}
			if tt.want != nil && !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
		})
	}
}

// A start says nothing that an operator would have to read.
func TestQuiet(t *testing.T) {
	log := &lockedBuffer{}
	e, err := etcd.StartEmbedded(t.Context(), etcd.EmbeddedConfig{
		DataDir: t.TempDir() + "/etcd", NoSync: true, Logger: slog.New(slog.NewTextHandler(log, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := etcd.New(e.Client(), etcd.Config{}).Write(t.Context(), storage.Write{Key: "/a", Value: []byte("v")}); err != nil {
		t.Error(err)
	}
	said := strings.TrimSpace(log.String())
	if err := e.Close(); err != nil {
		t.Error(err)
	}
	if said != "" {
		t.Errorf("it said:\n%s", said)
	}
}

type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func TestDialExternal(t *testing.T) {
	if c, err := etcd.DialExternal([]string{"https://127.0.0.1:1"}, "no such file", "", ""); err == nil {
		c.Close()
		t.Error("a certificate that does not exist was accepted")
	}
	// A server that is not there is an error of the request, and soon enough.
	c, err := etcd.DialExternal([]string{"http://127.0.0.1:1"}, "", "", "")
	if err != nil {
		t.Fatal(err)
	}
	defer closeClient(t, c)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	s := etcd.New(c, etcd.Config{})
	if _, err := s.Revision(ctx); err == nil {
		t.Error("nobody answered, and there was no error")
	}
	for b := range s.Watch(ctx, "/", 1) {
		t.Logf("the watch says %v", b.Err)
	}
}
