// Package etcd is the storage.Store on etcd v3: an embedded member called in-process, or
// an external cluster.
package etcd

import (
	"log/slog"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/miniorch/miniorch/apiserver/storage"
)

// Config tunes a Store. Zero fields have defaults.
type Config struct {
	PageSize int64 // keys per request of a List, default 2000
	Logger   *slog.Logger
}

// New returns a store on the client. The caller closes the client after its last use.
func New(client *clientv3.Client, cfg Config) storage.Store { panic("stub") }
