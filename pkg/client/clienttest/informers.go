// Package clienttest holds what tests of API clients need: informers that notice when a
// shared object is changed, and a small API server stand-in for components that cannot
// import the real one.
package clienttest

import (
	"context"
	"testing"

	"github.com/miniorch/miniorch/pkg/client"
)

// NewInformers returns informers that fail t when anybody changes an object they share. The
// caller runs them, or uses RunInformers.
func NewInformers(t testing.TB, transport client.Transport) *client.Informers {
	t.Helper()
	return NewInformersWith(t, transport, client.Config{})
}

// NewInformersWith is NewInformers with a configuration.
func NewInformersWith(t testing.TB, transport client.Transport, cfg client.Config) *client.Informers {
	t.Helper()
	cfg.DetectMutations = true
	cfg.OnMutation = func(report string) { t.Errorf("%s", report) }
	return client.NewInformers(transport, cfg)
}

// RunInformers runs f until the test ends, and returns when every informer asked for so
// far is synced.
func RunInformers(t testing.TB, f *client.Informers) {
	t.Helper()
	Run(t, f.Run)
	if err := f.WaitForSync(t.Context()); err != nil {
		t.Fatalf("informers did not sync: %v", err)
	}
}

// Run calls run in the background until the test ends, and then waits for it to return.
func Run(t testing.TB, run func(context.Context) error) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := run(ctx); err != nil && ctx.Err() == nil {
			t.Errorf("Run: %v", err)
		}
	}()
	t.Cleanup(func() {
		stop()
		<-ended
	})
}
