// Package e2e runs a whole cluster on this machine, with real containers and real packets,
// and does to it what users do. It needs root and the binaries and images of `make build
// images`; `make test` provides both.
package e2e

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/miniorch/miniorch/cli/cluster"
)

// patience bounds every wait. Waits end with the event they wait for; the limit is
// generous, since it only says when to give up.
const patience = 3 * time.Minute

// Two people can try scenarios on one machine at once, each with programs and a cluster of
// their own. The last scenario compares the machine with what it was, and then sees both.
var (
	binaries    = flag.String("bin", "../../bin", "`directory` of the programs and images to test")
	clusterName = flag.String("cluster", "e2e", "`name` of the cluster to make")
)

// world is the cluster under test.
type world struct {
	*cluster.Cluster
	bin        string
	kubeconfig string
	clients    kubernetes.Interface
}

// TestCluster brings one cluster up, runs every scenario on it, takes it down, and compares
// the machine with what it was before.
func TestCluster(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("a cluster on this machine needs root")
	}
	bin, err := filepath.Abs(*binaries)
	if err != nil {
		t.Fatal(err)
	}
	for _, needed := range []string{"miniorch-master", "miniorch-node", "miniorchctl", "images/demo-v1.tar"} {
		if _, err := os.Stat(filepath.Join(bin, needed)); err != nil {
			t.Fatalf("%v: run `make build images` first", err)
		}
	}
	before := takeSnapshot(t)
	w := &world{bin: bin, kubeconfig: filepath.Join(t.TempDir(), "kubeconfig")}
	config := cluster.Config{
		Name: *clusterName, Nodes: 2, BinDir: bin, ImageDir: filepath.Join(bin, "images"), Kubeconfig: w.kubeconfig,
		// As short as nodes that say every ten seconds that they live allow, and as makes rates.
		MasterFlags: []string{"--node-monitor-grace-period=16s", "--metric-resolution=2s", "--horizontal-pod-autoscaler-sync-period=2s"},
	}
	out := testWriter{t}
	progress := cluster.NewProgress(out)
	ctx := context.Background()
	if err := cluster.Down(ctx, config, false, progress); err != nil { // what an interrupted run left
		t.Fatal(err)
	}
	ok := t.Run("up", func(t *testing.T) { w.Cluster, err = cluster.Up(ctx, config, progress); check(t, err) })
	if ok {
		w.connect(t)
		w.scenarios(t)
		t.Run("no data races", w.testRaces)
	}
	if t.Failed() {
		w.dump(t)
	}
	t.Run("down leaves nothing behind", func(t *testing.T) {
		check(t, cluster.Down(ctx, config, false, progress))
		before.compare(t, takeSnapshot(t))
	})
}

func (w *world) scenarios(t *testing.T) {
	t.Run("demo", w.testDemo)
	t.Run("clients", w.testClients)
	t.Run("containers", w.testContainers)
	t.Run("services", w.testServices)
	t.Run("names", w.testNames)
	t.Run("volumes", w.testVolumes)
	t.Run("streams", w.testStreams)
	t.Run("batch", w.testBatch)
	t.Run("nodes come and go", w.testNodesComeAndGo)
	t.Run("key-value store", w.testKeyValue)
	t.Run("fifty indexes", w.testFiftyIndexes)
	t.Run("node is forgotten", w.testNodeIsForgotten)
	t.Run("storage", w.testStorage)
	t.Run("a CSI driver", w.testDriver)
	t.Run("bad input", w.testBadInput)
	t.Run("registry", w.testRegistry)
	t.Run("rolling update", w.testRollingUpdate)
	t.Run("rollouts", w.testRollouts)
	t.Run("preemption", w.testPreemption)
	t.Run("healing", w.testHealing)
	t.Run("agent restart", w.testAgentRestart)
	t.Run("master kill", w.testMasterKill)
	t.Run("node death", w.testNodeDeath)
}

func (w *world) connect(t *testing.T) {
	t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", w.kubeconfig)
	check(t, err)
	config.QPS, config.Burst = 500, 500
	w.clients, err = kubernetes.NewForConfig(config)
	check(t, err)
}

// run calls the CLI and returns what it printed on standard output and standard error.
func (w *world) run(args ...string) (string, error) {
	return command(w.kubeconfig, "", filepath.Join(w.bin, "miniorchctl"), args...)
}

// kubectl calls the CLI and fails the test if that fails.
func (w *world) kubectl(t *testing.T, args ...string) string {
	t.Helper()
	out, err := w.run(args...)
	if err != nil {
		t.Fatalf("miniorchctl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// apply sends a manifest.
func (w *world) apply(t *testing.T, manifest string) {
	t.Helper()
	if out, err := command(w.kubeconfig, manifest, filepath.Join(w.bin, "miniorchctl"), "apply", "-f", "-"); err != nil {
		t.Fatalf("apply: %v\n%s", err, out)
	}
}

func command(kubeconfig, input, program string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+kubeconfig)
	cmd.Stdin = strings.NewReader(input)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	return out.String(), err
}

// inPod runs a command in a container of the pod, or of one pod of "deploy/NAME".
func (w *world) inPod(t *testing.T, pod string, args ...string) string {
	t.Helper()
	return w.kubectl(t, append([]string{"exec", pod, "--"}, args...)...)
}

// eventually calls what until it returns nil, and fails with its last error.
func eventually(t *testing.T, waitingFor string, what func() error) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		err := what()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("still waiting for %s: %v", waitingFor, err)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// testRaces: programs that look for data races (`make race`) have found none.
func (w *world) testRaces(t *testing.T) {
	for _, h := range w.Plan.Hosts {
		log, err := os.ReadFile(h.Log)
		check(t, err)
		if at := bytes.Index(log, []byte("WARNING: DATA RACE")); at >= 0 {
			t.Errorf("%s has\n%s", h.Log, log[at:min(len(log), at+8000)])
		}
	}
}

// dump shows the state of a cluster in which something failed.
func (w *world) dump(t *testing.T) {
	for _, args := range [][]string{{"get", "nodes,pods,svc,deploy,rs,endpointslices", "-A", "-o", "wide"}, {"get", "events", "-A", "--sort-by=.lastTimestamp"}} {
		out, _ := w.run(args...)
		lines := strings.Split(out, "\n")
		t.Logf("%v\n%s", args, strings.Join(lines[max(0, len(lines)-60):], "\n"))
	}
	if w.Cluster == nil {
		return
	}
	for _, h := range w.Plan.Hosts {
		log, _ := os.ReadFile(h.Log)
		lines := strings.Split(string(log), "\n")
		t.Logf("end of %s:\n%s", h.Log, strings.Join(lines[max(0, len(lines)-40):], "\n"))
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// expect fails unless got contains all of want.
func expect(t *testing.T, got string, want ...string) {
	t.Helper()
	for _, w := range want {
		if !strings.Contains(got, w) {
			t.Errorf("want %q in:\n%s", w, got)
		}
	}
}

// testWriter shows progress in the test's log.
type testWriter struct{ t *testing.T }

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Log(strings.TrimRight(string(p), "\n"))
	return len(p), nil
}

var _ io.Writer = testWriter{}

// readyPods returns nil when exactly n pods of the selection exist and are Ready.
func (w *world) readyPods(selector string, n int) error {
	out, err := w.run("get", "pods", "-l", selector, "-o",
		`jsonpath={range .items[*]}{.metadata.name}{" "}{.status.conditions[?(@.type=="Ready")].status}{" "}{.metadata.deletionTimestamp}{"\n"}{end}`)
	if err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	ready := 0
	for line := range strings.Lines(out) {
		if fields := strings.Fields(line); len(fields) == 2 && fields[1] == "True" {
			ready++
		} else {
			return fmt.Errorf("not settled:\n%s", out)
		}
	}
	if ready != n {
		return fmt.Errorf("%d ready pods, want %d:\n%s", ready, n, out)
	}
	return nil
}
