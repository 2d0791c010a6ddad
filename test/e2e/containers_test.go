package e2e

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// testContainers asks the kubelet for each thing that a pod can ask for.
func (w *world) testContainers(t *testing.T) {
	manifest, err := os.ReadFile("testdata/containers.yaml")
	check(t, err)
	trace := t.TempDir()
	w.apply(t, strings.ReplaceAll(string(manifest), "TRACE_DIR", trace))

	t.Run("init containers, env and volumes", w.kitchenSink)
	t.Run("out of memory", func(t *testing.T) {
		w.field(t, "pod/oom", ".status.containerStatuses[0].state.terminated.reason", "OOMKilled")
		w.field(t, "pod/oom", ".status.phase", "Failed")
	})
	t.Run("crash loop", func(t *testing.T) {
		w.field(t, "pod/crashing", ".status.containerStatuses[0].lastState.terminated.exitCode", "3")
		w.field(t, "pod/crashing", ".status.containerStatuses[0].lastState.terminated.message", "crashing with code 3, as asked\n")
		w.field(t, "pod/crashing", ".status.containerStatuses[0].state.waiting.reason", "CrashLoopBackOff")
		expect(t, w.kubectl(t, "get", "pod", "crashing"), "CrashLoopBackOff")
	})
	t.Run("liveness probe", func(t *testing.T) {
		w.field(t, "pod/unhealthy", ".status.containerStatuses[0].lastState.terminated.exitCode", "137")
		w.event(t, "unhealthy", "Unhealthy", "Liveness probe failed")
		w.event(t, "unhealthy", "Killing", "failed liveness probe, will be restarted")
	})
	t.Run("no such image", func(t *testing.T) {
		w.field(t, "pod/no-image", ".status.containerStatuses[0].state.waiting.reason", "ImagePullBackOff")
		w.event(t, "no-image", "Failed", "Failed to pull image")
	})
	t.Run("no such command", func(t *testing.T) {
		eventually(t, "the reason", func() error {
			out := w.kubectl(t, "get", "pod", "no-command", "-o", "jsonpath={.status.containerStatuses[0].state}")
			if !strings.Contains(out, "/no/such/program") || !strings.Contains(out, "128") {
				return fmt.Errorf("state %s", out)
			}
			return nil
		})
	})
	t.Run("no room", func(t *testing.T) {
		w.event(t, "no-room", "FailedScheduling", "0/2 nodes are available: 2 Insufficient cpu")
	})
	t.Run("host network", func(t *testing.T) {
		w.field(t, "pod/on-host", ".status.phase", "Succeeded")
		expect(t, w.kubectl(t, "logs", "on-host"), w.Plan.Hosts[1].IP.String())
		w.field(t, "pod/on-host", ".status.podIP", w.Plan.Hosts[1].IP.String())
	})
	t.Run("hooks", func(t *testing.T) {
		w.field(t, "pod/hooked", ".status.phase", "Running")
		w.kubectl(t, "delete", "pod", "hooked", "--wait")
		content, err := os.ReadFile(filepath.Join(trace, "hooks"))
		if err != nil || string(content) != "started\nstopping\n" {
			t.Errorf("the hooks wrote %q (err %v)", content, err)
		}
	})
	t.Run("names and host ports", w.peers)
	t.Run("volumes follow their source", w.configUpdate)
	w.kubectl(t, "delete", "pod", "-l", "suite=containers", "--wait", "--timeout=3m")
}

func (w *world) kitchenSink(t *testing.T) {
	w.field(t, "pod/kitchen-sink", ".status.phase", "Succeeded")
	out := w.kubectl(t, "logs", "kitchen-sink")
	ip := w.kubectl(t, "get", "pod", "kitchen-sink", "-o", "jsonpath={.status.podIP}")
	expect(t, out,
		"first\nsecond\n",
		"env hello s3cret kitchen-sink "+ip+" 200 <hello> "+w.Plan.Services.Addr().Next().String()+" hello\n",
		"from-the-config-map\ns3cret\n", `tier="one"`, "\ndefault\n", "has-token", "mem-is-tmpfs", "\nkitchen-sink\n",
		"nameserver "+w.Plan.DNS.String(), "search default.svc.cluster.local svc.cluster.local cluster.local", "options ndots:5")
	w.field(t, "pod/kitchen-sink", ".status.containerStatuses[0].state.terminated.message", "done\n")
	w.field(t, "pod/kitchen-sink", ".status.initContainerStatuses[1].state.terminated.reason", "Completed")
	w.field(t, "pod/kitchen-sink", ".status.qosClass", "Burstable") // the init containers ask for nothing
}

func (w *world) peers(t *testing.T) {
	w.kubectl(t, "wait", "--for=condition=Ready", "pod/peer", "--timeout=3m")
	ip := w.kubectl(t, "get", "pod", "peer", "-o", "jsonpath={.status.podIP}")
	host := w.kubectl(t, "get", "pod", "peer", "-o", "jsonpath={.status.hostIP}")
	for _, name := range []string{"peers", "peer-0.peers", "peer-0.peers.default.svc.cluster.local"} {
		eventually(t, "the name "+name, func() error {
			if out, err := w.run("exec", "peer", "--", "/bin/demo", "lookup", name); err != nil || strings.TrimSpace(out) != ip {
				return fmt.Errorf("%s is %q (err %v), want %s", name, out, err, ip)
			}
			return nil
		})
	}
	expect(t, w.inPod(t, "peer", "/bin/demo", "lookup", "--type=SRV", "_http._tcp.peers.default.svc.cluster.local"), "peer-0.peers.default.svc.cluster.local.:8080")
	expect(t, w.inPod(t, "peer", "/bin/demo", "lookup", "--type=PTR", ip), "peer-0.peers.default.svc.cluster.local.")
	expect(t, get(t, net.JoinHostPort(host, "18080")), "demo v1 in pod peer-0")
}

// configUpdate changes a ConfigMap under a running pod.
func (w *world) configUpdate(t *testing.T) {
	w.apply(t, `{apiVersion: v1, kind: Pod, metadata: {name: reader, labels: {suite: containers}}, spec: {terminationGracePeriodSeconds: 0,
  containers: [{name: main, image: "busybox:1", command: [sleep, "3600"], volumeMounts: [{name: conf, mountPath: /conf}]}],
  volumes: [{name: conf, configMap: {name: conf}}]}}`)
	w.kubectl(t, "wait", "--for=condition=Ready", "pod/reader", "--timeout=3m")
	w.kubectl(t, "patch", "configmap", "conf", "--type=merge", "-p", `{"data":{"file.txt":"changed"}}`)
	eventually(t, "the changed file", func() error {
		if out := w.inPod(t, "reader", "cat", "/conf/file.txt"); out != "changed" {
			return fmt.Errorf("content %q", out)
		}
		return nil
	})
}

// field waits until a field of an object has a value.
func (w *world) field(t *testing.T, object, path, want string) {
	t.Helper()
	eventually(t, object+" "+path, func() error {
		got := w.kubectl(t, "get", object, "-o", "jsonpath={"+path+"}")
		if got != want {
			return fmt.Errorf("it is %q, want %q", got, want)
		}
		return nil
	})
}

// event waits until a pod has an event with the reason whose message contains words.
func (w *world) event(t *testing.T, pod, reason, words string) {
	t.Helper()
	eventually(t, "event "+reason+" of "+pod, func() error {
		out := w.kubectl(t, "get", "events", "--field-selector=involvedObject.name="+pod+",reason="+reason, "-o", `jsonpath={range .items[*]}{.message}{"\n"}{end}`)
		if !strings.Contains(out, words) {
			return fmt.Errorf("want %q in %q", words, out)
		}
		return nil
	})
}
