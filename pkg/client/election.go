package client

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
)

// Election makes one of several candidates lead, by a Lease. Leadership is a hint that
// saves work, never a lock: a leader that was paused may act for a moment beside its
// successor, so every write must be safe without it. Other candidates' clocks are not
// trusted: a lease is over when it was not renewed for its duration by our own clock.
type Election struct {
	Transport Transport
	Namespace string // default kube-system
	Name      string // of the Lease
	Identity  string // of this candidate, unique among all
	Config    Config

	Duration time.Duration // how long a lease counts without renewal; default 15s
	Renew    time.Duration // how often the leader renews, and gives up after Duration-Renew; default 5s
}

// errLost says that another candidate leads, or that renewing failed for too long.
var errLost = errors.New("leadership was lost")

// observation is a lease as last seen, and when by our clock.
type observation struct {
	lease *coordinationv1.Lease
	at    time.Time
}

// Run stands for election until ctx ends or lead returns on its own, with lead's error.
// lead's context ends when leadership is lost; Run then waits for lead to return and stands
// again. On the way out the lease is given back, so that a successor need not wait.
func (e *Election) Run(ctx context.Context, lead func(ctx context.Context) error) error {
	c := e.withDefaults()
	log := c.Config.Logger.With("lease", c.Name, "identity", c.Identity)
	for {
		if err := c.acquire(ctx, log); err != nil {
			return err
		}
		log.Info("leading")
		err := c.reign(ctx, log, lead)
		if !errors.Is(err, errLost) {
			c.release(ctx, log)
			return err
		}
		log.Warn("lost the lead, standing again")
	}
}

func (e *Election) withDefaults() *Election {
	c := *e
	c.Config = c.Config.withDefaults()
	if c.Namespace == "" {
		c.Namespace = metav1.NamespaceSystem
	}
	if c.Duration == 0 {
		c.Duration = 15 * time.Second
	}
	if c.Renew == 0 {
		c.Renew = c.Duration / 3
	}
	return &c
}

// acquire blocks until this candidate holds the lease. It wakes up when the lease changes
// and when it runs out.
func (e *Election) acquire(ctx context.Context, log *slog.Logger) error {
	wait := backoff{min: reconnectMin, max: e.Renew, rand: e.Config.Rand}
	var seen observation
	for ctx.Err() == nil {
		held, err := e.try(ctx, &seen)
		if held {
			return nil
		}
		if err != nil && ctx.Err() == nil {
			log.Info("cannot acquire lease, will retry", "error", err)
			sleep(ctx, e.Config.Clock, wait.Next())
			continue
		}
		wait.Reset()
		if err := e.awaitChange(ctx, seen); err != nil {
			sleep(ctx, e.Config.Clock, wait.Next())
		}
	}
	return ctx.Err()
}

// try takes or renews the lease if nobody else holds it.
func (e *Election) try(ctx context.Context, seen *observation) (held bool, err error) {
	leases, now := Of[*coordinationv1.Lease](e.Transport), e.Config.Clock.Now()
	lease, err := leases.Get(ctx, e.Namespace, e.Name)
	switch {
	case apierrors.IsNotFound(err):
		lease = &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: e.Namespace, Name: e.Name}}
		_, err = leases.Create(ctx, e.claim(lease, now))
		if apierrors.IsAlreadyExists(err) {
			return false, nil // lost the race; the next look shows to whom
		}
		return err == nil, err
	case err != nil:
		return false, err
	}
	if seen.lease == nil || seen.lease.ResourceVersion != lease.ResourceVersion {
		*seen = observation{lease: lease, at: now}
	}
	if holder := holderOf(lease); holder != "" && holder != e.Identity && now.Before(e.expiry(*seen)) {
		return false, nil
	}
	_, err = leases.Update(ctx, e.claim(lease.DeepCopy(), now))
	if apierrors.IsConflict(err) {
		return false, nil
	}
	return err == nil, err
}

func holderOf(l *coordinationv1.Lease) string {
	if l.Spec.HolderIdentity == nil {
		return ""
	}
	return *l.Spec.HolderIdentity
}

// expiry is when, by our clock, the lease is over if nothing more is heard.
func (e *Election) expiry(o observation) time.Time {
	d := e.Duration
	if s := o.lease.Spec.LeaseDurationSeconds; s != nil {
		d = time.Duration(*s) * time.Second
	}
	return o.at.Add(d)
}

// claim writes this candidate into a lease nobody else holds a pointer to.
func (e *Election) claim(l *coordinationv1.Lease, now time.Time) *coordinationv1.Lease {
	if holderOf(l) != e.Identity {
		at := metav1.NewMicroTime(now)
		var transitions int32
		if l.Spec.LeaseTransitions != nil && holderOf(l) != "" {
			transitions = *l.Spec.LeaseTransitions + 1
		}
		l.Spec.AcquireTime, l.Spec.LeaseTransitions = &at, &transitions
	}
	renewed, seconds, identity := metav1.NewMicroTime(now), int32(max(1, e.Duration.Round(time.Second)/time.Second)), e.Identity
	l.Spec.RenewTime, l.Spec.LeaseDurationSeconds, l.Spec.HolderIdentity = &renewed, &seconds, &identity
	return l
}

// awaitChange returns when the lease is not as it was seen any more, or has run out.
func (e *Election) awaitChange(ctx context.Context, seen observation) error {
	if seen.lease == nil {
		return nil
	}
	w, err := Of[*coordinationv1.Lease](e.Transport).Watch(ctx, e.Namespace, metav1.ListOptions{
		ResourceVersion: seen.lease.ResourceVersion,
		FieldSelector:   fields.OneTermEqualSelector("metadata.name", e.Name).String(),
	})
	if err != nil {
		return fmt.Errorf("watching the lease: %w", err)
	}
	defer w.Stop()
	t := e.Config.Clock.NewTimer(max(0, e.expiry(seen).Sub(e.Config.Clock.Now())))
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C():
	case _, ok := <-w.ResultChan():
		if !ok {
			return errStreamEnded
		}
	}
	return nil
}

// reign runs lead and renews the lease beside it, until one of them ends.
func (e *Election) reign(ctx context.Context, log *slog.Logger, lead func(context.Context) error) error {
	leading, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- lead(leading) }()
	lost := e.renew(ctx, log, ended)
	if lost == nil { // ctx or lead ended; in both cases lead says how
		stop()
		return <-ended
	}
	stop()
	<-ended
	return lost
}

// renew returns nil when ctx ends or lead has reported its end (put back into ended), and
// errLost when the lease could not be kept.
func (e *Election) renew(ctx context.Context, log *slog.Logger, ended chan error) error {
	renewed := e.Config.Clock.Now()
	pause := e.Renew
	for {
		t := e.Config.Clock.NewTimer(pause)
		select {
		case <-ctx.Done():
			t.Stop()
			return nil
		case err := <-ended:
			t.Stop()
			ended <- err
			return nil
		case <-t.C():
		}
		var seen observation
		began := e.Config.Clock.Now()
		call, cancel := context.WithTimeout(ctx, e.Renew)
		held, err := e.try(call, &seen)
		cancel()
		switch {
		case held:
			renewed, pause = began, e.Renew
			continue
		case err == nil && holderOf(orEmpty(seen.lease)) != e.Identity:
			return errLost
		}
		log.Info("cannot renew lease", "error", err)
		if e.Config.Clock.Since(renewed) >= e.Duration-e.Renew {
			return errLost
		}
		pause = e.Renew / 10
	}
}

func orEmpty(l *coordinationv1.Lease) *coordinationv1.Lease {
	if l == nil {
		return &coordinationv1.Lease{}
	}
	return l
}

// release gives the lease back, also when ctx has ended already.
func (e *Election) release(ctx context.Context, log *slog.Logger) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	leases := Of[*coordinationv1.Lease](e.Transport)
	lease, err := leases.Get(ctx, e.Namespace, e.Name)
	if err == nil && holderOf(lease) == e.Identity {
		free, nobody := lease.DeepCopy(), ""
		free.Spec.HolderIdentity = &nobody
		_, err = leases.Update(ctx, free)
	}
	if err != nil {
		log.Debug("cannot release lease", "error", err)
	}
}
