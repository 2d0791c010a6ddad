// Package clients runs programs that were written for Kubernetes against an API server of ours:
// kubectl, Helm and controller-runtime, unmodified. It is a module of its own, so that what
// they need does not become part of what miniorch needs.
package clients

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	helm "helm.sh/helm/v4/pkg/cmd"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
	kubectl "k8s.io/kubectl/pkg/cmd"

	"github.com/miniorch/miniorch/apiserver"
	"github.com/miniorch/miniorch/apiserver/storage/memory"
	"github.com/miniorch/miniorch/pkg/leaktest"
)

// program makes this binary be one of the clients, whose code is linked in.
const program = "MINIORCH_TEST_PROGRAM"

func TestMain(m *testing.M) {
	switch os.Getenv(program) {
	case "helm":
		cmd, err := helm.NewRootCmd(os.Stdout, os.Args[1:], helm.SetupLogging)
		if err == nil {
			err = cmd.Execute()
		}
		exit(err)
	case "kubectl":
		exit(kubectl.NewDefaultKubectlCommand().Execute())
	}
	klog.LogToStderr(false) // what programs say when their server is gone
	klog.SetOutput(io.Discard)
	leaktest.Main(m)
}

func exit(err error) {
	if err != nil {
		os.Exit(1)
	}
	os.Exit(0)
}

// cluster is an API server and a home for its clients.
type cluster struct {
	*testing.T
	home, kubeconfig string
	config           *rest.Config
	set              *kubernetes.Clientset
}

func startCluster(t *testing.T) *cluster {
	home := t.TempDir()
	security, err := apiserver.OpenSecurity(apiserver.SecurityConfig{Dir: filepath.Join(home, "pki")})
	check(t, err)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	cfg := apiserver.Config{Listener: listener, Logger: slog.New(slog.DiscardHandler), ShutdownGrace: 20 * time.Millisecond}
	security.Apply(&cfg)
	server, err := apiserver.New(memory.New(memory.Config{}), cfg)
	check(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := server.Run(ctx); err != nil {
			t.Errorf("the server ended with: %v", err)
		}
	}()
	t.Cleanup(func() { cancel(); <-ended })
	select {
	case <-server.Ready():
	case <-ended:
		t.Fatal("the server did not become ready")
	}
	url := "https://" + listener.Addr().String()
	c := &cluster{T: t, home: home, kubeconfig: filepath.Join(home, "config")}
	check(t, security.WriteAdminKubeconfig(c.kubeconfig, url, "test"))
	c.config = &rest.Config{Host: url, QPS: -1, TLSClientConfig: rest.TLSClientConfig{
		CAData: security.CA.PEM(), CertData: security.Admin.Cert, KeyData: security.Admin.Key}}
	web, err := rest.HTTPClientFor(c.config)
	check(t, err)
	t.Cleanup(web.CloseIdleConnections)
	c.set, err = kubernetes.NewForConfigAndClient(c.config, web)
	check(t, err)
	_, err = c.set.CoreV1().ServiceAccounts("default").Create(t.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "default"}}, metav1.CreateOptions{})
	check(t, err)
	return c
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// command prepares a run of a client's program.
func (c *cluster) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	self, err := os.Executable()
	check(c.T, err)
	cmd := exec.CommandContext(ctx, self, args...)
	cmd.Env = append(os.Environ(), program+"="+name, "HOME="+c.home, "KUBECONFIG="+c.kubeconfig, "XDG_CACHE_HOME="+c.home, "XDG_CONFIG_HOME="+c.home, "XDG_DATA_HOME="+c.home)
	return cmd
}

// run runs a client's program, which must succeed, and demands words of what it prints.
func (c *cluster) run(name, stdin string, args string, want ...string) string {
	c.Helper()
	out, err := c.try(name, stdin, args)
	if err != nil {
		c.Fatalf("%s %s: %v\n%s", name, args, err, out)
	}
	c.demand(name+" "+args, out, want)
	return out
}

// fail runs a client's program, which must fail.
func (c *cluster) fail(name, stdin string, args string, want ...string) {
	c.Helper()
	out, err := c.try(name, stdin, args)
	if err == nil {
		c.Errorf("%s %s succeeded:\n%s", name, args, out)
	}
	c.demand(name+" "+args, out, want)
}

func (c *cluster) try(name, stdin, args string) (string, error) {
	ctx, cancel := context.WithTimeout(c.Context(), 2*time.Minute)
	defer cancel()
	cmd := c.command(ctx, name, strings.Fields(args)...)
	var out bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &out
	err := cmd.Run()
	return out.String(), err
}

func (c *cluster) demand(what, out string, want []string) {
	c.Helper()
	for _, words := range want {
		if !strings.Contains(out, words) {
			c.Errorf("%s: no %q in\n%s", what, words, out)
		}
	}
}
