package probes

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/clock"
)

// Kind says what a probe decides about.
type Kind string

// The kinds of probes, in the words of their events.
const (
	Startup   Kind = "Startup"
	Readiness Kind = "Readiness"
	Liveness  Kind = "Liveness"
)

// Verdict is what several checks in a row add up to.
type Verdict int

// The verdicts.
const (
	Unknown Verdict = iota
	Healthy
	Unhealthy
)

// Tally counts checks in a row. The zero value has seen none.
type Tally struct {
	Verdict Verdict
	streak  int32
	last    bool
}

// Add counts one check and reports whether the verdict changed with it.
func (t *Tally) Add(healthy bool, p *corev1.Probe) (changed bool) {
	if t.streak > 0 && t.last == healthy {
		t.streak++
	} else {
		t.last, t.streak = healthy, 1
	}
	need, verdict := max(1, p.SuccessThreshold), Healthy
	if !healthy {
		need, verdict = p.FailureThreshold, Unhealthy
		if need == 0 {
			need = 3
		}
	}
	if t.streak < need || t.Verdict == verdict {
		return false
	}
	t.Verdict = verdict
	return true
}

// Outcome is one check and what follows from it.
type Outcome struct {
	Kind    Kind
	Healthy bool
	Detail  string // of a failed check
	Changed bool   // the verdict is another than before
	Verdict Verdict
}

// Spec is one probe of one running container.
type Spec struct {
	Kind      Kind
	Probe     *corev1.Probe
	Target    Target
	StartedAt time.Time // of the container
	Initial   Verdict   // what held before: a restarted agent does not start from nothing
	// Jitter delays the first check, so that a restarted agent does not ask everybody at once.
	Jitter time.Duration

	Clock clock.WithTicker
}

// Run checks until ctx ends, or, for startup probes, until the first verdict. Each check
// is reported from this goroutine.
func Run(ctx context.Context, s Spec, report func(Outcome)) {
	tally := Tally{Verdict: s.Initial}
	first := s.StartedAt.Add(time.Duration(s.Probe.InitialDelaySeconds) * time.Second)
	wait := max(s.Jitter, first.Sub(s.Clock.Now()))
	period := time.Duration(s.Probe.PeriodSeconds) * time.Second
	if period <= 0 {
		period = 10 * time.Second
	}
	for {
		if wait > 0 {
			timer := s.Clock.NewTimer(wait)
			select {
			case <-ctx.Done():
				timer.Stop()
				return
			case <-timer.C():
			}
		}
		detail, healthy := s.check(ctx)
		if ctx.Err() != nil {
			return
		}
		changed := tally.Add(healthy, s.Probe)
		report(Outcome{Kind: s.Kind, Healthy: healthy, Detail: detail, Changed: changed, Verdict: tally.Verdict})
		if s.Kind == Startup && tally.Verdict == Healthy {
			return
		}
		wait = period
	}
}

func (s Spec) check(ctx context.Context) (string, bool) {
	ctx, cancel := context.WithTimeout(ctx, timeout(s.Probe))
	defer cancel()
	return Check(ctx, s.Probe.ProbeHandler, s.Target)
}
