package hollow

import (
	"context"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/miniorch/miniorch/pkg/api"
	"github.com/miniorch/miniorch/pkg/client"
)

// atOnce is how many calls of all simulated nodes together are on their way at a time. More
// would only wait in the API server, where each costs a goroutine and its buffers.
const atOnce = 64

// turns is a Transport on which callers wait for their turn. Watches are not counted.
type turns struct {
	client.Transport
	taken chan struct{}
}

func takeTurns(t client.Transport) client.Transport {
	return turns{Transport: t, taken: make(chan struct{}, atOnce)}
}

// take waits for a turn and returns how to give it back.
func (t turns) take(ctx context.Context) (done func(), err error) {
	select {
	case t.taken <- struct{}{}:
		return func() { <-t.taken }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func inTurn[T any](ctx context.Context, t turns, call func() (T, error)) (T, error) {
	done, err := t.take(ctx)
	if err != nil {
		var zero T
		return zero, err
	}
	defer done()
	return call()
}

// Get takes its turn.
func (t turns) Get(ctx context.Context, req client.Request, opts metav1.GetOptions) (api.Object, error) {
	return inTurn(ctx, t, func() (api.Object, error) { return t.Transport.Get(ctx, req, opts) })
}

// List takes its turn.
func (t turns) List(ctx context.Context, req client.Request, opts metav1.ListOptions) (*client.List, error) {
	return inTurn(ctx, t, func() (*client.List, error) { return t.Transport.List(ctx, req, opts) })
}

// Create takes its turn.
func (t turns) Create(ctx context.Context, req client.Request, obj api.Object, opts metav1.CreateOptions) (api.Object, error) {
	return inTurn(ctx, t, func() (api.Object, error) { return t.Transport.Create(ctx, req, obj, opts) })
}

// Update takes its turn.
func (t turns) Update(ctx context.Context, req client.Request, obj api.Object, opts metav1.UpdateOptions) (api.Object, error) {
	return inTurn(ctx, t, func() (api.Object, error) { return t.Transport.Update(ctx, req, obj, opts) })
}

// Patch takes its turn.
func (t turns) Patch(ctx context.Context, req client.Request, pt types.PatchType, data []byte, opts metav1.PatchOptions) (api.Object, error) {
	return inTurn(ctx, t, func() (api.Object, error) { return t.Transport.Patch(ctx, req, pt, data, opts) })
}

// Delete takes its turn.
func (t turns) Delete(ctx context.Context, req client.Request, opts metav1.DeleteOptions) error {
	done, err := t.take(ctx)
	if err != nil {
		return err
	}
	defer done()
	return t.Transport.Delete(ctx, req, opts)
}

// DeleteCollection takes its turn.
func (t turns) DeleteCollection(ctx context.Context, req client.Request, opts metav1.DeleteOptions, list metav1.ListOptions) error {
	done, err := t.take(ctx)
	if err != nil {
		return err
	}
	defer done()
	return t.Transport.DeleteCollection(ctx, req, opts, list)
}
