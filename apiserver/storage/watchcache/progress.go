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
	if c.Revision() >= rev {
		return nil
	}
	if err := c.await(ctx, rev); err != nil {
		return fmt.Errorf("waiting for revision %d of %s at %d: %w", rev, c.cfg.Prefix, c.Revision(), err)
	}
	return nil
}

func (c *Cache) await(ctx context.Context, rev int64) error {
	// Each waiter asks once, because the answer to those before it may be older than rev,
	// and then again only after a while: the store's answer may be that rev is yet to come.
	asked := false
	retry := c.cfg.Clock.NewTicker(progressRetry)
	defer retry.Stop()
	for {
		advanced, err := c.nextAdvance(rev)
		if advanced == nil || err != nil {
			return err
		}
		if !asked && c.progress.mayAsk() {
			asked = true
			if err := c.store.RequestProgress(ctx, c.cfg.Prefix); err != nil {
				c.progress.answered()
				return err
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-advanced:
		case <-retry.C():
			c.progress.answered() // lost, or not answerable yet
			asked = false
		}
	}
}

// nextAdvance returns the channel that is closed at the store's next word; nil if rev has
// been reached meanwhile.
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
