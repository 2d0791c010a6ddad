package client

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"time"

	"k8s.io/utils/clock"
)

// Config holds what is injected into the parts of this package that run: time, chance
// and logging. Zero fields have defaults.
type Config struct {
	Clock  clock.WithTicker // default: the real clock
	Logger *slog.Logger     // default: slog.Default()
	Rand   func() float64   // in [0,1), for back-off jitter; default: math/rand

	// DetectMutations makes informers keep a private copy of every object and compare it
	// with the shared one when the object is replaced and when Run ends. For tests: it
	// doubles the memory.
	DetectMutations bool
	// OnMutation is told what was changed. Nil: panic.
	OnMutation func(report string)
}

func (c Config) withDefaults() Config {
	if c.Clock == nil {
		c.Clock = clock.RealClock{}
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.Rand == nil {
		c.Rand = rand.Float64
	}
	return c
}

// sleep waits for d by clock c; false means that ctx ended first.
func sleep(ctx context.Context, c clock.WithTicker, d time.Duration) bool {
	t := c.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C():
		return true
	case <-ctx.Done():
		return false
	}
}

// backoff is an exponential delay with jitter. It is a value: one per retry loop.
type backoff struct {
	min, max time.Duration
	rand     func() float64
	next     time.Duration
}

// Next returns the delay before the next try: between half and one and a half times the
// current step, which doubles up to max.
func (b *backoff) Next() time.Duration {
	if b.next == 0 {
		b.next = b.min
	}
	d := b.next/2 + time.Duration(b.rand()*float64(b.next))
	b.next = min(2*b.next, b.max)
	return d
}

// Reset starts again from min.
func (b *backoff) Reset() { b.next = 0 }
