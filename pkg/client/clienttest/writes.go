package clienttest

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/miniorch/miniorch/pkg/api"
	"github.com/miniorch/miniorch/pkg/client"
)

// writes is a transport with somebody between it and its writes.
type writes struct {
	client.Transport
	guard func(do func() error) error
}

// Create asks the guard.
func (w writes) Create(ctx context.Context, req client.Request, obj api.Object, opts metav1.CreateOptions) (made api.Object, err error) {
	err = w.guard(func() error { made, err = w.Transport.Create(ctx, req, obj, opts); return err })
	return made, err
}

// Update asks the guard.
func (w writes) Update(ctx context.Context, req client.Request, obj api.Object, opts metav1.UpdateOptions) (made api.Object, err error) {
	err = w.guard(func() error { made, err = w.Transport.Update(ctx, req, obj, opts); return err })
	return made, err
}

// Patch asks the guard.
func (w writes) Patch(ctx context.Context, req client.Request, pt types.PatchType, data []byte, opts metav1.PatchOptions) (made api.Object, err error) {
	err = w.guard(func() error { made, err = w.Transport.Patch(ctx, req, pt, data, opts); return err })
	return made, err
}

// Delete asks the guard.
func (w writes) Delete(ctx context.Context, req client.Request, opts metav1.DeleteOptions) error {
	return w.guard(func() error { return w.Transport.Delete(ctx, req, opts) })
}

// errKilled is what a dying process hears last.
var errKilled = errors.New("killed")

// Mortal is a transport whose process dies at its n-th write: either the write is not made, or
// nobody hears that it was.
type Mortal struct {
	writes
	after bool // the last write is made
	died  chan struct{}

	mu   sync.Mutex
	left int // guarded by mu: writes until death; negative: none comes
}

// NewMortal returns a transport that dies at the left-th write, after or before it is made. A
// negative number never comes.
func NewMortal(t client.Transport, left int, after bool) *Mortal {
	m := &Mortal{after: after, died: make(chan struct{}), left: left}
	m.writes = writes{t, m.write}
	return m
}

// Died is closed at the death.
func (m *Mortal) Died() <-chan struct{} { return m.died }

// IsDead tells whether the death has come.
func (m *Mortal) IsDead() bool {
	select {
	case <-m.died:
		return true
	default:
		return false
	}
}

// write makes a write, or dies before or after it.
func (m *Mortal) write(do func() error) error {
	m.mu.Lock()
	dead := m.IsDead()
	m.left--
	fatal := m.left == 0 && !dead
	if fatal {
		close(m.died)
	}
	m.mu.Unlock()
	if dead || fatal && !m.after {
		return errKilled
	}
	err := do()
	if fatal {
		return errKilled
	}
	return err
}

// NewFlaky returns a transport whose writes fail with this probability; of half of those that
// fail the server made them and nobody heard. At most bound fail.
func NewFlaky(t client.Transport, probability float64, bound int, chance *rand.Rand) client.Transport {
	var mu sync.Mutex
	return writes{t, func(do func() error) error {
		mu.Lock()
		fails, lost := bound > 0 && chance.Float64() < probability, chance.IntN(2) == 0
		if fails {
			bound--
		}
		mu.Unlock()
		switch {
		case !fails:
			return do()
		case lost:
			_ = do()
		}
		return errors.New("the connection broke")
	}}
}

// NewPausing returns a transport whose process is paused before a write with this probability, for
// up to a time: what was read before is older then. At most bound pauses are made.
func NewPausing(t client.Transport, probability float64, longest time.Duration, bound int, chance *rand.Rand) client.Transport {
	var mu sync.Mutex
	return writes{t, func(do func() error) error {
		mu.Lock()
		pause := time.Duration(0)
		if bound > 0 && chance.Float64() < probability {
			bound--
			pause = time.Duration(chance.Float64() * float64(longest))
		}
		mu.Unlock()
		time.Sleep(pause)
		return do()
	}}
}
