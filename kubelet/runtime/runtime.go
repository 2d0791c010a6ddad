// Package runtime runs containers through containerd (1.6 and later). It owns the
// translation between the kubelet's plain types (kubelet/container) and containerd's
// containers, tasks, snapshots and images. It keeps no state of its own: what it knows of
// a container is in the container's labels and in the status of its task, so an agent that
// restarts finds everything as it was. It refuses to decide: when to pull, start, restart
// or remove is the pod worker's business.
package runtime

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/pkg/dialer"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"
	"k8s.io/utils/clock"
)

// Config says which containerd to use and how.
type Config struct {
	// Address is containerd's socket.
	Address string
	// Namespace is the containerd namespace our containers live in; default "k8s.io".
	Namespace string
	// Snapshotter names the snapshotter; default: overlayfs, or native where the file
	// system cannot do overlays.
	Snapshotter string
	// StateDir holds the pipes of running execs, those of containers, and runc's own state.
	StateDir string
	// LogWriter is the program that a container's shim starts to write its log; see
	// kubelet/logs. Containers with a LogPath cannot be created without one.
	LogWriter LogWriter
	// LogMaxBytes and LogMaxFiles bound the logs of one container; defaults 10 MiB and 5.
	LogMaxBytes int64
	LogMaxFiles int
	// InsecureRegistries are hosts ("name" or "name:port") to talk plain HTTP to;
	// loopback addresses always are.
	InsecureRegistries []string
	// OOMScoreFloor is the lowest oom_score_adj containers may be given; nil finds it out.
	OOMScoreFloor *int

	Logger *slog.Logger
	Clock  clock.WithTicker
	// NewID makes container IDs; default 32 random hexadecimal bytes.
	NewID func() string
}

// LogWriter is a program that becomes a log writer by logs.WriterCommand as its first
// argument, such as miniorch-node.
type LogWriter struct {
	Path string // absolute; empty means none
}

func (c Config) withDefaults() (Config, error) {
	if c.Address == "" {
		return c, errors.New("runtime: no containerd address")
	}
	if c.StateDir == "" {
		return c, errors.New("runtime: no state directory")
	}
	if c.Namespace == "" {
		c.Namespace = "k8s.io"
	}
	if c.LogMaxBytes == 0 {
		c.LogMaxBytes = 10 << 20
	}
	if c.LogMaxFiles == 0 {
		c.LogMaxFiles = 5
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.Clock == nil {
		c.Clock = clock.RealClock{}
	}
	if c.NewID == nil {
		c.NewID = randomID
	}
	if c.OOMScoreFloor == nil {
		floor := oomScoreFloor()
		c.OOMScoreFloor = &floor
	}
	return c, nil
}

// Runtime is a connection to one containerd. It is safe for concurrent use and survives
// restarts of containerd: calls fail with container.ErrUnavailable meanwhile.
type Runtime struct {
	cfg    Config
	client *client.Client
	images *imageCache
	since  time.Time // views and execs older than this are an earlier agent's

	deleting turns // by container ID

	snapshotterOnce sync.Mutex
	snapshotterName string // guarded by snapshotterOnce
}

// New returns a runtime for the containerd at cfg.Address. It does not wait for the
// connection: see WaitReady.
func New(cfg Config) (*Runtime, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	// A private containerd comes back within milliseconds; gRPC's default back-off of up
	// to two minutes would be the slowest part of its restart by far.
	params := grpc.ConnectParams{
		Backoff:           backoff.Config{BaseDelay: 10 * time.Millisecond, Multiplier: 1.6, MaxDelay: 500 * time.Millisecond, Jitter: 0.2},
		MinConnectTimeout: 2 * time.Second,
	}
	c, err := client.New(cfg.Address,
		client.WithDefaultNamespace(cfg.Namespace),
		client.WithDialOpts([]grpc.DialOption{
			grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithConnectParams(params),
			grpc.WithContextDialer(dialer.ContextDialer),
		}))
	if err != nil {
		return nil, fmt.Errorf("connecting to containerd at %s: %w", cfg.Address, err)
	}
	return &Runtime{cfg: cfg, client: c, images: newImageCache(), since: cfg.Clock.Now()}, nil
}

// Close gives up the connection. Containers are not touched.
func (r *Runtime) Close() error { return r.client.Close() }

// WaitReady blocks until containerd answers or ctx ends.
func (r *Runtime) WaitReady(ctx context.Context) error {
	const pause = 10 * time.Millisecond
	for {
		_, err := r.client.VersionService().Version(r.scope(ctx), nil, grpc.WaitForReady(true))
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for containerd at %s: %w", r.cfg.Address, errors.Join(ctx.Err(), err))
		case <-r.cfg.Clock.After(pause):
		}
	}
}

// Version returns containerd's version, such as "1.6.20".
func (r *Runtime) Version(ctx context.Context) (string, error) {
	v, err := r.client.Version(r.scope(ctx))
	if err != nil {
		return "", translate(err)
	}
	return v.Version, nil
}

func (r *Runtime) store() containers.Store { return r.client.ContainerService() }

// snapshots returns the snapshotter of choice and its name.
func (r *Runtime) snapshots(ctx context.Context) (snapshots.Snapshotter, string, error) {
	r.snapshotterOnce.Lock()
	defer r.snapshotterOnce.Unlock()
	if r.snapshotterName == "" {
		name, err := r.chooseSnapshotter(ctx)
		if err != nil {
			return nil, "", err
		}
		r.snapshotterName = name
	}
	return r.client.SnapshotService(r.snapshotterName), r.snapshotterName, nil
}

func (r *Runtime) chooseSnapshotter(ctx context.Context) (string, error) {
	if r.cfg.Snapshotter != "" {
		return r.cfg.Snapshotter, nil
	}
	// containerd probes overlayfs on its own root when it starts and reports the result
	// as the plugin's state.
	response, err := r.client.IntrospectionService().Plugins(ctx, "type==io.containerd.snapshotter.v1,id==overlayfs")
	if err != nil {
		return "", fmt.Errorf("choosing a snapshotter: %w", translate(err))
	}
	for _, p := range response.GetPlugins() {
		if p.GetInitErr() == nil {
			return "overlayfs", nil
		}
		r.cfg.Logger.Warn("overlayfs does not work here, copying layers instead", "reason", p.GetInitErr().GetMessage())
	}
	return "native", nil
}
