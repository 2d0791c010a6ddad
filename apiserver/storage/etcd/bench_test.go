package etcd_test

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miniorch/miniorch/apiserver/storage"
	"github.com/miniorch/miniorch/apiserver/storage/etcd"
)

// value has the size of a small pod.
var value = make([]byte, 1000)

var quiet = slog.New(slog.DiscardHandler)

func BenchmarkCreate(b *testing.B) {
	for _, sync := range []bool{true, false} {
		for _, writers := range []int{1, 16, 64} {
			b.Run(fmt.Sprintf("fsync=%v/writers=%d", sync, writers), func(b *testing.B) {
				s := etcd.New(start(b, etcd.EmbeddedConfig{NoSync: !sync}).Client(), etcd.Config{})
				var n atomic.Int64
				b.ResetTimer()
				parallel(b, writers, func() error {
					r, err := s.Write(context.Background(), storage.Write{Key: fmt.Sprintf("/b/%d", n.Add(1)), Value: value})
					if err == nil && !r.Done {
						err = fmt.Errorf("conflict: %+v", r)
					}
					return err
				})
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "writes/s")
			})
		}
	}
}

// parallel runs f b.N times from so many goroutines.
func parallel(b *testing.B, goroutines int, f func() error) {
	var left atomic.Int64
	left.Store(int64(b.N))
	errs := make(chan error, goroutines)
	for range goroutines {
		go func() {
			for left.Add(-1) >= 0 {
				if err := f(); err != nil {
					errs <- err
					return
				}
			}
			errs <- nil
		}()
	}
	for range goroutines {
		if err := <-errs; err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkWatchLatency measures from the end of a write to its event, and what a
// consistent read pays: asking for the revision and for progress.
func BenchmarkWatchLatency(b *testing.B) {
	s := etcd.New(start(b, etcd.EmbeddedConfig{NoSync: true}).Client(), etcd.Config{})
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	rev, err := s.Revision(ctx)
	if err != nil {
		b.Fatal(err)
	}
	watch := s.Watch(ctx, "/b/", rev)
	var waited time.Duration
	for i := 0; b.Loop(); i++ {
		r, err := s.Write(ctx, storage.Write{Key: fmt.Sprintf("/b/%d", i), Value: value})
		if err != nil {
			b.Fatal(err)
		}
		begin := time.Now()
		for batch := range watch {
			if batch.Progress >= r.Revision {
				break
			}
		}
		waited += time.Since(begin)
	}
	b.ReportMetric(float64(waited.Microseconds())/float64(b.N), "µs-to-event")
}

func BenchmarkRevision(b *testing.B) {
	s := etcd.New(start(b, etcd.EmbeddedConfig{NoSync: true}).Client(), etcd.Config{})
	for b.Loop() {
		if _, err := s.Revision(context.Background()); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkProgress(b *testing.B) {
	s := etcd.New(start(b, etcd.EmbeddedConfig{NoSync: true}).Client(), etcd.Config{})
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	rev, err := s.Revision(ctx)
	if err != nil {
		b.Fatal(err)
	}
	watch := s.Watch(ctx, "/b/", rev)
	// The first revision is the watch's to come: only then does it have progress.
	if _, err := s.Write(ctx, storage.Write{Key: "/other", Value: value}); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		for told := false; !told; {
			if err := s.RequestProgress(ctx, "/b/"); err != nil {
				b.Fatal(err)
			}
			select {
			case <-watch:
				told = true
			case <-time.After(50 * time.Millisecond): // the watch had not begun yet
			}
		}
	}
}

func BenchmarkStart(b *testing.B) {
	for _, again := range []bool{false, true} {
		b.Run(fmt.Sprintf("again=%v", again), func(b *testing.B) {
			dir := b.TempDir()
			for i := 0; b.Loop(); i++ {
				at := dir
				if !again {
					at = fmt.Sprintf("%s/%d", dir, i)
				}
				e, err := etcd.StartEmbedded(context.Background(), etcd.EmbeddedConfig{DataDir: at, Logger: quiet})
				if err != nil {
					b.Fatal(err)
				}
				b.StopTimer()
				if err := e.Close(); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
			}
		})
	}
}
