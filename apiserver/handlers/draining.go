package handlers

import "context"

type drainingKey struct{}

// WithDraining returns a base context for requests in which long ones (watches, logs, exec)
// end as soon as draining does, while short ones go on until base ends. A server that
// shuts down would otherwise wait for watches that never end.
func WithDraining(base, draining context.Context) context.Context {
	return context.WithValue(base, drainingKey{}, draining)
}

// drained returns a context for a long request.
func drained(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	draining, ok := ctx.Value(drainingKey{}).(context.Context)
	if !ok {
		return ctx, cancel
	}
	stop := context.AfterFunc(draining, cancel)
	return ctx, func() { stop(); cancel() }
}
