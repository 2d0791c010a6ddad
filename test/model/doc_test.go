// Package model plays random clients against a real API server over HTTPS, lets the server
// restart and the store compact its history meanwhile, and holds everything that the clients were
// told against a model of what the API promises.
//
// The store's own history is the truth: every change of it must be what the model makes of the
// state before it by one of the requests that were sent, and every answer, refusal, list and
// watch must follow from it. `go test ./test/model` plays a few seeds; with -forever it goes on,
// from -seed, until something is wrong.
package model

import (
	"testing"

	"github.com/miniorch/miniorch/pkg/leaktest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }
