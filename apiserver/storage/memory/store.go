// Package memory is a storage.Store in memory, for tests, simulation and labs.
package memory

import "github.com/miniorch/miniorch/apiserver/storage"

// Config bounds a Store. Zero fields have defaults.
type Config struct {
	// History is how many changes are kept for watches and lists at earlier revisions. Default 65536.
	History int
	// WatchBuffer is how many changes a watch may lag behind before it ends with an error. Default 4096.
	WatchBuffer int
}

// New returns an empty store at revision 1.
func New(cfg Config) storage.Store { panic("stub") }
