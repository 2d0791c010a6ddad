package kubelet

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/miniorch/miniorch/kubelet/container"
	"github.com/miniorch/miniorch/kubelet/lifecycle"
	"github.com/miniorch/miniorch/kubelet/probes"
)

// minimumKill is what a container is given after its preStop hook has used up the time.
const minimumKill = 2 * time.Second

// stopContainer runs the preStop hook, then signals and waits. Both share the grace period.
func (w *worker) stopContainer(ctx context.Context, a lifecycle.Action, pod *corev1.Pod, around surroundings) error {
	why := a.Why
	if why == "" {
		why = "Stopping container " + a.Name
	}
	w.containerEvent(pod, a.Name, corev1.EventTypeNormal, "Killing", "%s", why)
	began, grace := w.k.cfg.Clock.Now(), a.Grace
	c := containerOf(pod, a.Name)
	if a.Hook && c != nil && c.Lifecycle != nil && c.Lifecycle.PreStop != nil && grace > 0 {
		hookCtx, cancel := w.withTimeout(ctx, grace)
		err := w.runHook(hookCtx, pod, c, a.ID, c.Lifecycle.PreStop, around)
		cancel()
		if err != nil && ctx.Err() == nil {
			w.containerEvent(pod, c.Name, corev1.EventTypeWarning, "FailedPreStopHook", "PreStopHook failed: %v", err)
		}
		grace = max(grace-w.k.cfg.Clock.Since(began), minimumKill)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	err := w.k.parts.Runtime.Stop(ctx, a.ID, container.StopRequest{Grace: grace})
	if err != nil && !errors.Is(err, container.ErrNotFound) && !errors.Is(err, container.ErrNotRunning) {
		return fmt.Errorf("stopping container %s: %w", a.Name, err)
	}
	return nil
}

// withTimeout is context.WithTimeout by the injected clock.
func (w *worker) withTimeout(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	timer := w.k.cfg.Clock.NewTimer(d)
	w.running.Go(func() {
		defer timer.Stop()
		select {
		case <-timer.C():
			cancel()
		case <-ctx.Done():
		}
	})
	return ctx, cancel
}

// postStart runs the hook; a container whose hook fails is stopped.
func (w *worker) postStart(ctx context.Context, pod *corev1.Pod, c *corev1.Container, id string, around surroundings) {
	err := w.runHook(ctx, pod, c, id, c.Lifecycle.PostStart, around)
	if err == nil || ctx.Err() != nil {
		return
	}
	w.containerEvent(pod, c.Name, corev1.EventTypeWarning, "FailedPostStartHook", "PostStartHook failed: %v", err)
	stop := lifecycle.Action{Verb: lifecycle.Stop, Name: c.Name, ID: id, Grace: minimumKill, Why: "FailedPostStartHook"}
	if err := w.stopContainer(ctx, stop, pod, around); err != nil {
		w.log.Warn("cannot stop a container after its failed hook", "container", c.Name, "err", err)
	}
}

func (w *worker) runHook(ctx context.Context, pod *corev1.Pod, c *corev1.Container, id string, h *corev1.LifecycleHandler, around surroundings) error {
	target := w.target(pod, c, id, around)
	switch {
	case h.Exec != nil:
		output, code, err := target.Exec(ctx, h.Exec.Command)
		if err == nil && code != 0 {
			err = fmt.Errorf("command '%s' exited with %d: %s", h.Exec.Command, code, output)
		}
		return err
	case h.HTTPGet != nil:
		return target.HTTPGet(ctx, h.HTTPGet)
	case h.Sleep != nil:
		select {
		case <-w.k.cfg.Clock.After(time.Duration(h.Sleep.Seconds) * time.Second):
		case <-ctx.Done():
		}
		return nil
	}
	return errors.New("the hook's handler is not supported")
}

// target is a container as probes and hooks reach it.
func (w *worker) target(pod *corev1.Pod, c *corev1.Container, id string, around surroundings) probes.Target {
	ip := w.k.cfg.NodeIP
	if len(around.sandbox.IPs) > 0 && !pod.Spec.HostNetwork {
		ip = around.sandbox.IPs[0]
	}
	return probes.Target{IP: ip, Container: c, Exec: func(ctx context.Context, command []string) (string, int, error) {
		out := &limited{max: 10 << 10}
		code, err := w.k.parts.Runtime.Exec(ctx, id, container.ExecRequest{Command: command, Stdout: out, Stderr: out})
		return out.String(), code, err
	}}
}

// limited keeps the first bytes of an output and drops the rest. Stdout and stderr may be
// written at the same time.
type limited struct {
	mu  sync.Mutex
	buf bytes.Buffer // guarded by mu
	max int
}

// Write never fails: what is dropped must not stop the process.
func (l *limited) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.buf.Write(p[:min(len(p), l.max-l.buf.Len())])
	return len(p), nil
}

// String returns what was kept.
func (l *limited) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}
