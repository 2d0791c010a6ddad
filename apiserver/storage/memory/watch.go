package memory

import (
	"context"
	"sort"
	"strings"

	"github.com/miniorch/miniorch/apiserver/storage"
)

// batchSize bounds the events of one batch, but that those of one revision stay together.
const batchSize = 512

// watch is one reader of the log.
type watch struct {
	prefix   string
	woken    chan struct{} // holds one token while there may be something to read
	position int64         // guarded by Store.mu: everything up to here has been read
	asked    bool          // guarded by Store.mu: progress was requested
}

func (w *watch) wake() {
	select {
	case w.woken <- struct{}{}:
	default:
	}
}

// Watch streams the changes below prefix after a revision.
func (s *Store) Watch(ctx context.Context, prefix string, after int64) <-chan storage.Batch {
	out := make(chan storage.Batch)
	w := &watch{prefix: prefix, position: after, woken: make(chan struct{}, 1)}
	s.mu.Lock()
	s.watches[w] = struct{}{}
	s.mu.Unlock()
	w.wake()
	go func() {
		defer close(out)
		defer func() {
			s.mu.Lock()
			delete(s.watches, w)
			s.mu.Unlock()
		}()
		s.feed(ctx, w, out)
	}()
	return out
}

// feed sends what w has not read yet, each time that it is woken.
func (s *Store) feed(ctx context.Context, w *watch, out chan<- storage.Batch) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.woken:
		}
		for {
			batch, any := s.read(w)
			if !any {
				break
			}
			select {
			case <-ctx.Done():
				return
			case out <- batch:
			}
			if batch.Err != nil {
				return
			}
		}
	}
}

// read takes the next batch out of the log; any is false when there is nothing to tell.
func (s *Store) read(w *watch) (batch storage.Batch, any bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if w.position+1 < s.compacted {
		return storage.Batch{Err: &storage.CompactedError{Oldest: s.compacted}}, true
	}
	i := sort.Search(len(s.log), func(i int) bool { return s.log[i].Revision > w.position })
	for ; i < len(s.log) && (len(batch.Events) < batchSize || s.log[i].Revision == w.position); i++ {
		if strings.HasPrefix(s.log[i].Key, w.prefix) {
			batch.Events = append(batch.Events, s.log[i])
		}
		w.position = s.log[i].Revision
	}
	batch.Progress = w.position
	// A watch from the future has not seen the present: it has no progress to report.
	if caughtUp := i == len(s.log); caughtUp && w.position <= s.revision {
		asked := w.asked
		w.asked = false
		return batch, asked || len(batch.Events) > 0
	}
	return batch, len(batch.Events) > 0
}

// RequestProgress makes the prefix's watches report how far they are.
func (s *Store) RequestProgress(ctx context.Context, prefix string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for w := range s.watches {
		if w.prefix == prefix {
			w.asked = true
			w.wake()
		}
	}
	return nil
}
