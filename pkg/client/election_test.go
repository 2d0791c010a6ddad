package client_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/miniorch/miniorch/pkg/api"
	"github.com/miniorch/miniorch/pkg/client"
	"github.com/miniorch/miniorch/pkg/client/clienttest"
)

// reigns notes who leads when, in seconds of virtual time.
type reigns struct {
	mu    sync.Mutex
	began time.Time
	log   []string
}

func (r *reigns) note(what string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.log = append(r.log, time.Since(r.began).Round(time.Second).String()+" "+what)
}

func (r *reigns) stand(tr client.Transport, id string) func(context.Context) error {
	e := client.Election{Transport: tr, Name: "l", Identity: id}
	return func(ctx context.Context) error {
		return e.Run(ctx, func(ctx context.Context) error {
			r.note(id + " leads")
			<-ctx.Done()
			r.note(id + " stops")
			return ctx.Err()
		})
	}
}

func (r *reigns) expect(t *testing.T, want ...string) {
	t.Helper()
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	if diff := cmp.Diff(want, r.log); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestElectionHandsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, r := clienttest.NewServer(t), &reigns{began: time.Now()}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- r.stand(s, "a")(ctx) }()
		synctest.Wait()
		clienttest.Run(t, r.stand(s, "b"))
		time.Sleep(time.Minute)
		stop()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("Run: %v", err)
		}
		time.Sleep(time.Second) // far less than a lease lasts: it was given back
		r.expect(t, "0s a leads", "1m0s a stops", "1m0s b leads")
	})
}

// cutOff is a transport that can lose its server.
type cutOff struct {
	client.Transport
	mu  sync.Mutex
	cut bool
}

func (c *cutOff) set(cut bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cut = cut
}

func (c *cutOff) Get(ctx context.Context, req client.Request, opts metav1.GetOptions) (api.Object, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cut {
		return nil, apierrors.NewServiceUnavailable("cut off")
	}
	return c.Transport.Get(ctx, req, opts)
}

func TestElectionOfTheReachable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, r := clienttest.NewServer(t), &reigns{began: time.Now()}
		a := &cutOff{Transport: s}
		clienttest.Run(t, r.stand(a, "a"))
		synctest.Wait()
		clienttest.Run(t, r.stand(s, "b"))
		time.Sleep(11 * time.Second) // renewed at 5 s and 10 s
		a.set(true)
		time.Sleep(19 * time.Second)
		a.set(false)
		time.Sleep(time.Minute)
		// a gives up before its lease runs out by b's clock; then b keeps the lead.
		r.expect(t, "0s a leads", "20s a stops", "25s b leads")
	})
}

func TestElectionEndsWithItsWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken := errors.New("broken")
		e := client.Election{Transport: clienttest.NewServer(t), Name: "l", Identity: "a"}
		err := e.Run(t.Context(), func(context.Context) error { return broken })
		if !errors.Is(err, broken) {
			t.Errorf("Run: %v", err)
		}
	})
}
