package e2e

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/miniorch/miniorch/cli/cluster"
)

// testNodesComeAndGo lets a node join and leave: a DaemonSet's pods are where the nodes are.
func (w *world) testNodesComeAndGo(t *testing.T) {
	manifest, err := os.ReadFile("testdata/daemon.yaml")
	check(t, err)
	w.apply(t, string(manifest))
	w.kubectl(t, "rollout", "status", "daemonset/watchman", "--timeout=3m")
	w.watchmenOn(t, "node-1", "node-2")

	config, progress := w.Config, cluster.NewProgress(testWriter{t})
	config.Nodes = 3
	w.Cluster, err = cluster.Up(context.Background(), config, progress)
	check(t, err)
	w.watchmenOn(t, "node-1", "node-2", "node-3")
	ip := w.kubectl(t, "get", "pods", "-l", "app=watchman", "--field-selector=spec.nodeName=node-3", "-o", "jsonpath={.items[0].status.podIP}")
	expect(t, get(t, ip+":8080"), "on node-3")

	if _, err := cluster.Remove(context.Background(), w.Config, "node-1", progress); err == nil {
		t.Error("a node that is not the last could leave")
	}
	w.Cluster, err = cluster.Remove(context.Background(), w.Config, "node-3", progress)
	check(t, err)
	if out, err := w.run("get", "node", "node-3"); err == nil {
		t.Errorf("the node is still there:\n%s", out)
	}
	eventually(t, "the DaemonSet's account", func() error {
		status := w.kubectl(t, "get", "daemonset", "watchman", "-o", "jsonpath={.status.desiredNumberScheduled} {.status.numberReady} {.status.numberUnavailable}")
		if status != "2 2 " {
			return fmt.Errorf("%q", status)
		}
		return nil
	})
}

// testNodeIsForgotten is the end of the above. A node may come back soon: its pods wait for it for 40
// seconds, in which other scenarios run.
func (w *world) testNodeIsForgotten(t *testing.T) {
	w.watchmenOn(t, "node-1", "node-2")
	w.kubectl(t, "delete", "daemonset/watchman", "--wait")
	eventually(t, "no pods", func() error { return w.readyPods("app=watchman", 0) })
}

// watchmenOn waits until the DaemonSet's pods are ready on these nodes, one on each, and on no other.
func (w *world) watchmenOn(t *testing.T, nodes ...string) {
	t.Helper()
	eventually(t, "one pod on each node", func() error {
		out := w.kubectl(t, "get", "pods", "-l", "app=watchman", "-o", "jsonpath={.items[*].spec.nodeName}")
		on := strings.Fields(out)
		slices.Sort(on)
		if !slices.Equal(on, nodes) {
			return fmt.Errorf("they are on %v", on)
		}
		return w.readyPods("app=watchman", len(nodes))
	})
}
