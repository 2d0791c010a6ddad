package kv

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"sync"
	"time"
)

// Load writes and reads all the time and finds out whether the store keeps its promise: the values
// of a key are its writer's counter, so one that goes back is a write that was lost.
type Load struct {
	Client   *Client
	Prefix   string // of its keys, which nobody else may write
	Writers  int    // each has Keys keys of its own
	Keys     int
	Interval time.Duration // between two writes of one writer
	Every    time.Duration // how often Out is told
	Out      io.Writer

	mu    sync.Mutex
	count Count // guarded by mu
}

// Count is what a Load has seen so far.
type Count struct {
	Acknowledged, Failed int // writes
	Read, Unread         int // reads, and those without an answer
	Lost                 int // reads that did not give what they had to
}

// String is one line, as it is printed.
func (c Count) String() string {
	return fmt.Sprintf("writes: %d acknowledged, %d failed; reads: %d answered, %d failed; lost: %d", c.Acknowledged, c.Failed, c.Read, c.Unread, c.Lost)
}

// Run goes on until ctx ends, then reads all keys once more. An error says what was lost.
func (l *Load) Run(ctx context.Context) error {
	var working sync.WaitGroup
	writers := make([]*writer, l.Writers)
	for i := range writers {
		writers[i] = &writer{load: l, prefix: fmt.Sprintf("%s%d-", l.Prefix, i), keys: make([]bounds, l.Keys)}
		working.Go(func() { writers[i].run(ctx) })
	}
	tick := time.NewTicker(l.Every)
	defer tick.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-tick.C:
			fmt.Fprintln(l.Out, l.Count())
		}
	}
	working.Wait()
	missing := 0
	for _, w := range writers {
		missing += w.readAll(context.WithoutCancel(ctx))
	}
	count := l.Count()
	fmt.Fprintln(l.Out, "end:", count)
	if count.Lost > 0 || missing > 0 {
		return fmt.Errorf("%d acknowledged writes were lost, %d keys could not be read at the end", count.Lost, missing)
	}
	return nil
}

// Count returns what was seen so far.
func (l *Load) Count() Count {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.count
}

func (l *Load) add(change func(*Count)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change(&l.count)
}

// writer is the only one that writes its keys, and reads them as well.
type writer struct {
	load   *Load
	prefix string
	keys   []bounds
}

// bounds say what reading a key may give: what was acknowledged or read before at least, and at most
// the last write that was tried.
type bounds struct{ known, tried int }

func (w *writer) run(ctx context.Context) {
	for i := 0; ctx.Err() == nil; i++ {
		w.write(ctx, i%len(w.keys))
		w.read(ctx, (i+len(w.keys)/2)%len(w.keys))
		select {
		case <-ctx.Done():
		case <-time.After(w.load.Interval):
		}
	}
}

func (w *writer) write(ctx context.Context, i int) {
	k := &w.keys[i]
	k.tried++
	if _, err := w.load.Client.Put(ctx, w.key(i), strconv.Itoa(k.tried)); err != nil {
		w.load.add(func(c *Count) { c.Failed++ })
		return
	}
	k.known = k.tried
	w.load.add(func(c *Count) { c.Acknowledged++ })
}

// read reports whether there was an answer.
func (w *writer) read(ctx context.Context, i int) bool {
	k := &w.keys[i]
	record, err := w.load.Client.Get(ctx, w.key(i))
	if err != nil {
		w.load.add(func(c *Count) { c.Unread++ })
		return false
	}
	value, err := strconv.Atoi("0" + record.Value) // "" before the first write
	if err != nil || value < k.known || value > k.tried {
		fmt.Fprintf(w.load.Out, "LOST: %s is %q, want %d to %d\n", w.key(i), record.Value, k.known, k.tried)
		w.load.add(func(c *Count) { c.Lost++ })
	}
	k.known = max(k.known, value)
	w.load.add(func(c *Count) { c.Read++ })
	return true
}

// readAll reads all keys, a few times where there is no majority, and reports how many remain unread.
func (w *writer) readAll(ctx context.Context) (missing int) {
	for i := range w.keys {
		tries := 10
		for tries > 0 && !w.read(ctx, i) {
			tries--
		}
		if tries == 0 {
			missing++
		}
	}
	return missing
}

func (w *writer) key(i int) string { return w.prefix + strconv.Itoa(i) }
