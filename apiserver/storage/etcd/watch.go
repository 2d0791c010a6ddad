package etcd

import (
	"context"
	"errors"
	"fmt"

	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/metadata"

	"github.com/miniorch/miniorch/apiserver/storage"
)

// Watches share streams to etcd, so that one request asks for the progress of all. But
// etcd answers it only when every watch of the stream has caught up: a watch that begins
// far in the past gets a stream of its own, or it would hold up the others' consistent reads.
const (
	streamHeader = "miniorch-watch-stream" // the client has a stream for each combination of headers
	liveStream   = "live"
	farBehind    = 1000 // revisions
)

// Watch streams the changes below prefix after a revision.
func (s *Store) Watch(ctx context.Context, prefix string, after int64) <-chan storage.Batch {
	out := make(chan storage.Batch)
	stream := s.enter(after)
	go func() {
		defer close(out)
		defer s.exit(stream)
		err := s.relay(inStream(ctx, stream), prefix, after, out)
		if ctx.Err() != nil {
			return
		}
		select {
		case out <- storage.Batch{Err: fmt.Errorf("watching %s: %w", prefix, err)}:
		case <-ctx.Done():
		}
	}()
	return out
}

// relay runs one etcd watch and returns why it ended.
func (s *Store) relay(ctx context.Context, prefix string, after int64, out chan<- storage.Batch) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	// A member that is cut off from its leader must say so instead of staying silent.
	ctx = clientv3.WithRequireLeader(ctx)
	opts := []clientv3.OpOption{
		clientv3.WithRev(after + 1), clientv3.WithPrevKV(), clientv3.WithProgressNotify(), clientv3.WithFragment(),
	}
	if prefix == "" {
		opts = append(opts, clientv3.WithFromKey())
		prefix = "\x00"
	} else {
		opts = append(opts, clientv3.WithPrefix())
	}
	for resp := range s.client.Watch(ctx, prefix, opts...) {
		if resp.CompactRevision != 0 {
			return &storage.CompactedError{Oldest: resp.CompactRevision}
		}
		if err := resp.Err(); err != nil {
			return mapped(err)
		}
		batch := s.batchOf(&resp)
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
// header's revision has been sent; events vouch for their own revision.
func (s *Store) batchOf(resp *clientv3.WatchResponse) storage.Batch {
	s.saw(resp.Header.Revision)
	if resp.IsProgressNotify() {
		return storage.Batch{Progress: resp.Header.Revision}
	}
	batch := storage.Batch{Events: make([]storage.Event, len(resp.Events))}
	for i, e := range resp.Events {
		ev := storage.Event{KV: kvOf(e.Kv), Created: e.IsCreate()}
		if e.Type == clientv3.EventTypeDelete {
			ev.Value = nil
		}
		if e.PrevKv != nil {
			prev := kvOf(e.PrevKv)
			ev.Prev = &prev
		}
		batch.Events[i] = ev
		batch.Progress = ev.Revision
	}
	return batch
}

// RequestProgress asks etcd to tell all watches how far they are.
func (s *Store) RequestProgress(ctx context.Context) error {
	for _, stream := range s.openStreams() {
		if err := s.client.RequestProgress(clientv3.WithRequireLeader(inStream(ctx, stream))); err != nil {
			return fmt.Errorf("requesting progress: %w", mapped(err))
		}
	}
	return nil
}

func inStream(ctx context.Context, stream string) context.Context {
	return metadata.AppendToOutgoingContext(ctx, streamHeader, stream)
}

// enter chooses the stream of a watch.
func (s *Store) enter(after int64) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	stream := liveStream
	if after+farBehind < s.seen.Load() {
		s.past++
		stream = fmt.Sprintf("past-%d", s.past)
	}
	s.streams[stream]++
	return stream
}

func (s *Store) exit(stream string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.streams[stream]--; s.streams[stream] == 0 {
		delete(s.streams, stream)
	}
}

func (s *Store) openStreams() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	streams := make([]string, 0, len(s.streams))
	for stream := range s.streams {
		streams = append(streams, stream)
	}
	return streams
}
