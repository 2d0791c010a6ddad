package e2e

import (
	"context"
	"encoding/base64"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/vishvananda/netns"

	"github.com/miniorch/miniorch/deploy/images"
)

// testRegistry pulls from Debian's docker-registry on a node's loopback, with and without
// credentials. The registry runs in the node's network: its 127.0.0.1 is the node's.
func (w *world) testRegistry(t *testing.T) {
	program, err := exec.LookPath("docker-registry")
	if err != nil {
		t.Skip("docker-registry is not installed: run `make deps`")
	}
	w.registry(t, program, 5000, "")
	passwords, err := exec.Command("htpasswd", "-nbB", "student", "pa55").Output()
	check(t, err)
	file := filepath.Join(t.TempDir(), "htpasswd")
	check(t, os.WriteFile(file, passwords, 0o600))
	w.registry(t, program, 5001, file)

	run := func(pod, image, extra string) {
		w.apply(t, `{apiVersion: v1, kind: Pod, metadata: {name: `+pod+`, labels: {suite: registry}}, spec: {nodeName: node-1, restartPolicy: Never, `+extra+`
  containers: [{name: main, image: "`+image+`", imagePullPolicy: Always, command: [/bin/demo, lines, --count=1]}]}}`)
	}
	auth := base64.StdEncoding.EncodeToString([]byte("student:pa55"))
	w.apply(t, `{apiVersion: v1, kind: Secret, type: kubernetes.io/dockerconfigjson, metadata: {name: pull},
  stringData: {.dockerconfigjson: '{"auths":{"127.0.0.1:5001":{"auth":"`+auth+`"}}}'}}`)
	run("open", "127.0.0.1:5000/pulled/demo:v1", "")
	run("locked-out", "127.0.0.1:5001/pulled/demo:v1", "")
	run("let-in", "127.0.0.1:5001/pulled/demo:v1", "imagePullSecrets: [{name: pull}],")
	w.field(t, "pod/open", ".status.phase", "Succeeded")
	w.event(t, "open", "Pulled", "Successfully pulled image")
	w.field(t, "pod/let-in", ".status.phase", "Succeeded")
	w.event(t, "locked-out", "Failed", "Failed to pull image")
	w.kubectl(t, "delete", "pod", "-l", "suite=registry", "--wait")
}

// registry starts one on the port in node-1's network and pushes the demo image to it.
func (w *world) registry(t *testing.T, program string, port int, passwords string) {
	t.Helper()
	dir := t.TempDir()
	config := fmt.Sprintf("version: 0.1\nlog: {level: error}\nstorage: {filesystem: {rootdirectory: %s}}\nhttp: {addr: 127.0.0.1:%d}\n", dir, port)
	credentials := authn.Anonymous
	if passwords != "" {
		config += fmt.Sprintf("auth: {htpasswd: {realm: test, path: %s}}\n", passwords)
		credentials = &authn.Basic{Username: "student", Password: "pa55"}
	}
	path := filepath.Join(dir, "config.yml")
	check(t, os.WriteFile(path, []byte(config), 0o600))
	cmd := exec.Command(program, "serve", path)
	w.inNetworkOf(t, "node-1", cmd.Start)
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	image, err := images.Demo(filepath.Join(w.bin, "demo"), "v1", runtime.GOARCH)
	check(t, err)
	ref, err := name.ParseReference(fmt.Sprintf("127.0.0.1:%d/pulled/demo:v1", port), name.Insecure)
	check(t, err)
	transport := &http.Transport{DialContext: func(ctx context.Context, network, address string) (conn net.Conn, err error) {
		w.inNetworkOf(t, "node-1", func() error { conn, err = new(net.Dialer).DialContext(ctx, network, address); return nil })
		return conn, err
	}}
	defer transport.CloseIdleConnections()
	eventually(t, "the registry", func() error {
		return remote.Write(ref, image, remote.WithAuth(credentials), remote.WithTransport(transport))
	})
}

// inNetworkOf calls f on a thread in the host's network namespace.
func (w *world) inNetworkOf(t *testing.T, host string, f func() error) {
	t.Helper()
	ns, err := netns.GetFromName("mo-" + w.Plan.Name + "-" + host)
	check(t, err)
	defer ns.Close()
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with this goroutine
		if err := netns.Set(ns); err != nil {
			done <- err
			return
		}
		done <- f()
	}()
	check(t, <-done)
}
