package etcd_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/miniorch/miniorch/apiserver/storage"
	"github.com/miniorch/miniorch/apiserver/storage/etcd"
	"github.com/miniorch/miniorch/apiserver/storage/storagetest"
	"github.com/miniorch/miniorch/pkg/leaktest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

// start runs a member for one test or benchmark.
func start(t testing.TB, cfg etcd.EmbeddedConfig) *etcd.Embedded {
	t.Helper()
	if cfg.DataDir == "" {
		cfg.DataDir = t.TempDir()
	}
	cfg.Logger = slog.New(slog.NewTextHandler(testWriter{t}, nil))
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	e, err := etcd.StartEmbedded(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

// testWriter shows etcd's log beside the test that caused it.
type testWriter struct{ t testing.TB }

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Log(string(p))
	return len(p), nil
}

func TestEmbedded(t *testing.T) {
	storagetest.Run(t, func(t *testing.T) storage.Store {
		return etcd.New(start(t, etcd.EmbeddedConfig{NoSync: true}).Client(), etcd.Config{})
	})
}

// The same suite over gRPC on a socket.
func TestRemote(t *testing.T) {
	storagetest.Run(t, func(t *testing.T) storage.Store {
		dir := t.TempDir()
		socket := "unix://" + dir + "/c.sock"
		start(t, etcd.EmbeddedConfig{DataDir: dir + "/data", NoSync: true, ClientListen: []string{socket}})
		client, err := etcd.DialExternal([]string{socket}, "", "", "")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { closeClient(t, client) })
		return etcd.New(client, etcd.Config{})
	})
}

func closeClient(t *testing.T, c *clientv3.Client) {
	if err := c.Close(); err != nil {
		t.Errorf("closing the client: %v", err)
	}
}
