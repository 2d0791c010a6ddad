package virtual

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"net/url"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/utils/clock"

	"github.com/miniorch/miniorch/apiserver"
	"github.com/miniorch/miniorch/apiserver/apiservertest"
	"github.com/miniorch/miniorch/apiserver/auth"
	"github.com/miniorch/miniorch/apiserver/storage/memory"
	"github.com/miniorch/miniorch/controllers"
	"github.com/miniorch/miniorch/kubelet"
	"github.com/miniorch/miniorch/kubelet/container"
	"github.com/miniorch/miniorch/kubelet/hollow"
	"github.com/miniorch/miniorch/kubelet/volumes"
	"github.com/miniorch/miniorch/pkg/claims"
	"github.com/miniorch/miniorch/pkg/client"
	"github.com/miniorch/miniorch/pkg/client/clienttest"
	"github.com/miniorch/miniorch/pkg/decision"
	"github.com/miniorch/miniorch/pkg/reconcile"
	"github.com/miniorch/miniorch/scheduler"
)

const adminToken = "admin"

var quiet = slog.New(slog.DiscardHandler)

// cluster is a whole control plane and nodes without processes, in virtual time.
type cluster struct {
	t         *testing.T
	server    *apiserver.Server
	disk      *disk
	decisions *decision.Log
	chance    *chance
	began     time.Time
	nodes     map[string]*machine
	cache     string   // kubectl's own, of discovery
	manifest  string   // the file that kubectl applies
	gauges    sync.Map // what somebody measures outside of the cluster, by name
}

// machine is a node that runs.
type machine struct {
	processes *hollow.Runtime
	stop      context.CancelFunc
	ended     chan error
}

// start makes a cluster without nodes. It must be called in a synctest bubble.
func start(t *testing.T, seed uint64) *cluster {
	t.Helper()
	c := &cluster{t: t, chance: &chance{seed: seed}, decisions: decision.NewLog(100_000), began: time.Now(), nodes: map[string]*machine{}, cache: t.TempDir(), manifest: filepath.Join(t.TempDir(), "manifest.yaml")}
	c.disk = &disk{Store: memory.New(memory.Config{}), chance: c.chance}
	c.server = apiservertest.Start(t, apiservertest.WithStore(c.disk), apiservertest.WithoutServiceAccount(), apiservertest.WithConfig(func(cfg *apiserver.Config) {
		cfg.StaticTokens = map[string]auth.User{adminToken: auth.Admin()}
		cfg.Authorizer = inside{auth.Components{}, c.chance}
		cfg.Rand, cfg.Rest.UID = c.chance.sequence("apiserver"), c.chance.uid
	}))
	c.run(auth.UserControllerManager, func(transport client.Transport, informers *client.Informers) (func(context.Context) error, error) {
		return controllers.New(metered{transport, &c.gauges}, informers, controllers.Config{
			Rand: c.chance.jitter("controllers"), Logger: quiet, Decisions: c.decisions,
			RootCA: []byte("pem"), ClusterCIDR: netip.MustParsePrefix("10.244.0.0/16"),
		}).Run, nil
	})
	c.run(auth.UserScheduler, func(transport client.Transport, informers *client.Informers) (func(context.Context) error, error) {
		recorder := client.NewRecorder(transport, "default-scheduler", client.RecorderConfig{Config: c.clientConfig("scheduler")})
		tie := c.chance.sequence("scheduler")
		s, err := scheduler.New(transport, informers, scheduler.Config{
			Rand: func() float64 { return unit(tie()) }, Logger: quiet, Decisions: c.decisions, Recorder: recorder,
		})
		if err != nil {
			return nil, err
		}
		return together(recorder.Run, s.Run), nil
	})
	t.Cleanup(func() {
		for name := range c.nodes {
			c.kill(name)
		}
	})
	c.tick(time.Second)
	return c
}

// run runs a component under its own identity until the test ends.
func (c *cluster) run(user string, component func(client.Transport, *client.Informers) (func(context.Context) error, error)) {
	transport := distant{c.server.Client(auth.Component(user)), c.chance, user}
	informers := clienttest.NewInformersWith(c.t, transport, c.clientConfig(user))
	run, err := component(transport, informers)
	if err != nil {
		c.t.Fatal(err)
	}
	clienttest.Run(c.t, together(informers.Run, run))
}

func (c *cluster) clientConfig(who string) client.Config {
	return client.Config{Logger: quiet, Rand: c.chance.jitter(who + "/client")}
}

// together runs all until ctx ends or one fails.
func together(runs ...func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		group, ctx := errgroup.WithContext(ctx)
		for _, run := range runs {
			group.Go(func() error { return run(ctx) })
		}
		return group.Wait()
	}
}

// tick lets time pass.
func (c *cluster) tick(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// boot starts a node's agent on an empty machine.
func (c *cluster) boot(name string) error {
	if c.nodes[name] != nil {
		return fmt.Errorf("%s runs already", name)
	}
	user := auth.User{Name: auth.NodePrefix + name, Groups: []string{auth.GroupNodes, auth.GroupAuthenticated}}
	transport := distant{c.server.Client(user), c.chance, user.Name}
	informers := clienttest.NewInformersWith(c.t, transport, c.clientConfig(name))
	parts, simulated := hollow.Parts(clock.RealClock{})
	parts.Runtime = trouble{simulated}
	dir := c.t.TempDir()
	config := hollow.NodeConfig()
	config.Annotations = map[string]string{claims.LocalPathRoot: "/volumes"}
	agent, err := kubelet.New(transport, informers, parts, kubelet.Config{
		NodeName: name, NodeIP: fmt.Sprint("192.0.2.", 1+c.chance.hash(name)%250), NoFiles: true, Node: config,
		RootDir: dir + "/root", LogDir: dir + "/logs", Rand: c.chance.jitter(name), Logger: quiet, Decisions: c.decisions,
	})
	if err != nil {
		return err
	}
	remover := volumes.NewLocalRemover(transport, informers, volumes.LocalConfig{
		NodeName: name, Loop: reconcile.Config{Rand: c.chance.jitter(name + "/volumes"), Logger: quiet},
	})
	ctx, stop := context.WithCancel(context.Background())
	m := &machine{processes: simulated, stop: stop, ended: make(chan error, 1)}
	go func() { m.ended <- together(informers.Run, agent.Run, remover.Run)(ctx) }()
	c.nodes[name] = m
	return nil
}

// kill ends a node and all that ran on it, without a word to anybody.
func (c *cluster) kill(name string) error {
	m := c.nodes[name]
	if m == nil {
		return fmt.Errorf("%s does not run", name)
	}
	m.stop()
	<-m.ended
	delete(c.nodes, name)
	return nil
}

// exit ends the container of a pod, as its process might: of the first that runs and whose name begins so.
func (c *cluster) exit(prefix string, code int) error {
	end := func() error { return fmt.Errorf("nothing runs in %s", prefix) }
	first := ""
	for _, m := range c.nodes {
		all, err := m.processes.Containers(context.Background())
		if err != nil {
			return err
		}
		for _, at := range all {
			if strings.HasPrefix(at.PodName, prefix) && at.State == container.StateRunning && (first == "" || at.PodName < first) {
				first, end = at.PodName, func() error { return m.processes.Exit(at.ID, code) }
			}
		}
	}
	return end()
}

// trouble is a runtime that cannot pull every image, and on which not all that runs is well.
type trouble struct{ *hollow.Runtime }

// Exec fails in containers of images called sick/…, as their probes do then.
func (s trouble) Exec(ctx context.Context, id string, req container.ExecRequest) (int, error) {
	all, err := s.Containers(ctx)
	if err != nil {
		return 0, err
	}
	for _, at := range all {
		if at.ID == id && strings.HasPrefix(at.Image, "sick/") {
			return 1, nil
		}
	}
	return s.Runtime.Exec(ctx, id, req)
}

// Pull fails for images called missing/….
func (s trouble) Pull(ctx context.Context, req container.PullRequest) (container.Image, error) {
	if strings.HasPrefix(req.Ref, "missing/") {
		return container.Image{}, fmt.Errorf("pulling %s: %w", req.Ref, container.ErrImageNotFound)
	}
	return s.Runtime.Pull(ctx, req)
}

// metered is a transport that finds external.metrics.k8s.io behind the API server.
type metered struct {
	client.Transport
	gauges *sync.Map
}

// Raw reads a gauge.
func (m metered) Raw(ctx context.Context, at string, query url.Values) ([]byte, error) {
	if !strings.HasPrefix(at, "/apis/external.metrics.k8s.io/") {
		return m.Transport.Raw(ctx, at, query)
	}
	value, ok := m.gauges.Load(path.Base(at))
	if !ok {
		return nil, fmt.Errorf("nobody measures %s", path.Base(at))
	}
	return fmt.Appendf(nil, `{"items":[{"metricName":%q,"value":%q}]}`, path.Base(at), value), nil
}
