// Package apiservertest runs a whole API server inside a test: memory store, no network,
// clock of the test's choice. It works inside a testing/synctest bubble.
package apiservertest

import (
	"context"
	"log/slog"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/miniorch/miniorch/apiserver"
	"github.com/miniorch/miniorch/apiserver/auth"
	"github.com/miniorch/miniorch/apiserver/storage"
	"github.com/miniorch/miniorch/apiserver/storage/memory"
	"github.com/miniorch/miniorch/pkg/client"
)

// Option changes the server before it starts.
type Option func(*options)

type options struct {
	store    storage.Store
	config   apiserver.Config
	accounts bool
}

// WithConfig lets the test set fields of the server's configuration.
func WithConfig(set func(*apiserver.Config)) Option {
	return func(o *options) { set(&o.config) }
}

// WithStore runs the server over store instead of a new one in memory.
func WithStore(store storage.Store) Option {
	return func(o *options) { o.store = store }
}

// WithoutServiceAccount leaves out the service account default/default, which Start makes
// otherwise because no pod can be created without one and the controller that makes
// them does not run here.
func WithoutServiceAccount() Option {
	return func(o *options) { o.accounts = false }
}

// Start returns a server that is ready; it is stopped when the test ends.
func Start(t testing.TB, opts ...Option) *apiserver.Server {
	t.Helper()
	o := options{accounts: true}
	o.config.Logger = slog.New(slog.DiscardHandler)
	for _, opt := range opts {
		opt(&o)
	}
	if o.store == nil {
		o.store = memory.New(memory.Config{})
	}
	server, err := apiserver.New(o.store, o.config)
	if err != nil {
		t.Fatalf("making the API server: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the API server ended with: %v", err)
		}
	})
	select {
	case <-server.Ready():
	case err := <-ended:
		ended <- nil
		t.Fatalf("the API server did not start: %v", err)
	}
	if o.accounts {
		AddServiceAccount(t, server, metav1.NamespaceDefault)
	}
	return server
}

// AddServiceAccount makes the service account "default" in a namespace.
func AddServiceAccount(t testing.TB, server *apiserver.Server, namespace string) {
	t.Helper()
	accounts := client.Of[*corev1.ServiceAccount](server.Client(auth.Admin()))
	_, err := accounts.Create(context.Background(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "default"}})
	if err != nil {
		t.Fatalf("making the service account %s/default: %v", namespace, err)
	}
}
