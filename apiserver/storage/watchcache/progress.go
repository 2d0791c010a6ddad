package watchcache

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"
)

// progressRetry is how long a request for progress may stay unanswered: stores answer
// only when their watches have caught up.
const progressRetry = 20 * time.Millisecond

// progressAsker lets one of many waiters ask the store.
type progressAsker struct{ asked atomic.Bool }

func (p *progressAsker) mayAsk() bool { return p.asked.CompareAndSwap(false, true) }
func (p *progressAsker) answered()    { p.asked.Store(false) }

// WaitFor returns when the cache has reached the revision. A cache whose resource does not
// change learns of it by asking the store.
func (c *Cache) WaitFor(ctx context.Context, rev int64) error {
	for c.Revision() < rev {
		advanced, err := c.nextAdvance(rev)
		if err != nil {
			return err
		}
		if advanced == nil {
			return nil
		}
		if err := c.await(ctx, advanced); err != nil {
			return fmt.Errorf("waiting for revision %d of %s at %d: %w", rev, c.cfg.Prefix, c.Revision(), err)
		}
	}
	return nil
}

// nextAdvance returns the channel that is closed at the next progress; nil if rev has been
// reached meanwhile.
func (c *Cache) nextAdvance(rev int64) (chan struct{}, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopped {
		return nil, ErrStopped
	}
	if c.Revision() >= rev {
		return nil, nil
	}
	if c.advanced == nil {
		c.advanced = make(chan struct{})
	}
	return c.advanced, nil
}

func (c *Cache) await(ctx context.Context, advanced <-chan struct{}) error {
	if c.progress.mayAsk() {
		if err := c.store.RequestProgress(ctx, c.cfg.Prefix); err != nil {
			c.progress.answered()
			return err
		}
	}
	retry := c.cfg.Clock.NewTimer(progressRetry)
	defer retry.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-advanced:
	case <-retry.C():
		c.progress.answered() // lost, or not answerable yet: ask again
	}
	return nil
}
