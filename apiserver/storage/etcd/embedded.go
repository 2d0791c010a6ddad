package etcd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"sort"
	"strings"
	"time"

	"go.etcd.io/etcd/client/pkg/v3/transport"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/etcdserver"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3client"
)

// TLSFiles name the files of one side of a TLS connection. Peers and clients must
// present a certificate of CA.
type TLSFiles struct{ Cert, Key, CA string }

func (f TLSFiles) info() transport.TLSInfo {
	return transport.TLSInfo{CertFile: f.Cert, KeyFile: f.Key, TrustedCAFile: f.CA, ClientCertAuth: f.CA != ""}
}

// EmbeddedConfig describes one etcd member that runs in this process. Only DataDir is
// required: then it is a cluster of one that listens nowhere.
type EmbeddedConfig struct {
	DataDir string
	Name    string // default "miniorch"

	// For a cluster of several members: where peers reach this one, and all of them.
	PeerListen, PeerAdvertise []string            // URLs
	InitialCluster            map[string][]string // name → peer URLs, this member's among them
	Join                      bool                // the cluster exists already
	PeerTLS                   TLSFiles

	// ClientListen are URLs for other processes (other masters, etcdctl). Empty: none.
	ClientListen []string
	ClientTLS    TLSFiles

	QuotaBytes   int64         // of the database; default 4 GiB
	CompactEvery time.Duration // history is kept for so long at least; default 5 minutes
	NoSync       bool          // do not wait for the disk: only for tests and benchmarks
	Logger       *slog.Logger
}

// Timing of elections. A member that is alone elects itself after a few ticks, so its ticks
// are short; with peers they must outlast a slow disk or network.
const (
	aloneTick, aloneElection = 10, 50 // milliseconds
	peersTick, peersElection = 100, 1000
)

// Embedded is a running etcd member.
type Embedded struct {
	etcd   *embed.Etcd
	client *clientv3.Client
	quota  int64
	logger *slog.Logger
}

// StartEmbedded starts a member and returns when it serves.
func StartEmbedded(ctx context.Context, cfg EmbeddedConfig) (*Embedded, error) {
	e, err := LaunchEmbedded(cfg)
	if err != nil {
		return nil, err
	}
	if err := e.Wait(ctx); err != nil {
		_ = e.Close()
		return nil, err
	}
	return e, nil
}

// LaunchEmbedded starts a member and leaves it to find itself a leader; Wait returns when it
// serves.
func LaunchEmbedded(cfg EmbeddedConfig) (*Embedded, error) {
	ec, err := cfg.embed()
	if err != nil {
		return nil, fmt.Errorf("configuring etcd: %w", err)
	}
	if err := os.MkdirAll(cfg.DataDir, 0o700); err != nil {
		return nil, fmt.Errorf("making etcd's data directory: %w", err)
	}
	e, err := embed.StartEtcd(ec)
	if err != nil {
		return nil, fmt.Errorf("starting etcd: %w", err)
	}
	logger := cfg.Logger
	if logger == nil {
		logger = slog.Default()
	}
	return &Embedded{etcd: e, client: v3client.New(e.Server), quota: ec.QuotaBackendBytes, logger: logger}, nil
}

// Wait returns when the member serves.
func (e *Embedded) Wait(ctx context.Context) error {
	var err error
	select {
	case <-e.etcd.Server.ReadyNotify():
		return nil
	case <-ctx.Done():
		err = ctx.Err()
	case err = <-e.etcd.Err():
	case <-e.etcd.Server.StopNotify():
		err = errors.New("it stopped")
	}
	return fmt.Errorf("waiting for etcd to serve: %w", err)
}

// snapshotCount is after how many writes raft's log is cut. A restart replays the log since
// the last cut, and etcd refuses requests while more than 5,000 entries wait to be applied:
// half of that keeps a restart after a kill short.
const snapshotCount = 2500

// aloneCatchUp is how many writes, values and all, raft keeps in memory beyond the last cut of
// its log. They are for members that lag a little, which a member that is alone does not have.
const aloneCatchUp = 500

// embed makes etcd's own configuration.
func (cfg EmbeddedConfig) embed() (*embed.Config, error) {
	if cfg.DataDir == "" {
		return nil, errors.New("no data directory")
	}
	if cfg.Name == "" {
		cfg.Name = "miniorch"
	}
	if cfg.QuotaBytes == 0 {
		cfg.QuotaBytes = 4 << 30
	}
	if cfg.CompactEvery == 0 {
		cfg.CompactEvery = 5 * time.Minute
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	ec := embed.NewConfig()
	ec.Name, ec.Dir = cfg.Name, cfg.DataDir
	ec.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zapOn(cfg.Logger))
	ec.QuotaBackendBytes = cfg.QuotaBytes
	ec.AutoCompactionMode, ec.AutoCompactionRetention = embed.CompactorModePeriodic, cfg.CompactEvery.String()
	ec.EnableGRPCGateway = false
	ec.UnsafeNoFsync = cfg.NoSync
	ec.TickMs, ec.ElectionMs = aloneTick, aloneElection
	ec.SnapshotCatchUpEntries = aloneCatchUp
	ec.SnapshotCount = snapshotCount
	return ec, cfg.setURLs(ec)
}

// setURLs fills in who listens where, and who the members are.
func (cfg EmbeddedConfig) setURLs(ec *embed.Config) error {
	if len(cfg.InitialCluster) > 1 || cfg.Join {
		ec.TickMs, ec.ElectionMs = peersTick, peersElection
		ec.SnapshotCatchUpEntries = etcdserver.DefaultSnapshotCatchUpEntries
		ec.ClusterState = embed.ClusterStateFlagNew
		if cfg.Join {
			ec.ClusterState = embed.ClusterStateFlagExisting
		}
	}
	if len(cfg.PeerAdvertise) == 0 {
		// A member must have a peer URL even if nobody listens there.
		cfg.PeerAdvertise = []string{"http://127.0.0.1:2380"}
	}
	if len(cfg.InitialCluster) == 0 {
		cfg.InitialCluster = map[string][]string{cfg.Name: cfg.PeerAdvertise}
	}
	var members []string
	for name, urls := range cfg.InitialCluster {
		for _, u := range urls {
			members = append(members, name+"="+u)
		}
	}
	sort.Strings(members)
	ec.InitialCluster = strings.Join(members, ",")
	ec.PeerTLSInfo, ec.ClientTLSInfo = cfg.PeerTLS.info(), cfg.ClientTLS.info()
	for _, set := range []struct {
		to   *[]url.URL
		from []string
	}{
		{&ec.ListenPeerUrls, cfg.PeerListen}, {&ec.AdvertisePeerUrls, cfg.PeerAdvertise},
		{&ec.ListenClientUrls, cfg.ClientListen}, {&ec.AdvertiseClientUrls, cfg.ClientListen},
	} {
		*set.to = nil
		for _, raw := range set.from {
			u, err := url.Parse(raw)
			if err != nil {
				return err
			}
			*set.to = append(*set.to, *u)
		}
	}
	return nil
}

// Client returns the in-process client: no sockets, no serialization. It ends with Close.
func (e *Embedded) Client() *clientv3.Client { return e.client }

// Err delivers the error with which a listener of the member failed, if one does.
func (e *Embedded) Err() <-chan error { return e.etcd.Err() }

// Stopped is closed when the member has stopped, by Close or because it was removed
// from its cluster.
func (e *Embedded) Stopped() <-chan struct{} { return e.etcd.Server.StopNotify() }

// Size returns the bytes that the database file has, and how many of them are in use: what is
// between the two Defragment gives back.
func (e *Embedded) Size() (file, used int64) {
	b := e.etcd.Server.Backend()
	return b.Size(), b.SizeInUse()
}

// Defragment gives freed space back to the file system. All requests wait while it runs.
func (e *Embedded) Defragment() error {
	if err := e.etcd.Server.Backend().Defrag(); err != nil {
		return fmt.Errorf("defragmenting etcd: %w", err)
	}
	return nil
}

// Close stops the member. What was acknowledged is on disk, with or without it.
func (e *Embedded) Close() error {
	err := e.client.Close()
	e.etcd.Close()
	if err != nil && !errors.Is(err, context.Canceled) {
		return fmt.Errorf("closing etcd's client: %w", err)
	}
	return nil
}

// DialExternal returns a client of a cluster that somebody else runs. It does not wait for
// the connection. The files may be empty for plain endpoints.
func DialExternal(endpoints []string, certFile, keyFile, caFile string) (*clientv3.Client, error) {
	cfg := clientv3.Config{
		Endpoints:            endpoints,
		DialTimeout:          5 * time.Second,
		DialKeepAliveTime:    10 * time.Second,
		DialKeepAliveTimeout: 5 * time.Second,
		Logger:               zapOn(slog.Default()),
	}
	if certFile != "" || caFile != "" {
		tls, err := transport.TLSInfo{CertFile: certFile, KeyFile: keyFile, TrustedCAFile: caFile}.ClientConfig()
		if err != nil {
			return nil, fmt.Errorf("reading etcd's certificates: %w", err)
		}
		cfg.TLS = tls
	}
	client, err := clientv3.New(cfg)
	if err != nil {
		return nil, fmt.Errorf("making a client of etcd: %w", err)
	}
	return client, nil
}
