package hollow

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/miniorch/miniorch/pkg/api"
	"github.com/miniorch/miniorch/pkg/client"
)

// slow takes a second for each call and remembers how many there were at once.
type slow struct {
	client.Transport
	mu        sync.Mutex
	now, most int // guarded by mu
}

func (s *slow) Get(context.Context, client.Request, metav1.GetOptions) (api.Object, error) {
	s.mu.Lock()
	s.now++
	s.most = max(s.most, s.now)
	s.mu.Unlock()
	time.Sleep(time.Second)
	s.mu.Lock()
	s.now--
	s.mu.Unlock()
	return nil, nil
}

func TestCallersTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &slow{}
		transport := takeTurns(server)
		var all sync.WaitGroup
		for range 3 * atOnce {
			all.Go(func() {
				if _, err := transport.Get(t.Context(), client.Request{}, metav1.GetOptions{}); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait() // all turns are taken
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if _, err := transport.Get(ctx, client.Request{}, metav1.GetOptions{}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a caller that gave up waiting: %v", err)
		}
		all.Wait()
		if server.most != atOnce {
			t.Errorf("%d calls at once, want %d", server.most, atOnce)
		}
	})
}
