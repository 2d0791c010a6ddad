package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/remotecommand"
	utilexec "k8s.io/client-go/util/exec"
)

const streamsManifest = `
apiVersion: v1
kind: Namespace
metadata: {name: streams}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: worker, namespace: streams}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: streams}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      serviceAccountName: worker
      containers: [{name: web, image: "miniorch/demo:v1", ports: [{containerPort: 8080}], readinessProbe: {httpGet: {path: /readyz, port: 8080}, periodSeconds: 1}}]
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: streams}
spec: {selector: {app: web}, ports: [{name: http, port: 80, targetPort: 8080}]}
---
apiVersion: v1
kind: Pod
metadata: {name: box, namespace: streams}
spec:
  serviceAccountName: worker
  terminationGracePeriodSeconds: 0
  containers:
  - {name: box, image: "busybox:1", command: [sleep, "10000"]}
  - {name: reader, image: "busybox:1", stdin: true, command: [sh, -c, "while read -r line; do echo got $line; done"]}
`

// testStreams is about the verbs that connect: exec, attach, port-forward, cp, run and the
// proxies, with the clients that people have.
func (w *world) testStreams(t *testing.T) {
	w.apply(t, streamsManifest)
	defer func() { w.kubectl(t, "delete", "namespace", "streams", "--wait", "--timeout=3m") }()
	w.kubectl(t, "-n", "streams", "wait", "--for=condition=Ready", "pod/box", "--timeout=3m")
	w.kubectl(t, "-n", "streams", "rollout", "status", "deployment/web", "--timeout=3m")
	programs := map[string]string{"miniorchctl": filepath.Join(w.bin, "miniorchctl")}
	if program, err := exec.LookPath("kubectl"); err == nil {
		programs["kubectl"] = program
	}
	for name, program := range programs {
		t.Run(name, func(t *testing.T) {
			t.Run("run with input", func(t *testing.T) { w.runWithInput(t, program) })
			t.Run("run with a terminal", func(t *testing.T) { w.runWithTerminal(t, program) })
			t.Run("cp", func(t *testing.T) { w.copyFiles(t, program) })
			t.Run("port-forward", func(t *testing.T) { w.forwardPorts(t, program) })
			t.Run("proxy", func(t *testing.T) { w.proxies(t, program) })
		})
	}
	t.Run("remotecommand", w.remoteCommands)
	t.Run("attach across an agent's restart", w.attachAcrossRestart)
}

func (w *world) runWithInput(t *testing.T, program string) {
	out, err := command(w.kubeconfig, "said\n", program, "-n", "streams", "run", "cat", "-i", "--rm", "--restart=Never", "--image=busybox:1",
		"--command", "--", "sh", "-c", "cat; echo over")
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	expect(t, out, "said\n", "over\n")
}

// runWithTerminal types into `run -it` as a person does.
func (w *world) runWithTerminal(t *testing.T, program string) {
	term := w.terminal(t, program, "-n", "streams", "run", "shell", "-it", "--rm", "--restart=Never", "--image=busybox:1", "--command", "--", "sh")
	term.sees(t, "# ")
	term.types(t, "stty size; tty; echo $((40+2))x\n")
	term.sees(t, "42x")
	term.sees(t, "30 100")
	term.sees(t, "/dev/pts/0")
	term.types(t, "exit 3\n")
	if err := term.cmd.Wait(); err == nil {
		t.Errorf("a shell that exits with 3 is reported as a success:\n%s", term.text())
	}
	eventually(t, "the pod to be gone", func() error {
		if out, err := w.run("-n", "streams", "get", "pod", "shell"); err == nil {
			return errors.New(out)
		}
		return nil
	})
}

// terminal is a program with a terminal of its own.
type terminal struct {
	cmd    *exec.Cmd
	master *os.File
	mu     sync.Mutex
	out    bytes.Buffer // guarded by mu
}

func (w *world) terminal(t *testing.T, program string, args ...string) *terminal {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	check(t, err)
	t.Cleanup(func() { master.Close() })
	check(t, unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0))
	number, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	check(t, err)
	check(t, unix.IoctlSetWinsize(int(master.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 30, Col: 100}))
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	check(t, err)
	defer slave.Close()
	term := &terminal{cmd: exec.Command(program, args...), master: master}
	term.cmd.Env = append(os.Environ(), "KUBECONFIG="+w.kubeconfig)
	term.cmd.Stdin, term.cmd.Stdout, term.cmd.Stderr = slave, slave, slave
	term.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	check(t, term.cmd.Start())
	go func() { _, _ = io.Copy(term, master) }() // ends with the last holder of the slave
	t.Cleanup(func() {
		if term.cmd.ProcessState == nil {
			_ = term.cmd.Process.Kill()
			_ = term.cmd.Wait()
		}
	})
	return term
}

func (y *terminal) Write(p []byte) (int, error) {
	y.mu.Lock()
	defer y.mu.Unlock()
	return y.out.Write(p)
}

func (y *terminal) text() string {
	y.mu.Lock()
	defer y.mu.Unlock()
	return y.out.String()
}

func (y *terminal) types(t *testing.T, text string) {
	t.Helper()
	_, err := io.WriteString(y.master, text)
	check(t, err)
}

func (y *terminal) sees(t *testing.T, want string) {
	t.Helper()
	eventually(t, "the terminal to show "+want, func() error {
		if got := y.text(); !strings.Contains(got, want) {
			return errors.New(got)
		}
		return nil
	})
}

func (w *world) copyFiles(t *testing.T, program string) {
	dir := t.TempDir()
	there, back := filepath.Join(dir, "there"), filepath.Join(dir, "back")
	content := strings.Repeat("0123456789abcdef", 1<<16)
	check(t, os.WriteFile(there, []byte(content), 0o644))
	for _, args := range [][]string{{"cp", there, "streams/box:/tmp/file", "-c", "box"}, {"cp", "streams/box:/tmp/file", back, "-c", "box"}} {
		if out, err := command(w.kubeconfig, "", program, args...); err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
	}
	if got, err := os.ReadFile(back); err != nil || string(got) != content {
		t.Errorf("%d bytes came back of %d, %v", len(got), len(content), err)
	}
}

var listening = regexp.MustCompile(`127\.0\.0\.1:(\d+)`)

// background runs a program that says where it listens, until the test ends.
func (w *world) background(t *testing.T, program string, args ...string) (address string) {
	t.Helper()
	term := w.terminal(t, program, args...)
	eventually(t, fmt.Sprint(args, " to listen"), func() error {
		found := listening.FindString(term.text())
		if found == "" {
			return errors.New(term.text())
		}
		address = found
		return nil
	})
	return address
}

func fetch(t *testing.T, url string, code int, want string) {
	t.Helper()
	client := &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Get(url)
	check(t, err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != code || !strings.Contains(string(body), want) {
		t.Errorf("%s: %d %s %v, want %d with %q", url, response.StatusCode, body, err, code, want)
	}
}

func (w *world) forwardPorts(t *testing.T, program string) {
	pod := strings.TrimSpace(w.kubectl(t, "-n", "streams", "get", "pods", "-l", "app=web", "-o", "name"))
	for target, port := range map[string]string{pod: "8080", "deployment/web": "8080", "service/web": "80"} {
		address := w.background(t, program, "-n", "streams", "port-forward", target, ":"+port)
		for range 3 {
			fetch(t, "http://"+address+"/", 200, "demo v1 in pod web-")
		}
	}
}

func (w *world) proxies(t *testing.T, program string) {
	root := "http://" + w.background(t, program, "proxy", "--port=0")
	pod := strings.TrimPrefix(strings.TrimSpace(w.kubectl(t, "-n", "streams", "get", "pods", "-l", "app=web", "-o", "name")), "pod/")
	for path, want := range map[string]string{
		"/pods/" + pod + "/proxy/":                 "demo v1 in pod " + pod,
		"/pods/http:" + pod + ":8080/proxy":        "demo v1 in pod " + pod,
		"/services/web:http/proxy/":                "demo v1 in pod web-",
		"/services/http:web:80/proxy/some/path?x=": "demo v1 in pod web-",
	} {
		fetch(t, root+"/api/v1/namespaces/streams"+path, 200, want)
	}
	fetch(t, root+"/api/v1/nodes/node-1/proxy/healthz", 200, "ok")
	fetch(t, root+"/api/v1/namespaces/streams/pods/"+pod+":1/proxy/", 503, "connection refused")
}

// remoteCommands are what client-go's two executors do.
func (w *world) remoteCommands(t *testing.T) {
	config, err := clientcmd.BuildConfigFromFlags("", w.kubeconfig)
	check(t, err)
	executors := map[string]func(*rest.Config, *rest.Request) (remotecommand.Executor, error){
		"spdy": func(c *rest.Config, r *rest.Request) (remotecommand.Executor, error) {
			return remotecommand.NewSPDYExecutor(c, "POST", r.URL())
		},
		"websocket": func(c *rest.Config, r *rest.Request) (remotecommand.Executor, error) {
			return remotecommand.NewWebSocketExecutor(c, "GET", r.URL().String())
		},
	}
	for name, executor := range executors {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			request := w.clients.CoreV1().RESTClient().Post().Resource("pods").Namespace("streams").Name("box").SubResource("exec").VersionedParams(&corev1.PodExecOptions{
				Container: "box", Command: []string{"sh", "-c", "cat; echo bad >&2; exit 5"}, Stdin: true, Stdout: true, Stderr: true}, scheme.ParameterCodec)
			e, err := executor(config, request)
			check(t, err)
			input := strings.Repeat("0123456789abcdef", 1<<16)
			var out, bad bytes.Buffer
			err = e.StreamWithContext(ctx, remotecommand.StreamOptions{Stdin: strings.NewReader(input), Stdout: &out, Stderr: &bad})
			var code utilexec.CodeExitError
			if !errors.As(err, &code) || code.Code != 5 || out.String() != input || bad.String() != "bad\n" {
				t.Errorf("exec: %v, %d bytes of %d, stderr %q", err, out.Len(), len(input), bad.String())
			}
		})
	}
}

// attachAcrossRestart: an attached session ends with the agent, the container's stdin does not.
func (w *world) attachAcrossRestart(t *testing.T) {
	program := filepath.Join(w.bin, "miniorchctl")
	attach := []string{"-n", "streams", "attach", "-i", "box", "-c", "reader"}
	first := w.terminal(t, program, attach...)
	first.sees(t, "try pressing enter")
	first.types(t, "one\n")
	first.sees(t, "got one")
	node := strings.TrimSpace(w.kubectl(t, "-n", "streams", "get", "pod", "box", "-o", "jsonpath={.spec.nodeName}"))
	check(t, w.Kill(node, true))
	if err := first.cmd.Wait(); err == nil {
		t.Logf("the session ended without an error:\n%s", first.text())
	}
	check(t, w.Start(context.Background(), node))
	eventually(t, "the agent to answer", func() error {
		out, err := w.run("-n", "streams", "exec", "box", "-c", "box", "--", "true")
		if err != nil {
			return errors.New(out)
		}
		return nil
	})
	second := w.terminal(t, program, attach...)
	second.sees(t, "try pressing enter")
	second.types(t, "two\n")
	second.sees(t, "got two")
	if got := w.kubectl(t, "-n", "streams", "get", "pod", "box", "-o", "jsonpath={.status.containerStatuses[*].restartCount}"); got != "0 0" {
		t.Errorf("restarts: %s, want none", got)
	}
}
