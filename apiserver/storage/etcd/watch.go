package etcd

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"

	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/metadata"

	"github.com/miniorch/miniorch/apiserver/storage"
)

// streamHeader tells watches apart for the client, which has a stream to etcd for each
// combination of headers. Each watch has its own: etcd answers a request for progress only
// when every watch of the stream has caught up and has begun, so on a shared one a watch
// from the past, or from the next revision on, would hold up the consistent reads of all.
const streamHeader = "miniorch-watch"

// stream is one watch's stream.
type stream struct {
	name, prefix string
	lean         bool                                       // without what was before
	asking       sync.WaitGroup                             // requests for progress that are under way
	whenEnded    func(f func()) (forget func() (done bool)) // calls f when the watch's context ends
}

// Watch streams the changes below prefix after a revision.
func (s *Store) Watch(ctx context.Context, prefix string, after int64) <-chan storage.Batch {
	return s.watch(ctx, &stream{prefix: prefix}, after)
}

// WatchLean is Watch without what was before each change.
func (s *Store) WatchLean(ctx context.Context, prefix string, after int64) <-chan storage.Batch {
	return s.watch(ctx, &stream{prefix: prefix, lean: true}, after)
}

func (s *Store) watch(ctx context.Context, st *stream, after int64) <-chan storage.Batch {
	out := make(chan storage.Batch)
	st.whenEnded = func(f func()) func() bool { return context.AfterFunc(ctx, f) }
	s.enter(st)
	go func() {
		defer close(out)
		err := s.relay(ctx, st, after, out)
		if ctx.Err() != nil {
			return
		}
		select {
		case out <- storage.Batch{Err: fmt.Errorf("watching %s: %w", st.prefix, err)}:
		case <-ctx.Done():
		}
	}()
	return out
}

// relay runs one etcd watch and returns why it ended.
func (s *Store) relay(ctx context.Context, st *stream, after int64, out chan<- storage.Batch) error {
	// Asking for progress on a stream that has ended would open it again, for ever: so the
	// watch ends when nobody asks any more.
	watchCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	end := sync.OnceFunc(func() {
		s.exit(st)
		cancel()
	})
	defer end()
	defer context.AfterFunc(ctx, end)()
	prefix := st.prefix
	opts := []clientv3.OpOption{clientv3.WithRev(after + 1), clientv3.WithProgressNotify(), clientv3.WithFragment()}
	if !st.lean {
		opts = append(opts, clientv3.WithPrevKV())
	}
	if prefix == "" {
		opts = append(opts, clientv3.WithFromKey())
		prefix = "\x00"
	} else {
		opts = append(opts, clientv3.WithPrefix())
	}
	// A member that is cut off from its leader must say so instead of staying silent.
	for resp := range s.client.Watch(clientv3.WithRequireLeader(st.on(watchCtx)), prefix, opts...) {
		if resp.CompactRevision != 0 {
			return &storage.CompactedError{Oldest: resp.CompactRevision}
		}
		if err := resp.Err(); err != nil {
			return mapped(err)
		}
		batch, ok := batchOf(&resp, st.lean)
		if !ok {
			return storage.ErrCompacted
		}
		if batch.Progress == 0 {
			continue
		}
		select {
		case out <- batch:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return errors.New("the client has been closed")
}

// batchOf converts a response. Only a progress notification says that everything up to its
// header's revision has been sent; events vouch for their own revision. complete is false if
// what was before a change was wanted and has been compacted: etcd then leaves it out without
// a word.
func batchOf(resp *clientv3.WatchResponse, lean bool) (batch storage.Batch, complete bool) {
	if resp.IsProgressNotify() {
		return storage.Batch{Progress: resp.Header.Revision}, true
	}
	batch.Events = make([]storage.Event, len(resp.Events))
	for i, e := range resp.Events {
		ev := storage.Event{KV: kvOf(e.Kv), Created: e.IsCreate()}
		if e.Type == clientv3.EventTypeDelete {
			ev.Value = nil
		}
		switch {
		case e.PrevKv != nil:
			prev := kvOf(e.PrevKv)
			ev.Prev = &prev
		case !ev.Created && !lean:
			return storage.Batch{}, false
		}
		batch.Events[i] = ev
		batch.Progress = ev.Revision
	}
	return batch, true
}

// RequestProgress asks etcd how far the prefix's watches are.
func (s *Store) RequestProgress(ctx context.Context, prefix string) error {
	var failed error
	for _, st := range s.streamsOf(prefix) {
		// An error means that the watch has ended meanwhile, and tells its reader so itself; or that
		// who asks has no more time, and then the others need not be asked.
		if failed == nil {
			if err := s.ask(ctx, st); err != nil && ctx.Err() != nil {
				failed = fmt.Errorf("requesting progress: %w", err)
			}
		}
		st.asking.Done()
	}
	return failed
}

func (s *Store) ask(ctx context.Context, st *stream) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer st.whenEnded(cancel)()
	return s.client.RequestProgress(clientv3.WithRequireLeader(st.on(ctx)))
}

// on returns the context with which the client finds the stream.
func (st *stream) on(ctx context.Context) context.Context {
	return metadata.AppendToOutgoingContext(ctx, streamHeader, st.name)
}

func (s *Store) enter(st *stream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.watches++
	st.name = strconv.FormatUint(s.watches, 10)
	s.streams[st] = struct{}{}
}

// exit returns when nobody asks for the stream's progress, nor will.
func (s *Store) exit(st *stream) {
	s.mu.Lock()
	delete(s.streams, st)
	s.mu.Unlock()
	st.asking.Wait()
}

// streamsOf returns the prefix's streams, each marked as being asked.
func (s *Store) streamsOf(prefix string) (streams []*stream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for st := range s.streams {
		if st.prefix == prefix {
			st.asking.Add(1)
			streams = append(streams, st)
		}
	}
	return streams
}
