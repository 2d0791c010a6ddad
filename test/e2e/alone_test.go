package e2e

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"k8s.io/utils/clock"

	"github.com/miniorch/miniorch/apiserver/storage/etcd"
	"github.com/miniorch/miniorch/pkg/pki"
)

// alone is a control plane in one process on loopback, without nodes and without root.
type alone struct {
	t    *testing.T
	dir  string
	port string
	args []string
	cmd  *exec.Cmd
}

func startAlone(t *testing.T, args ...string) *alone {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	_, port, err := net.SplitHostPort(l.Addr().String())
	check(t, err)
	check(t, l.Close())
	a := &alone{t: t, dir: t.TempDir(), port: port, args: args}
	a.start()
	t.Cleanup(a.kill)
	return a
}

func (a *alone) start() {
	a.t.Helper()
	bin, err := filepath.Abs("../../bin/miniorch-master")
	check(a.t, err)
	a.cmd = exec.Command(bin, append([]string{"--data-dir", a.dir, "--secure-port", a.port}, a.args...)...)
	a.cmd.Stderr = testWriter{a.t}
	check(a.t, a.cmd.Start())
	eventually(a.t, "/readyz", func() error {
		ca, err := os.ReadFile(filepath.Join(a.dir, "pki", "ca.crt"))
		if err != nil {
			return err
		}
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM(ca)
		transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}
		defer transport.CloseIdleConnections()
		resp, err := (&http.Client{Transport: transport}).Get("https://127.0.0.1:" + a.port + "/readyz")
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("/readyz: %s", resp.Status)
		}
		return nil
	})
}

func (a *alone) kill() {
	_ = a.cmd.Process.Kill()
	_ = a.cmd.Wait()
}

func (a *alone) kubectl(args ...string) string {
	a.t.Helper()
	bin, err := filepath.Abs("../../bin/miniorchctl")
	check(a.t, err)
	out, err := command(filepath.Join(a.dir, "admin.kubeconfig"), "", bin, args...)
	if err != nil {
		a.t.Fatalf("miniorchctl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// TestMasterAlone runs the control plane with no flag but its directory and port.
func TestMasterAlone(t *testing.T) {
	a := startAlone(t)
	a.kubectl("create", "deployment", "web", "--image=miniorch/demo:v1", "--replicas=2")
	eventually(t, "two pods", func() error {
		if out := a.kubectl("get", "pods", "-o", "name"); strings.Count(out, "pod/web-") != 2 {
			return fmt.Errorf("pods:\n%s", out)
		}
		return nil
	})
	a.kill()
	a.start()
	expect(t, a.kubectl("get", "deployment", "web"), "web")
	check(t, a.cmd.Process.Signal(os.Interrupt))
	if err := a.cmd.Wait(); err != nil {
		t.Errorf("a clean shutdown ends with %v, want success", err)
	}
}

// TestExternalEtcd keeps the cluster's data in an etcd of its own, over mutual TLS: a new
// control plane on another machine would find everything there.
func TestExternalEtcd(t *testing.T) {
	dir := t.TempDir()
	ca, err := pki.OpenCA(dir, clock.RealClock{})
	check(t, err)
	for name, subject := range map[string]pki.Subject{
		"server": {Name: "etcd", Hosts: []string{"127.0.0.1"}, Server: true, Client: true}, // etcd's own gateway calls it
		"client": {Name: "miniorch", Client: true},
	} {
		_, err := ca.Ensure(dir, name, subject)
		check(t, err)
	}
	file := func(name string) string { return filepath.Join(dir, name) }
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	server := "https://" + l.Addr().String()
	check(t, l.Close())
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	member, err := etcd.StartEmbedded(ctx, etcd.EmbeddedConfig{
		DataDir: filepath.Join(dir, "etcd"), ClientListen: []string{server},
		ClientTLS: etcd.TLSFiles{Cert: file("server.crt"), Key: file("server.key"), CA: file("ca.crt")},
	})
	check(t, err)
	t.Cleanup(func() { check(t, member.Close()) })

	flags := []string{"--etcd-servers", server, "--etcd-certfile", file("client.crt"), "--etcd-keyfile", file("client.key"), "--etcd-cafile", file("ca.crt")}
	first := startAlone(t, flags...)
	first.kubectl("create", "configmap", "kept", "--from-literal=a=b")
	first.kill()
	second := startAlone(t, flags...)
	expect(t, second.kubectl("get", "configmap", "kept", "-o", "jsonpath={.data.a}"), "b")
	if _, err := os.Stat(filepath.Join(second.dir, "etcd")); err == nil {
		t.Error("with an external etcd the master has started its own as well")
	}
	second.kubectl("create", "deployment", "web", "--image=miniorch/demo:v1")
	eventually(t, "the new leader's work", func() error {
		if out := second.kubectl("get", "pods", "-o", "name"); !strings.Contains(out, "pod/web-") {
			return fmt.Errorf("pods:\n%s", out)
		}
		return nil
	})
}
