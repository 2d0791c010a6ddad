package e2e

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
)

// testKeyValue runs the replicated key-value store of the examples under a client that writes and
// reads all the time: whatever happens to the replicas, no acknowledged write is lost.
func (w *world) testKeyValue(t *testing.T) {
	content, err := os.ReadFile("../../deploy/examples/kv.yaml")
	check(t, err)
	at := strings.LastIndex(string(content), "---\n")
	w.apply(t, string(content[:at]))
	eventually(t, "three replicas", func() error { return w.readyPods("app=kv", 3) })
	client, victim := w.clientAndVictim(t)
	w.apply(t, strings.Replace(string(content[at:]), "restartPolicy: Never", "restartPolicy: Never\n  nodeName: "+client, 1))
	w.acknowledged(t, 100)

	t.Run("rolling update", func(t *testing.T) {
		w.kubectl(t, "set", "image", "statefulset/kv", "kv=miniorch/demo:v2")
		w.kubectl(t, "rollout", "status", "statefulset/kv", "--timeout=3m")
		eventually(t, "three replicas", func() error { return w.readyPods("app=kv", 3) })
		images := w.kubectl(t, "get", "pods", "-l", "app=kv", "-o", "jsonpath={.items[*].spec.containers[0].image}")
		if strings.Count(images, ":v2") != 3 {
			t.Errorf("the replicas' images are %s", images)
		}
		w.acknowledged(t, 50)
	})
	t.Run("node kill", func(t *testing.T) { w.killUnderWrites(t, victim) })
	t.Run("scale down and up", func(t *testing.T) {
		w.kubectl(t, "scale", "statefulset/kv", "--replicas=1")
		eventually(t, "one replica", func() error { return w.readyPods("app=kv", 1) })
		if out, err := w.run("exec", "kv-0", "--", "/bin/demo", "kv", "put", "a", "b"); err == nil || !strings.Contains(out, "1 of 3 replicas answered") {
			t.Errorf("a write without a majority: %v\n%s", err, out)
		}
		w.kubectl(t, "scale", "statefulset/kv", "--replicas=3")
		eventually(t, "three replicas", func() error { return w.readyPods("app=kv", 3) })
		w.acknowledged(t, 100)
	})

	// Its time is over: it ends as if by SIGTERM, and what it said stays.
	w.kubectl(t, "patch", "pod", "kv-client", "-p", `{"spec":{"activeDeadlineSeconds":1}}`)
	eventually(t, "the client's end", func() error {
		if phase := w.kubectl(t, "get", "pod", "kv-client", "-o", "jsonpath={.status.phase}"); phase != "Failed" {
			return fmt.Errorf("phase %s", phase)
		}
		return nil
	})
	said := w.kubectl(t, "logs", "kv-client")
	if lines := strings.Split(strings.TrimSpace(said), "\n"); !strings.HasPrefix(lines[len(lines)-1], "end:") || !strings.HasSuffix(said, "lost: 0\n") {
		t.Errorf("the client does not say that nothing was lost:\n%s", said)
	} else {
		t.Log(lines[len(lines)-1])
	}
	w.field(t, "pod/kv-client", ".status.containerStatuses[0].state.terminated.exitCode", "0")
	w.kubectl(t, "delete", "pod/kv-client", "statefulset/kv", "service/kv", "pdb/kv", "--wait")
	w.kubectl(t, "delete", "pvc", "data-kv-0", "data-kv-1", "data-kv-2", "--wait")
	eventually(t, "no pods", func() error { return w.readyPods("app in (kv,kv-client)", 0) })
}

// clientAndVictim names the node that has two replicas, where the client shall be, and the one that has
// one: without it there is still a majority.
func (w *world) clientAndVictim(t *testing.T) (client, victim string) {
	t.Helper()
	nodes := strings.Fields(w.kubectl(t, "get", "pods", "-l", "app=kv", "-o", "jsonpath={.items[*].spec.nodeName}"))
	on := map[string]int{}
	for _, n := range nodes {
		on[n]++
	}
	for n, replicas := range on {
		switch replicas {
		case 2:
			client = n
		case 1:
			victim = n
		}
	}
	if client == "" || victim == "" {
		t.Fatalf("the replicas are not spread over the nodes: %v", nodes)
	}
	return client, victim
}

// killUnderWrites cuts a node's power: writes go on without it, and its replica comes back with its data.
func (w *world) killUnderWrites(t *testing.T, node string) {
	pod := w.kubectl(t, "get", "pods", "-l", "app=kv", "--field-selector=spec.nodeName="+node, "-o", "jsonpath={.items[*].metadata.name}")
	check(t, w.Kill(node, false))
	w.acknowledged(t, 200)
	check(t, w.Start(context.Background(), node))
	eventually(t, "the restart of "+pod, func() error {
		if n := w.kubectl(t, "get", "pod", pod, "-o", "jsonpath={.status.containerStatuses[0].restartCount}"); n == "0" {
			return fmt.Errorf("it has not started again")
		}
		return w.readyPods("app=kv", 3)
	})
	w.kubectl(t, "wait", "--for=condition=Ready", "node/"+node, "--timeout=3m")
	w.acknowledged(t, 50)
}

// acknowledged waits until the client was acknowledged n more writes than now.
func (w *world) acknowledged(t *testing.T, n int) {
	t.Helper()
	count := func() int {
		line, _ := w.run("logs", "kv-client", "--tail=1") // its container may not run yet
		_, rest, _ := strings.Cut(line, "writes: ")
		number, _, _ := strings.Cut(rest, " ")
		count, _ := strconv.Atoi(number)
		return count
	}
	before := count()
	eventually(t, "acknowledged writes", func() error {
		if now := count(); now < before+n {
			return fmt.Errorf("%d were acknowledged, then %d", before, now)
		}
		return nil
	})
}
