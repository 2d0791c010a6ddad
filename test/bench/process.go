package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// process is a program that was started, with its output in a file.
type process struct {
	cmd   *exec.Cmd
	log   string
	began time.Time
	ended chan error
}

func start(log, program string, args ...string) (*process, error) {
	out, err := os.Create(log)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	p := &process{cmd: exec.Command(program, args...), log: log, ended: make(chan error, 1)}
	p.cmd.Stdout, p.cmd.Stderr = out, out
	// It ends with this process, however that ends.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	p.began = time.Now()
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() { p.ended <- p.cmd.Wait() }()
	return p, nil
}

// stop ends the process politely, then not, and waits for its end.
func (p *process) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.ended:
	case <-time.After(20 * time.Second):
		_ = p.cmd.Process.Kill()
		<-p.ended
	}
}

// failure says how a process ended that should not have.
func (p *process) failure(err error) error {
	text, _ := os.ReadFile(p.log)
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return fmt.Errorf("%s ended: %w; its last words:\n%s", filepath.Base(p.cmd.Path), err, strings.Join(lines[max(0, len(lines)-10):], "\n"))
}

// memory reads what /proc says of a process: VmRSS now, VmHWM at most, in bytes.
func memory(pid int, field string) (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, field+":"); ok {
			kb, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			return kb << 10, err
		}
	}
	return 0, fmt.Errorf("process %d has no %s", pid, field)
}

// cpu is the processor time that a process has used.
func cpu(pid int) time.Duration {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	// After the name, which may have anything in it: user and system time are 12th and 13th.
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	var ticks int64
	for _, field := range fields[11:13] {
		n, _ := strconv.ParseInt(field, 10, 64)
		ticks += n
	}
	return time.Duration(ticks) * (time.Second / 100) // Linux has said 100 a second since ever
}

// master is a control plane alone, on loopback, with its data in a directory of its own.
type master struct {
	*process
	data   string
	config *rest.Config
}

// startMaster starts miniorch-master and returns when it says that it is ready.
func (b *bench) startMaster(ctx context.Context, data string, flags ...string) (*master, error) {
	if err := os.MkdirAll(data, 0o700); err != nil {
		return nil, err
	}
	// A start on old data has the kubeconfig of the last one.
	if err := os.RemoveAll(filepath.Join(data, "admin.kubeconfig")); err != nil {
		return nil, err
	}
	args := append([]string{"--data-dir", data, "--secure-port", "0"}, flags...)
	if b.profiles != "" {
		args = append(args, "--profiling")
	}
	p, err := start(filepath.Join(data, "log"), filepath.Join(b.bin, "miniorch-master"), args...)
	if err != nil {
		return nil, err
	}
	m := &master{process: p, data: data}
	if err := m.waitReady(ctx); err != nil {
		m.stop()
		return nil, err
	}
	return m, nil
}

func (m *master) kubeconfig() string { return filepath.Join(m.data, "admin.kubeconfig") }

// waitReady asks every other millisecond, for what is waited for takes tens of them.
func (m *master) waitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		if m.config == nil {
			if c, err := clientcmd.BuildConfigFromFlags("", m.kubeconfig()); err == nil {
				m.config = plain(c)
			}
		}
		if m.config != nil && isReady(ctx, m.config) {
			return nil
		}
		select {
		case err := <-m.ended:
			m.ended <- err
			return m.failure(err)
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready: %w", m.kubeconfig(), ctx.Err())
		case <-time.After(2 * time.Millisecond):
		}
	}
}

func isReady(ctx context.Context, c *rest.Config) bool {
	client, err := rest.HTTPClientFor(c)
	if err != nil {
		return false
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.Host+"/readyz", nil)
	if err != nil {
		return false
	}
	resp, err := client.Do(req)
	if err != nil {
		return false
	}
	resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}
