package cluster

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"k8s.io/utils/clock"

	"github.com/miniorch/miniorch/pkg/pki"
)

// Progress is told of each step as it ends.
type Progress struct {
	Out   io.Writer
	start time.Time
}

// NewProgress writes to out, with the time since now before each line.
func NewProgress(out io.Writer) *Progress { return &Progress{Out: out, start: time.Now()} }

// Say prints one line.
func (p *Progress) Say(format string, args ...any) {
	fmt.Fprintf(p.Out, "%6.2fs  %s\n", time.Since(p.start).Seconds(), fmt.Sprintf(format, args...))
}

// Cluster is a cluster on this machine.
type Cluster struct {
	Config Config
	Plan   Plan
	state  state
}

// Find returns the named cluster if it was made on this machine.
func Find(c Config) (*Cluster, error) {
	c, err := c.withDefaults()
	if err != nil {
		return nil, err
	}
	s, ok, err := load(c)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, fmt.Errorf("there is no cluster %q on this machine: make it with `miniorchctl cluster up --name %s`", c.Name, c.Name)
	}
	plan, err := decide(s.Config, s.Number)
	return &Cluster{Config: s.Config, Plan: plan, state: s}, err
}

// Up makes the cluster, or whatever of it is missing, and returns once its API is ready
// and every node is Ready.
func Up(ctx context.Context, c Config, progress *Progress) (*Cluster, error) {
	cl, err := prepare(c)
	if err != nil {
		return nil, err
	}
	steps := []struct {
		name string
		do   func(context.Context) error
	}{
		{"host network", cl.connect},
		{"control plane", cl.startMasters},
		{"credentials", cl.writeCredentials},
		{"nodes", cl.startNodes},
		{"storage class", cl.ensureStorageClass},
		{"ready", cl.waitForNodes},
	}
	for _, step := range steps {
		if err := step.do(ctx); err != nil {
			return cl, fmt.Errorf("%s: %w", step.name, err)
		}
		progress.Say("%s", cl.describe(step.name))
	}
	return cl, nil
}

func (cl *Cluster) describe(step string) string {
	p := cl.Plan
	switch step {
	case "host network":
		return fmt.Sprintf("host network %s on bridge %s", p.Network, p.Bridge)
	case "control plane":
		return "control plane ready at " + p.Server()
	case "credentials":
		return "context " + cl.Context() + " in " + cl.state.Kubeconfig
	case "storage class":
		return "claims get directories on nodes (StorageClass local-path)"
	case "nodes":
		return fmt.Sprintf("%d nodes started", len(p.nodes()))
	}
	return fmt.Sprintf("%d nodes Ready", len(p.nodes()))
}

// Context is the name of the cluster's context in kubeconfig files.
func (cl *Cluster) Context() string {
	if cl.Config.Name == "miniorch" {
		return "miniorch"
	}
	return "miniorch-" + cl.Config.Name
}

// prepare settles the cluster's number and records it before anything is made.
func prepare(c Config) (*Cluster, error) {
	c, err := c.withDefaults()
	if err != nil {
		return nil, err
	}
	if os.Geteuid() != 0 {
		return nil, errors.New("network namespaces need root: run `sudo miniorchctl cluster up`")
	}
	unlock, err := exclusive(c.StateRoot)
	if err != nil {
		return nil, err
	}
	defer unlock()
	s, ok, err := load(c)
	if err != nil {
		return nil, err
	}
	if !ok {
		if s.Number, err = freeNumber(c.StateRoot); err != nil {
			return nil, err
		}
	}
	// A second up may add nodes and renew paths; it never moves the cluster.
	if ok && c.Nodes < s.Config.Nodes {
		c.Nodes = s.Config.Nodes
	}
	s.Config, s.Kubeconfig = c, c.Kubeconfig
	plan, err := decide(c, s.Number)
	if err != nil {
		return nil, err
	}
	before, err := setIPForward("1")
	if err != nil {
		return nil, fmt.Errorf("turning IP forwarding on: %w", err)
	}
	if s.IPForward == "" {
		s.IPForward = before
	}
	if _, err := os.Stat(s.Kubeconfig); s.Kubeconfig != "" && errors.Is(err, os.ErrNotExist) {
		s.NewConfig = true
		_, err := os.Stat(filepath.Dir(s.Kubeconfig))
		s.NewConfigDir = errors.Is(err, os.ErrNotExist)
	}
	made, err := ensureNetNSDir()
	if err != nil {
		return nil, err
	}
	s.NetNSDir = s.NetNSDir || made
	return &Cluster{Config: c, Plan: plan, state: s}, s.save()
}

// connect makes bridge, namespaces and cables, and lets the hosts out.
func (cl *Cluster) connect(context.Context) error {
	if err := cl.Plan.ensureBridge(); err != nil {
		return err
	}
	for _, h := range cl.Plan.Hosts {
		if err := os.MkdirAll(h.Dir, 0o755); err != nil {
			return err
		}
		if err := cl.Plan.ensureHost(h); err != nil {
			return err
		}
	}
	return cl.Plan.ensureRules()
}

// ensureRunning starts the host's program unless it runs.
func (cl *Cluster) ensureRunning(h Host) error {
	running, err := agentRunning(h)
	if err != nil || running {
		return err
	}
	program := filepath.Join(cl.Config.BinDir, "miniorch-"+string(h.Role))
	if _, err := os.Stat(program); err != nil {
		return fmt.Errorf("%w (build it with `make build`)", err)
	}
	return start(h, program)
}

// agentRunning tells whether the host's own program runs; a containerd that outlived it
// does not count.
func agentRunning(h Host) (bool, error) {
	pids, err := agents(h)
	return slices.ContainsFunc(pids, isAgent), err
}

// isAgent tells a host's own program from what it started, log writers among them.
func isAgent(pid int) bool {
	args, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil {
		return false
	}
	argv := strings.Split(string(args), "\x00")
	return strings.HasPrefix(filepath.Base(argv[0]), "miniorch-") && slices.Contains(argv, "--data-dir")
}

func (cl *Cluster) startMasters(ctx context.Context) error {
	for _, h := range cl.Plan.Hosts {
		if h.Role != Master {
			continue
		}
		if err := cl.ensureRunning(h); err != nil {
			return err
		}
		if err := cl.waitForMaster(ctx, h); err != nil {
			return err
		}
	}
	return nil
}

// waitForMaster asks /readyz until it says ok. A new process has nothing to subscribe to
// yet: this is the one place that asks again and again.
func (cl *Cluster) waitForMaster(ctx context.Context, h Host) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		err := cl.ready(ctx, h)
		if err == nil {
			return nil
		}
		if running, aliveErr := agentRunning(h); aliveErr == nil && !running {
			return fmt.Errorf("%s ended early:\n%s", h.Name, tail(h.Log))
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready: %w; its log is %s and ends:\n%s", h.Name, err, h.Log, tail(h.Log))
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func (cl *Cluster) ready(ctx context.Context, h Host) error {
	ca, err := os.ReadFile(filepath.Join(h.Dir, "pki", "ca.crt"))
	if err != nil {
		return err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, cl.Plan.Server()+"/readyz", nil)
	if err != nil {
		return err
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(io.LimitReader(resp.Body, 4096))
		return fmt.Errorf("/readyz: %s: %s", resp.Status, body)
	}
	return nil
}

// writeCredentials makes each node's kubeconfig and merges the admin's into the user's.
func (cl *Cluster) writeCredentials(context.Context) error {
	master := cl.Plan.Hosts[0]
	ca, err := pki.OpenCA(filepath.Join(master.Dir, "pki"), clock.RealClock{})
	if err != nil {
		return err
	}
	for _, h := range cl.Plan.nodes() {
		pair, err := ca.Ensure(h.Dir, "node", pki.Subject{
			Name: "system:node:" + h.Name, Groups: []string{"system:nodes"}, Hosts: []string{h.Name, h.IP.String()}, Client: true, Server: true,
		})
		if err != nil {
			return fmt.Errorf("issuing the certificate of %s: %w", h.Name, err)
		}
		config := pki.Kubeconfig{Context: h.Name, Server: cl.Plan.Server(), CA: ca.PEM(), Client: pair}
		if err := pki.WriteKubeconfig(filepath.Join(h.Dir, "kubeconfig"), config); err != nil {
			return err
		}
	}
	if cl.state.Kubeconfig == "" {
		return nil
	}
	admin, err := ca.Ensure(cl.Plan.Dir, "admin", pki.Subject{Name: "kubernetes-admin", Groups: []string{"system:masters"}, Client: true})
	if err != nil {
		return fmt.Errorf("issuing the administrator's certificate: %w", err)
	}
	return pki.MergeKubeconfig(cl.state.Kubeconfig, pki.Kubeconfig{Context: cl.Context(), Server: cl.Plan.Server(), CA: ca.PEM(), Client: admin})
}

func (cl *Cluster) startNodes(context.Context) error {
	for _, h := range cl.Plan.nodes() {
		if err := cl.ensureRunning(h); err != nil {
			return err
		}
	}
	return nil
}

// tail returns the last lines of a log.
func tail(path string) string {
	content, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimRight(string(content), "\n"), "\n")
	return "    " + strings.Join(lines[max(0, len(lines)-12):], "\n    ")
}
