package e2e

import (
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
)

// testDemo is what `make up` shows: three replicas on both nodes, reached by name, by
// ClusterIP and by node port, from a pod of the other node and from this machine.
func (w *world) testDemo(t *testing.T) {
	manifest, err := os.ReadFile("../../deploy/examples/demo.yaml")
	check(t, err)
	w.apply(t, string(manifest))
	w.kubectl(t, "rollout", "status", "deployment/demo", "--timeout=3m")
	eventually(t, "three ready replicas", func() error { return w.readyPods("app=demo", 3) })

	nodes := strings.Fields(w.kubectl(t, "get", "pods", "-l", "app=demo", "-o", "jsonpath={.items[*].spec.nodeName}"))
	if !contains(nodes, "node-1") || !contains(nodes, "node-2") {
		t.Errorf("the replicas run on %v, want both nodes", nodes)
	}
	ip := w.kubectl(t, "get", "service", "demo", "-o", "jsonpath={.spec.clusterIP}")
	for _, node := range w.Plan.Hosts[1:] {
		client := "client-on-" + node.Name
		w.kubectl(t, "run", client, "--image=miniorch/demo:v1", "--image-pull-policy=IfNotPresent",
			`--overrides={"spec":{"nodeName":"`+node.Name+`"}}`, "--command", "--", "/bin/demo", "sleep")
		w.kubectl(t, "wait", "--for=condition=Ready", "pod/"+client, "--timeout=3m")
		for reason, url := range map[string]string{
			"short DNS name": "http://demo/", "full DNS name": "http://demo.default.svc.cluster.local/", "ClusterIP": "http://" + ip + "/",
			"node port of its own node": "http://" + node.IP.String() + ":30080/",
			"node port of another node": "http://" + other(w, node.Name) + ":30080/",
		} {
			out := w.inPod(t, client, "/bin/demo", "get", url, "--count", "60")
			expect(t, out, "0  failed")
			if answered := strings.Count(out, "demo v1 in pod"); answered != 3 {
				t.Errorf("by %s from %s: 60 requests were answered by %d replicas, want 3:\n%s", reason, node.Name, answered, out)
			}
		}
	}
	const account = "/var/run/secrets/kubernetes.io/serviceaccount/"
	for _, node := range w.Plan.Hosts[1:] {
		expect(t, w.inPod(t, "client-on-"+node.Name, "/bin/demo", "get", "https://kubernetes.default.svc/version", "--ca", account+"ca.crt"), `"gitVersion"`)
	}
	for _, address := range []string{ip + ":80", w.Plan.Hosts[1].IP.String() + ":30080", w.Plan.Hosts[2].IP.String() + ":30080"} {
		expect(t, get(t, address), "demo v1 in pod demo-")
	}
	w.kubectl(t, "delete", "pod", "client-on-node-1", "client-on-node-2", "--wait")
}

func other(w *world, name string) string {
	for _, h := range w.Plan.Hosts[1:] {
		if h.Name != name {
			return h.IP.String()
		}
	}
	return ""
}

func contains(list []string, item string) bool {
	for _, l := range list {
		if l == item {
			return true
		}
	}
	return false
}

// get makes one HTTP request from this machine.
func get(t *testing.T, address string) string {
	t.Helper()
	var body string
	eventually(t, "an answer from "+address, func() (err error) {
		body, err = request(address)
		return err
	})
	return body
}

func request(address string) (string, error) {
	conn, err := net.DialTimeout("tcp", address, patience)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if _, err := fmt.Fprintf(conn, "GET / HTTP/1.0\r\n\r\n"); err != nil {
		return "", err
	}
	return readAnswer(conn)
}
