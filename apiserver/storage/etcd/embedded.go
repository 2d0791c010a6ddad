package etcd

import (
	"context"
	"log/slog"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// TLSFiles name the files of one side of a TLS connection.
type TLSFiles struct{ Cert, Key, CA string }

// EmbeddedConfig describes one etcd member that runs in this process. Only DataDir is
// required: then it is a cluster of one that listens on unix sockets in DataDir.
type EmbeddedConfig struct {
	DataDir string
	Name    string // default "default"

	// For a cluster of several members: where peers reach this one, and all of them.
	PeerListen, PeerAdvertise []string          // URLs
	InitialCluster            map[string]string // name → peer URLs, comma separated
	Join                      bool              // the cluster exists already
	PeerTLS                   TLSFiles

	// ClientListen are URLs for other processes (the other masters, etcdctl). Empty: none.
	ClientListen []string
	ClientTLS    TLSFiles

	QuotaBytes   int64         // default 4 GiB
	CompactEvery time.Duration // history that is kept at least; default 5 minutes
	NoSync       bool          // do not wait for the disk: only for tests and benchmarks
	Logger       *slog.Logger
}

// Embedded is a running etcd member.
type Embedded struct{}

// StartEmbedded starts a member and returns when it serves.
func StartEmbedded(ctx context.Context, cfg EmbeddedConfig) (*Embedded, error) { panic("stub") }

// Client returns the in-process client. It ends with Close.
func (e *Embedded) Client() *clientv3.Client { panic("stub") }

// Err delivers the error with which the member failed, if it does.
func (e *Embedded) Err() <-chan error { panic("stub") }

// Defragment gives freed space back to the file system. Writes wait while it runs.
func (e *Embedded) Defragment(ctx context.Context) error { panic("stub") }

// Close stops the member.
func (e *Embedded) Close() error { panic("stub") }

// DialExternal connects to a cluster that somebody else runs. The files may be empty
// for plain endpoints.
func DialExternal(endpoints []string, certFile, keyFile, caFile string) (*clientv3.Client, error) {
	panic("stub")
}
