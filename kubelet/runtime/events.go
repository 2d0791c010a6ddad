package runtime

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	apievents "github.com/containerd/containerd/api/events"
	tasks "github.com/containerd/containerd/api/services/tasks/v1"
	tasktypes "github.com/containerd/containerd/api/types/task"
	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/core/events"
	"github.com/containerd/typeurl/v2"

	"github.com/miniorch/miniorch/kubelet/cgroups"
	"github.com/miniorch/miniorch/kubelet/container"
)

// topicSubscribed is published by ourselves to learn that a subscription works.
const topicSubscribed = "/miniorch/subscribed"

// subscribeRetry is the pause between two such marks.
const subscribeRetry = 50 * time.Millisecond

// Events streams what happens to containers from now on: everything that happens after
// it returns is delivered. The channel is closed when ctx ends or the connection to
// containerd is lost; who wants to go on calls again and lists anew.
//
// While the stream is open, ended containers are tidied up: how they ended is written to
// their labels and their tasks, which hold a process each for the shim and the log, go.
func (r *Runtime) Events(ctx context.Context) (<-chan container.ContainerEvent, error) {
	ctx, cancel := context.WithCancel(r.scope(ctx))
	envelopes, failed := r.client.Subscribe(ctx,
		"namespace=="+strconv.Quote(r.cfg.Namespace)+`,topic~="^(/tasks/(start|exit|oom)|`+topicSubscribed+`)$"`)
	early, err := r.awaitSubscription(ctx, envelopes, failed)
	if err == nil {
		err = r.sweep(ctx)
	}
	if err != nil {
		cancel()
		return nil, fmt.Errorf("subscribing to containerd's events: %w", translate(err))
	}
	out := make(chan container.ContainerEvent, 64)
	go func() {
		defer close(out)
		reaper := r.newReaper(ctx)
		defer reaper.wait()
		defer cancel()
		reaper.reapStopped()
		err := forward(ctx, early, envelopes, failed, func(e container.ContainerEvent) {
			if e.Type == container.EventExited {
				reaper.reap(e.ID)
			}
			select {
			case out <- e:
			case <-ctx.Done():
			}
		})
		if ctx.Err() == nil {
			r.cfg.Logger.Warn("lost containerd's event stream", "error", err)
		}
	}()
	return out, nil
}

// awaitSubscription returns once events arrive for sure, with those that already did.
// The server subscribes some time after the client's call returns; so we publish a mark
// until we see it.
func (r *Runtime) awaitSubscription(ctx context.Context, envelopes <-chan *events.Envelope, failed <-chan error) ([]*events.Envelope, error) {
	mark := r.cfg.NewID()
	var early []*events.Envelope
	for {
		if err := r.client.EventService().Publish(ctx, topicSubscribed, &apievents.NamespaceCreate{Name: mark}); err != nil {
			return nil, err
		}
		again := r.cfg.Clock.After(subscribeRetry)
	wait:
		for {
			select {
			case e := <-envelopes:
				if e.Topic != topicSubscribed {
					early = append(early, e)
				} else if isMark(e, mark) {
					return early, nil
				}
			case err := <-failed:
				return nil, errors.Join(errors.New("stream ended"), err)
			case <-ctx.Done():
				return nil, ctx.Err()
			case <-again:
				break wait
			}
		}
	}
}

func isMark(e *events.Envelope, mark string) bool {
	decoded, err := typeurl.UnmarshalAny(e.Event)
	if err != nil {
		return false
	}
	m, ok := decoded.(*apievents.NamespaceCreate)
	return ok && m.Name == mark
}

// forward delivers the translation of every envelope until the stream ends.
func forward(ctx context.Context, early []*events.Envelope, envelopes <-chan *events.Envelope, failed <-chan error, deliver func(container.ContainerEvent)) error {
	for _, e := range early {
		if event, ok := translateEvent(e); ok {
			deliver(event)
		}
	}
	for {
		select {
		case e := <-envelopes:
			if event, ok := translateEvent(e); ok {
				deliver(event)
			}
		case err := <-failed:
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// translateEvent is the pure translation of containerd's events about first processes.
func translateEvent(e *events.Envelope) (container.ContainerEvent, bool) {
	if e == nil || e.Event == nil {
		return container.ContainerEvent{}, false
	}
	decoded, err := typeurl.UnmarshalAny(e.Event)
	if err != nil {
		return container.ContainerEvent{}, false
	}
	out := container.ContainerEvent{Time: e.Timestamp}
	switch v := decoded.(type) {
	case *apievents.TaskStart:
		out.Type, out.ID, out.PID = container.EventStarted, v.ContainerID, int(v.Pid)
	case *apievents.TaskOOM:
		out.Type, out.ID = container.EventOOM, v.ContainerID
	case *apievents.TaskExit:
		if v.ID != v.ContainerID {
			return container.ContainerEvent{}, false // an exec's
		}
		out.Type, out.ID, out.PID, out.ExitCode = container.EventExited, v.ContainerID, int(v.Pid), int(v.ExitStatus)
		if v.ExitedAt != nil {
			out.Time = v.ExitedAt.AsTime()
		}
	default:
		return container.ContainerEvent{}, false
	}
	return out, true
}

// reaper tidies up ended containers beside the event stream.
type reaper struct {
	runtime *Runtime
	work    sync.WaitGroup
	slots   chan struct{}
	start   func(func(context.Context))
}

func (r *Runtime) newReaper(ctx context.Context) *reaper {
	const most = 8 // at a time; more would only queue at containerd
	p := &reaper{runtime: r, slots: make(chan struct{}, most)}
	p.start = func(f func(context.Context)) {
		p.work.Go(func() {
			select {
			case p.slots <- struct{}{}:
				defer func() { <-p.slots }()
				f(ctx)
			case <-ctx.Done():
			}
		})
	}
	return p
}

func (p *reaper) wait() { p.work.Wait() }

// reap tidies up one container. What fails is done by the next stream.
func (p *reaper) reap(id string) {
	p.start(func(ctx context.Context) {
		if err := p.runtime.reap(ctx, id); err != nil && ctx.Err() == nil {
			p.runtime.cfg.Logger.Warn("cannot tidy up an ended container", "container", id, "error", err)
		}
	})
}

// reapStopped tidies up what ended while nobody listened.
func (p *reaper) reapStopped() {
	p.start(func(ctx context.Context) {
		response, err := p.runtime.client.TaskService().List(ctx, &tasks.ListTasksRequest{})
		if err != nil {
			if ctx.Err() == nil {
				p.runtime.cfg.Logger.Warn("cannot look for ended containers", "error", translate(err))
			}
			return
		}
		for _, task := range response.Tasks {
			if task.Status == tasktypes.Status_STOPPED {
				p.reap(task.ID)
			}
		}
		infos, err := p.runtime.store().List(ctx, ours)
		if err != nil {
			if ctx.Err() == nil {
				p.runtime.cfg.Logger.Warn("cannot look for lost containers", "error", translate(err))
			}
			return
		}
		for _, info := range infos {
			if maybeLost(info) {
				p.reap(info.ID)
			}
		}
	})
}

// reap writes down how a container ended, then deletes its task. In this order: at any
// moment the exit can be read from the one or the other.
func (r *Runtime) reap(ctx context.Context, id string) error {
	info, err := r.store().Get(ctx, id)
	if err != nil {
		return ignoreNotFound(translate(err))
	}
	if info.Labels[container.LabelPodUID] == "" {
		return nil // somebody else's, in the same namespace
	}
	if _, done := decodeExit(info.Labels[labelExit]); !done {
		e, ended, err := r.exit(ctx, info)
		if err != nil || !ended {
			return ignoreNotFound(err)
		}
		if err := r.setLabel(ctx, id, labelExit, e.encode()); err != nil {
			return ignoreNotFound(err)
		}
	}
	return r.deleteTask(ctx, id)
}

// exit finds out whether and how a container has ended whose record does not say so.
func (r *Runtime) exit(ctx context.Context, info containers.Container) (e exitRecord, ended bool, err error) {
	task, err := r.task(ctx, info.ID)
	switch {
	case isNotFound(err) && maybeLost(info):
		return lostExit(r.cfg.Clock.Now()), true, nil
	case err != nil:
		return exitRecord{}, false, err
	case task.Status != tasktypes.Status_STOPPED:
		return exitRecord{}, false, nil
	}
	return exitOf(task, cgroups.OOMKills(info.Labels[labelCgroup]) > 0), true, nil
}

func ignoreNotFound(err error) error {
	if isNotFound(err) {
		return nil
	}
	return err
}
