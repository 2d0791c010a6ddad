package etcd

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	clocktesting "k8s.io/utils/clock/testing"
)

func TestFragmented(t *testing.T) {
	const mb = 1 << 20
	tests := []struct {
		name              string
		file, used, quota int64
		want              bool
		reason            string
	}{
		{"new", 1 * mb, 0, 4096 * mb, false, "nothing to gain"},
		{"small", 60 * mb, 1 * mb, 4096 * mb, false, "not worth an interruption"},
		{"half empty", 200 * mb, 90 * mb, 4096 * mb, true, "more than half is free, and it is much"},
		{"well used", 1000 * mb, 600 * mb, 4096 * mb, false, "the free space will be used again"},
		{"near the quota", 3200 * mb, 2800 * mb, 4096 * mb, true, "at the quota etcd refuses writes, free space or not"},
		{"near the quota and full", 3200 * mb, 3100 * mb, 4096 * mb, false, "it would gain nothing"},
	}
	for _, tt := range tests {
		if got := fragmented(tt.file, tt.used, tt.quota, worthwhile); got != tt.want {
			t.Errorf("%s: %v, but %s", tt.name, got, tt.reason)
		}
	}
}

// TestMaintain: what compaction has freed is given back at the next look, and the data stays.
func TestMaintain(t *testing.T) {
	e, err := StartEmbedded(t.Context(), EmbeddedConfig{DataDir: t.TempDir(), NoSync: true, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	clk := clocktesting.NewFakeClock(time.Now())
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- e.maintain(ctx, clk, 1<<20) }()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	value := string(bytes.Repeat([]byte("x"), 64<<10))
	var last *clientv3.PutResponse
	for i := range 200 {
		if last, err = e.Client().Put(ctx, fmt.Sprint("/k", i%3), value); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := e.Client().Compact(ctx, last.Header.Revision, clientv3.WithCompactPhysical()); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(5 * time.Minute); ; time.Sleep(20 * time.Millisecond) {
		// What a transaction frees, the one after it counts as free.
		if _, err := e.Client().Put(ctx, "/other", ""); err != nil {
			t.Fatal(err)
		}
		clk.Step(careInterval)
		if file, _ := e.Size(); file < 4<<20 && file > 0 {
			break
		}
		if time.Now().After(deadline) {
			file, used := e.Size()
			t.Fatalf("the file has %d bytes, of which %d are used", file, used)
		}
	}
	got, err := e.Client().Get(ctx, "/k1")
	if err != nil || len(got.Kvs) != 1 || string(got.Kvs[0].Value) != value {
		t.Errorf("after defragmenting: %v, %v", got, err)
	}
}
