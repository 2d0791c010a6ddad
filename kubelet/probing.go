package kubelet

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/miniorch/miniorch/kubelet/container"
	"github.com/miniorch/miniorch/kubelet/lifecycle"
	"github.com/miniorch/miniorch/kubelet/probes"
)

// probing is the probes of one running container.
type probing struct {
	result lifecycle.Probe
	stops  map[probes.Kind]context.CancelFunc
	found  bool // it ran before the agent did
}

// tendProbes has exactly those probes run that apply now: the startup probe alone until it
// has passed; liveness not once the pod is ending.
func (w *worker) tendProbes(ctx context.Context, state lifecycle.State) {
	alive := map[string]bool{}
	for _, c := range w.k.seen.of(w.uid) {
		spec := containerOf(w.pod, c.Name)
		if c.State != container.StateRunning || spec == nil || w.hooked[c.ID] || !probed(spec) {
			continue
		}
		alive[c.ID] = true
		w.tendContainerProbes(ctx, c, spec, state)
	}
	for id, p := range w.probes {
		if !alive[id] && !w.hooked[id] {
			for _, stop := range p.stops {
				stop()
			}
			delete(w.probes, id)
		}
	}
}

func probed(c *corev1.Container) bool {
	return c.StartupProbe != nil || c.ReadinessProbe != nil || c.LivenessProbe != nil
}

func (w *worker) tendContainerProbes(ctx context.Context, c container.Container, spec *corev1.Container, state lifecycle.State) {
	p := w.probes[c.ID]
	if p == nil {
		p = &probing{stops: map[probes.Kind]context.CancelFunc{}}
		w.probes[c.ID] = p
	}
	if p.stops == nil {
		p.stops = map[probes.Kind]context.CancelFunc{}
	}
	ending := state != lifecycle.Running && state != lifecycle.Initializing
	started := spec.StartupProbe == nil || p.result.Started
	want := map[probes.Kind]*corev1.Probe{
		probes.Startup: unless(started || ending, spec.StartupProbe), probes.Readiness: unless(!started, spec.ReadinessProbe),
		probes.Liveness: unless(!started || ending || p.result.Failed != "", spec.LivenessProbe),
	}
	for kind, probe := range want {
		switch stop, runs := p.stops[kind]; {
		case probe == nil && runs:
			stop()
			delete(p.stops, kind)
		case probe != nil && !runs:
			p.stops[kind] = w.startProbe(ctx, c, spec, kind, probe, p)
		}
	}
}

func unless(no bool, p *corev1.Probe) *corev1.Probe {
	if no {
		return nil
	}
	return p
}

func (w *worker) startProbe(ctx context.Context, c container.Container, spec *corev1.Container, kind probes.Kind, probe *corev1.Probe, p *probing) context.CancelFunc {
	ctx, cancel := context.WithCancel(ctx)
	s := probes.Spec{
		Kind: kind, Probe: probe, Target: w.target(w.pod, spec, c.ID, w.around), StartedAt: c.StartedAt, Clock: w.k.cfg.Clock,
	}
	switch kind {
	case probes.Liveness:
		s.Initial = probes.Healthy
	case probes.Readiness:
		s.Initial = probes.Unhealthy
		if p.result.Ready {
			s.Initial = probes.Healthy
		}
	}
	if p.found {
		s.Jitter = time.Duration(w.k.cfg.Rand() * float64(max(1, probe.PeriodSeconds)) * float64(time.Second))
	}
	w.running.Go(func() {
		defer cancel()
		probes.Run(ctx, s, func(o probes.Outcome) { w.post(func() { w.probeResult(ctx, c, spec, probe, o) }) })
	})
	return cancel
}

// probeResult notes one check, unless its probe was stopped meanwhile.
func (w *worker) probeResult(ctx context.Context, c container.Container, spec *corev1.Container, probe *corev1.Probe, o probes.Outcome) {
	p := w.probes[c.ID]
	if p == nil || ctx.Err() != nil && o.Kind != probes.Startup {
		return
	}
	if !o.Healthy {
		w.containerEvent(w.pod, c.Name, corev1.EventTypeWarning, "Unhealthy", "%s probe failed: %s", o.Kind, o.Detail)
	}
	if !o.Changed {
		return
	}
	switch {
	case o.Kind == probes.Readiness:
		p.result.Ready = o.Verdict == probes.Healthy
	case o.Kind == probes.Startup && o.Verdict == probes.Healthy:
		p.result.Started = true
	case o.Verdict == probes.Unhealthy:
		word := map[probes.Kind]string{probes.Liveness: "liveness", probes.Startup: "startup"}[o.Kind]
		p.result.Failed = fmt.Sprintf("Container %s failed %s probe, will be restarted", c.Name, word)
		p.result.Grace = probe.TerminationGracePeriodSeconds
	}
}

// rememberProbes takes over what the API says of containers that were found running: they
// have started, and are ready until a probe says otherwise.
func (w *worker) rememberProbes() {
	for _, c := range w.k.seen.of(w.uid) {
		for _, list := range [][]corev1.ContainerStatus{w.pod.Status.InitContainerStatuses, w.pod.Status.ContainerStatuses} {
			for _, s := range list {
				if s.ContainerID != "containerd://"+c.ID || s.Started == nil || !*s.Started {
					continue
				}
				w.probes[c.ID] = &probing{found: true, result: lifecycle.Probe{Started: true, Ready: s.Ready}}
			}
		}
	}
}
