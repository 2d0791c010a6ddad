package e2e

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func readAnswer(conn net.Conn) (string, error) {
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", resp.Status, body)
	}
	return string(body), err
}

// load requests the address again and again until stopped; it counts answers by version
// and keeps every failure.
type load struct {
	stop     context.CancelFunc
	done     sync.WaitGroup
	answered atomic.Int64

	mu       sync.Mutex
	failures []string       // guarded by mu
	versions map[string]int // guarded by mu
}

func startLoad(address string, clients int) *load {
	ctx, cancel := context.WithCancel(context.Background())
	l := &load{stop: cancel, versions: map[string]int{}}
	for range clients {
		l.done.Go(func() {
			for ctx.Err() == nil {
				body, err := request(address)
				l.mu.Lock()
				if err != nil {
					l.failures = append(l.failures, fmt.Sprintf("%s: %v", time.Now().Format("15:04:05.000"), err))
				} else {
					version, _, _ := strings.Cut(strings.TrimPrefix(body, "demo "), " ")
					l.versions[version]++
				}
				l.mu.Unlock()
				l.answered.Add(1)
				time.Sleep(2 * time.Millisecond)
			}
		})
	}
	return l
}

// answeredBy counts the answers of a version.
func (l *load) answeredBy(version string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.versions[version]
}

func (l *load) end(t *testing.T) {
	t.Helper()
	l.stop()
	l.done.Wait()
	t.Logf("%d requests, %d failed; answered by %v", l.answered.Load(), len(l.failures), l.versions)
	if len(l.failures) > 0 {
		t.Errorf("%d of %d requests failed, the first: %s", len(l.failures), l.answered.Load(), l.failures[0])
	}
}

// testRollingUpdate replaces all replicas under load without a failed request, and goes back.
func (w *world) testRollingUpdate(t *testing.T) {
	for _, port := range []string{w.Plan.Hosts[1].IP.String() + ":30080"} {
		l := startLoad(port, 4)
		w.kubectl(t, "set", "image", "deployment/demo", "web=miniorch/demo:v2")
		w.kubectl(t, "annotate", "deployment/demo", "kubernetes.io/change-cause=version 2")
		expect(t, w.kubectl(t, "rollout", "status", "deployment/demo", "--timeout=3m"), "successfully rolled out")
		eventually(t, "only version 2", func() error { return w.readyPods("app=demo", 3) })
		expect(t, get(t, port), "demo v2 in pod")
		expect(t, w.kubectl(t, "rollout", "history", "deployment/demo"), "REVISION", "version 2")
		expect(t, w.kubectl(t, "rollout", "undo", "deployment/demo"), "rolled back")
		expect(t, w.kubectl(t, "rollout", "status", "deployment/demo", "--timeout=3m"), "successfully rolled out")
		eventually(t, "only version 1", func() error { return w.readyPods("app=demo", 3) })
		expect(t, get(t, port), "demo v1 in pod")
		l.end(t)
	}
	history := w.kubectl(t, "rollout", "history", "deployment/demo")
	if strings.Contains(history, "\n1 ") || !strings.Contains(history, "\n3 ") {
		t.Errorf("after undo the old revision 1 has become revision 3:\n%s", history)
	}
}

// testHealing deletes a pod and kills another one's process: three ready replicas return.
func (w *world) testHealing(t *testing.T) {
	victims := strings.Fields(w.kubectl(t, "get", "pods", "-l", "app=demo", "-o", "jsonpath={.items[*].metadata.name}"))
	w.kubectl(t, "delete", "pod", victims[0], "--wait")
	eventually(t, "three ready replicas after a deletion", func() error { return w.readyPods("app=demo", 3) })
	if out, err := w.run("get", "pod", victims[0]); err == nil {
		t.Errorf("the deleted pod is still there:\n%s", out)
	}

	_, err := w.run("exec", victims[1], "--", "/bin/demo", "get", "http://127.0.0.1:8080/exit?code=7")
	if err == nil {
		t.Error("the request that ends the server should itself have failed")
	}
	eventually(t, "the killed container's restart", func() error {
		count := w.kubectl(t, "get", "pod", victims[1], "-o", "jsonpath={.status.containerStatuses[0].restartCount}")
		code := w.kubectl(t, "get", "pod", victims[1], "-o", "jsonpath={.status.containerStatuses[0].lastState.terminated.exitCode}")
		if count != "1" || code != "7" {
			return fmt.Errorf("restartCount %s, exit code %s; want 1 and 7", count, code)
		}
		return nil
	})
	eventually(t, "three ready replicas after a restart", func() error { return w.readyPods("app=demo", 3) })
	expect(t, w.kubectl(t, "logs", victims[1], "--previous"), "serving on")
}

// testAgentRestart kills a node's agent: containers go on, logs lose no line, and what
// changes meanwhile is caught up with.
func (w *world) testAgentRestart(t *testing.T) {
	w.kubectl(t, "run", "counter", "--image=miniorch/demo:v1", "--image-pull-policy=IfNotPresent", "--restart=Never",
		`--overrides={"spec":{"nodeName":"node-1"}}`, "--command", "--", "/bin/demo", "lines", "--count=60", "--interval=100ms")
	w.kubectl(t, "wait", "--for=condition=Ready", "pod/counter", "--timeout=3m")
	before := w.containers(t)
	check(t, w.Kill("node-1", true))
	w.kubectl(t, "delete", "pod", "-l", "app=demo", "--field-selector=spec.nodeName=node-1", "--wait=false")
	time.Sleep(time.Second)
	check(t, w.Start(context.Background(), "node-1"))
	eventually(t, "the end of counter", func() error {
		if phase := w.kubectl(t, "get", "pod", "counter", "-o", "jsonpath={.status.phase}"); phase != "Succeeded" {
			return fmt.Errorf("phase %s", phase)
		}
		return nil
	})
	logs := w.kubectl(t, "logs", "counter")
	for i := range 60 {
		if !strings.Contains(logs, fmt.Sprintf("line %d\n", i)) {
			t.Fatalf("line %d is lost:\n%s", i, logs)
		}
	}
	eventually(t, "three ready replicas", func() error { return w.readyPods("app=demo", 3) })
	after := w.containers(t)
	for pod, id := range before {
		if now, there := after[pod]; there && now != id {
			t.Errorf("the restart of the agent touched %s: container was %s, is %s", pod, id, now)
		}
	}
	w.kubectl(t, "delete", "pod", "counter", "--wait")
}

// containers maps each pod to the identity and restart count of its containers.
func (w *world) containers(t *testing.T) map[string]string {
	t.Helper()
	pods, err := w.clients.CoreV1().Pods("").List(context.Background(), metav1.ListOptions{})
	check(t, err)
	found := map[string]string{}
	for _, p := range pods.Items {
		for _, s := range p.Status.ContainerStatuses {
			if s.State.Running == nil {
				continue // it may change on its own
			}
			found[p.Name] += fmt.Sprintf("%s×%d ", s.ContainerID, s.RestartCount)
		}
	}
	return found
}

// testNodeDeath ends all processes of a node: its pods come back on the other one, and the
// Service forgets the dead endpoints. Then the node returns.
func (w *world) testNodeDeath(t *testing.T) {
	w.kubectl(t, "patch", "deployment", "demo", "--type=merge", "-p",
		`{"spec":{"template":{"spec":{"tolerations":[{"key":"node.kubernetes.io/unreachable","operator":"Exists","effect":"NoExecute","tolerationSeconds":1},{"key":"node.kubernetes.io/not-ready","operator":"Exists","effect":"NoExecute","tolerationSeconds":1}]}}}}`)
	w.kubectl(t, "rollout", "status", "deployment/demo", "--timeout=3m")
	check(t, w.Kill("node-2", false))
	eventually(t, "node-2 to be seen as dead", func() error {
		out := w.kubectl(t, "get", "node", "node-2", "-o", `jsonpath={.status.conditions[?(@.type=="Ready")].status}`)
		if out != "Unknown" {
			return fmt.Errorf("Ready is %s", out)
		}
		return nil
	})
	eventually(t, "three ready replicas on node-1", func() error {
		out := w.kubectl(t, "get", "pods", "-l", "app=demo", "-o",
			`jsonpath={range .items[*]}{.spec.nodeName}{" "}{.status.conditions[?(@.type=="Ready")].status}{"\n"}{end}`)
		if n := strings.Count(out, "node-1 True"); n != 3 {
			return fmt.Errorf("%d on node-1:\n%s", n, out)
		}
		return nil
	})
	eventually(t, "the dead endpoints' removal", func() error {
		ready := w.kubectl(t, "get", "endpointslices", "-l", "kubernetes.io/service-name=demo", "-o",
			`jsonpath={range .items[*].endpoints[?(@.conditions.ready==true)]}{.nodeName}{"\n"}{end}`)
		if strings.Contains(ready, "node-2") || strings.Count(ready, "node-1") != 3 {
			return fmt.Errorf("ready endpoints on:\n%s", ready)
		}
		return nil
	})
	expect(t, w.kubectl(t, "get", "node", "node-2", "-o", "jsonpath={.spec.taints[*].key}"), "node.kubernetes.io/unreachable")
	l := startLoad(w.Plan.Hosts[1].IP.String()+":30080", 2)
	time.Sleep(time.Second)
	l.end(t)

	check(t, w.Start(context.Background(), "node-2"))
	w.kubectl(t, "wait", "--for=condition=Ready", "node/node-2", "--timeout=3m")
	eventually(t, "the dead pods' end", func() error {
		out := w.kubectl(t, "get", "pods", "-l", "app=demo", "--field-selector=spec.nodeName=node-2", "-o", "name")
		if out != "" && strings.Contains(out, "pod/") {
			return fmt.Errorf("still there: %s", out)
		}
		return nil
	})
}
