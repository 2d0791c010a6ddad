// Package apiservertest runs a whole API server inside a test: memory store, no network,
// clock of the test's choice. It works inside a testing/synctest bubble.
package apiservertest

import (
	"testing"

	"github.com/miniorch/miniorch/apiserver"
)

// Option changes the server's configuration before it starts.
type Option func(*apiserver.Config)

// Start returns a server that is ready; it is stopped when the test ends.
func Start(t testing.TB, opts ...Option) *apiserver.Server {
	t.Helper()
	panic("stub")
}
