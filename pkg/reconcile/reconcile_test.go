package reconcile

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/miniorch/miniorch/pkg/client"
	"github.com/miniorch/miniorch/pkg/client/clienttest"
)

type reconcileFunc func(context.Context, Key) (Result, error)

func (f reconcileFunc) Reconcile(ctx context.Context, key Key) (Result, error) { return f(ctx, key) }

func half() float64 { return 0.5 } // jitter that leaves delays as they are

func key(name string) Key { return Key{Namespace: "d", Name: name} }

// calls notes when each reconcile happened, in virtual time since the test began.
type calls struct {
	mu    sync.Mutex
	began time.Time
	at    map[string][]time.Duration
}

func newCalls() *calls { return &calls{began: time.Now(), at: map[string][]time.Duration{}} }

func (c *calls) note(k Key) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at[k.Name] = append(c.at[k.Name], time.Since(c.began))
	return len(c.at[k.Name])
}

func (c *calls) expect(t *testing.T, name string, want ...time.Duration) {
	t.Helper()
	synctest.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	if !slices.Equal(c.at[name], want) {
		t.Errorf("%s was reconciled at %v, want %v", name, c.at[name], want)
	}
}

func TestRetries(t *testing.T) {
	const ms = time.Millisecond
	conflict := apierrors.NewConflict(schema.GroupResource{Resource: "pods"}, "a", errors.New("modified"))
	tests := []struct {
		name, reason string
		do           func(n int) (Result, error)
		want         []time.Duration
	}{
		{"success", "nothing is asked for afterwards", func(int) (Result, error) { return Result{}, nil }, []time.Duration{0}},
		{"failure", "delays double: 10, 20, 40 up to 50", func(n int) (Result, error) {
			if n < 6 {
				return Result{}, errors.New("no")
			}
			return Result{}, nil
		}, []time.Duration{0, 10 * ms, 30 * ms, 70 * ms, 120 * ms, 170 * ms}},
		{"conflict", "is retried like a failure", func(n int) (Result, error) {
			if n < 2 {
				return Result{}, conflict
			}
			return Result{}, nil
		}, []time.Duration{0, 10 * ms}},
		{"panic", "is an error, not a crash", func(n int) (Result, error) {
			if n < 2 {
				panic("oh")
			}
			return Result{}, nil
		}, []time.Duration{0, 10 * ms}},
		{"after", "looks again when asked to", func(n int) (Result, error) {
			if n < 3 {
				return Result{After: time.Second}, nil
			}
			return Result{}, nil
		}, []time.Duration{0, time.Second, 2 * time.Second}},
		{"after and error", "the back-off counts, not After", func(n int) (Result, error) {
			if n < 2 {
				return Result{After: time.Hour}, errors.New("no")
			}
			return Result{}, nil
		}, []time.Duration{0, 10 * ms}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				seen := newCalls()
				l := New("test", reconcileFunc(func(_ context.Context, k Key) (Result, error) { return tt.do(seen.note(k)) }),
					Config{Rand: half, MinBackoff: 10 * ms, MaxBackoff: 50 * ms})
				l.Enqueue(key("a"))
				clienttest.Run(t, l.Run)
				time.Sleep(time.Minute)
				seen.expect(t, "a", tt.want...)
			})
		})
	}
}

func TestOneKeyOneWorker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		busy, most, total := map[Key]int{}, 0, 0
		l := New("test", reconcileFunc(func(_ context.Context, k Key) (Result, error) {
			mu.Lock()
			busy[k]++
			total++
			if busy[k] > 1 {
				t.Errorf("%v is reconciled by two workers", k)
			}
			most = max(most, len(busy))
			mu.Unlock()
			time.Sleep(time.Second)
			mu.Lock()
			if busy[k]--; busy[k] == 0 {
				delete(busy, k)
			}
			mu.Unlock()
			return Result{}, nil
		}), Config{Workers: 4})
		clienttest.Run(t, l.Run)
		for range 3 { // while the first round is being reconciled the rest adds up to one more
			for i := range 4 {
				l.Enqueue(key(fmt.Sprint(i)))
			}
			synctest.Wait()
		}
		time.Sleep(time.Minute)
		mu.Lock()
		defer mu.Unlock()
		if most != 4 || total != 8 {
			t.Errorf("%d keys at a time and %d reconciles, want 4 and 8", most, total)
		}
	})
}

func TestDelays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seen := newCalls()
		l := New("test", reconcileFunc(func(_ context.Context, k Key) (Result, error) { seen.note(k); return Result{}, nil }), Config{})
		clienttest.Run(t, l.Run)
		l.EnqueueAfter(key("late"), 3*time.Second)
		l.EnqueueAfter(key("late"), 2*time.Second) // the earlier counts
		l.EnqueueAfter(key("later"), 4*time.Second)
		time.Sleep(time.Minute)
		seen.expect(t, "late", 2*time.Second)
		seen.expect(t, "later", 4*time.Second)
		if len(l.queue.keys) != 0 {
			t.Errorf("the queue still knows %v", l.queue.keys)
		}
	})
}

func TestRunWaitsForWorkers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended := false
		l := New("test", reconcileFunc(func(ctx context.Context, _ Key) (Result, error) {
			<-ctx.Done()
			time.Sleep(time.Second)
			ended = true
			return Result{}, ctx.Err()
		}), Config{})
		l.Enqueue(key("a"))
		ctx, stop := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, stop)
		if err := l.Run(ctx); !errors.Is(err, context.Canceled) || !ended {
			t.Errorf("Run returned %v; reconcile ended: %v", err, ended)
		}
	})
}

func TestWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := clienttest.NewServer(t, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "d", Name: "a"}})
		f := clienttest.NewInformers(t, s)
		seen := newCalls()
		l := New("test", reconcileFunc(func(_ context.Context, k Key) (Result, error) { seen.note(k); return Result{}, nil }), Config{})
		Watch(l, client.InformerFor[*corev1.ConfigMap](f), KeyOf)
		clienttest.RunInformers(t, f)
		clienttest.Run(t, l.Run)
		synctest.Wait()
		time.Sleep(time.Second)
		if err := client.Of[*corev1.ConfigMap](s).Delete(t.Context(), "d", "a", metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		seen.expect(t, "a", 0, time.Second)
	})
}

func TestExpectations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, k := NewExpectations(nil), key("rs")
		check := func(want bool, reason string) {
			t.Helper()
			if e.Satisfied(k) != want {
				t.Errorf("Satisfied is %v: %s", !want, reason)
			}
		}
		check(true, "nothing is expected")
		e.ExpectCreations(k, 2)
		e.Created(k)
		check(false, "one of two was seen")
		e.Created(k)
		check(true, "both were seen")
		e.Created(k)
		check(true, "an unexpected child is nothing to wait for")
		e.ExpectDeletions(k, "u1", "u2")
		e.Deleted(k, "u1")
		e.Deleted(k, "u1")
		check(false, "u2 was not seen to go; u1 twice does not count")
		e.Deleted(k, "u2")
		check(true, "both are gone")
		e.ExpectCreations(k, 1)
		time.Sleep(expectationsTTL)
		check(true, "what was not seen for so long will not come")
		e.ExpectCreations(k, 1)
		e.Created(k)
		check(true, "the expired one does not count any more")
		e.ExpectCreations(k, 1)
		e.Forget(k)
		check(true, "the key is gone")
	})
}
