package hollow

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"

	"k8s.io/utils/clock"

	"github.com/miniorch/miniorch/kubelet/container"
)

// Runtime holds containers that have no process. They run until they are stopped, or until
// Exit is called; those whose command is "true" end at once.
type Runtime struct {
	clock clock.PassiveClock

	mu          sync.Mutex
	made        int                        // guarded by mu; numbers IDs
	containers  map[string]*entry          // guarded by mu
	images      map[string]container.Image // guarded by mu; by reference
	subscribers map[*subscriber]bool       // guarded by mu
}

type entry struct {
	container.Container
	exited chan struct{} // closed at the end
	brief  bool          // its command is "true", which it is done with as soon as it starts
}

// subscriber is one stream of events. Its queue grows without bound: a simulated node has
// few events, and none may be lost.
type subscriber struct {
	queue []container.ContainerEvent // guarded by Runtime.mu
	wake  chan struct{}              // capacity 1
}

// NewRuntime returns a runtime without containers.
func NewRuntime(clk clock.PassiveClock) *Runtime {
	return &Runtime{clock: clk, containers: map[string]*entry{}, images: map[string]container.Image{}, subscribers: map[*subscriber]bool{}}
}

// Containers lists all.
func (r *Runtime) Containers(context.Context) ([]container.Container, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make([]container.Container, 0, len(r.containers))
	for _, e := range r.containers {
		out = append(out, e.Container)
	}
	return out, nil
}

// Events streams until ctx ends.
func (r *Runtime) Events(ctx context.Context) (<-chan container.ContainerEvent, error) {
	s := &subscriber{wake: make(chan struct{}, 1)}
	r.mu.Lock()
	r.subscribers[s] = true
	r.mu.Unlock()
	out := make(chan container.ContainerEvent)
	go func() {
		defer close(out)
		defer r.unsubscribe(s)
		for {
			for _, e := range r.take(s) {
				select {
				case out <- e:
				case <-ctx.Done():
					return
				}
			}
			select {
			case <-s.wake:
			case <-ctx.Done():
				return
			}
		}
	}()
	return out, nil
}

func (r *Runtime) take(s *subscriber) []container.ContainerEvent {
	r.mu.Lock()
	defer r.mu.Unlock()
	q := s.queue
	s.queue = nil
	return q
}

func (r *Runtime) unsubscribe(s *subscriber) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.subscribers, s)
}

// publish tells all subscribers. The lock is held.
func (r *Runtime) publish(e container.ContainerEvent) {
	for s := range r.subscribers {
		s.queue = append(s.queue, e)
		select {
		case s.wake <- struct{}{}:
		default:
		}
	}
}

// Pull makes an image present at once.
func (r *Runtime) Pull(ctx context.Context, req container.PullRequest) (container.Image, error) {
	if err := ctx.Err(); err != nil {
		return container.Image{}, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	image := container.Image{ID: "sha256:hollow-" + req.Ref, Ref: req.Ref, RepoTags: []string{req.Ref}}
	r.images[req.Ref] = image
	return image, nil
}

// Image looks an image up.
func (r *Runtime) Image(_ context.Context, ref string) (container.Image, bool, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	image, ok := r.images[ref]
	return image, ok, nil
}

// Images lists what was pulled.
func (r *Runtime) Images(context.Context) ([]container.Image, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []container.Image
	for _, i := range r.images {
		out = append(out, i)
	}
	return out, nil
}

// MountImage mounts nothing.
func (r *Runtime) MountImage(context.Context, string, string, string) error { return nil }

// ReleaseImages has nothing to give up.
func (r *Runtime) ReleaseImages(context.Context, string) error { return nil }

// Create makes a container of a present image.
func (r *Runtime) Create(_ context.Context, s container.ContainerSpec) (string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	image, ok := r.images[s.Image]
	if !ok {
		return "", fmt.Errorf("creating container %s: image %s: %w", s.Name, s.Image, container.ErrImageNotFound)
	}
	r.made++
	id := fmt.Sprintf("hollow%d-%s", r.made, s.Name)
	r.containers[id] = &entry{exited: make(chan struct{}), brief: slices.Equal(s.Command, []string{"true"}), Container: container.Container{
		ID: id, PodUID: s.PodUID, PodNamespace: s.PodNamespace, PodName: s.PodName, Name: s.Name, Kind: s.Kind,
		RestartCount: s.RestartCount, SpecHash: s.SpecHash, Image: s.Image, ImageID: image.ID, State: container.StateCreated,
		CreatedAt: r.clock.Now(), LogPath: s.LogPath, TerminationMessagePath: s.TerminationMessageHostPath, Labels: s.Labels,
	}}
	return id, nil
}

// Start has a created container "run".
func (r *Runtime) Start(_ context.Context, id string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	c, ok := r.containers[id]
	if !ok {
		return container.ErrNotFound
	}
	if c.State != container.StateCreated {
		return fmt.Errorf("container %s is %s: it cannot be started again", id, c.State)
	}
	c.State, c.StartedAt = container.StateRunning, r.clock.Now()
	r.publish(container.ContainerEvent{Type: container.EventStarted, ID: id, Time: c.StartedAt})
	if c.brief {
		return r.exit(id, 0)
	}
	return nil
}

// Exit ends a running container with a code, as its process might.
func (r *Runtime) Exit(id string, code int) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.exit(id, code)
}

// exit is Exit with mu held.
func (r *Runtime) exit(id string, code int) error {
	c, ok := r.containers[id]
	if !ok {
		return container.ErrNotFound
	}
	if c.State != container.StateRunning {
		return container.ErrNotRunning
	}
	c.State, c.ExitCode, c.FinishedAt = container.StateExited, code, r.clock.Now()
	c.Reason = container.ReasonCompleted
	if code != 0 {
		c.Reason = container.ReasonError
	}
	close(c.exited)
	r.publish(container.ContainerEvent{Type: container.EventExited, ID: id, ExitCode: code, Time: c.FinishedAt})
	return nil
}

// Stop ends a container at once: it obeys any signal, with success.
func (r *Runtime) Stop(_ context.Context, id string, req container.StopRequest) error {
	code := 0
	if req.Grace <= 0 {
		code = 137
	}
	if err := r.Exit(id, code); err != nil && err != container.ErrNotRunning {
		return err
	}
	return nil
}

// Remove forgets a container that does not run.
func (r *Runtime) Remove(_ context.Context, id string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	c, ok := r.containers[id]
	if !ok {
		return container.ErrNotFound
	}
	if c.State == container.StateRunning {
		return fmt.Errorf("container %s runs: it cannot be removed", id)
	}
	delete(r.containers, id)
	return nil
}

// Resize changes labels.
func (r *Runtime) Resize(_ context.Context, id string, _ container.Resources, labels map[string]string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	c, ok := r.containers[id]
	if !ok {
		return container.ErrNotFound
	}
	if c.State != container.StateRunning {
		return container.ErrNotRunning
	}
	c.Labels = maps.Clone(c.Labels)
	maps.Copy(c.Labels, labels)
	return nil
}

// Exec succeeds in any running container without doing anything.
func (r *Runtime) Exec(_ context.Context, id string, _ container.ExecRequest) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c, ok := r.containers[id]
	if !ok {
		return 0, container.ErrNotFound
	}
	if c.State != container.StateRunning {
		return 0, container.ErrNotRunning
	}
	return 0, nil
}

// Attach shows the silence of a running container until that ends or ctx does.
func (r *Runtime) Attach(ctx context.Context, id string, _ container.AttachRequest) error {
	r.mu.Lock()
	c, ok := r.containers[id]
	r.mu.Unlock()
	if !ok {
		return container.ErrNotFound
	}
	select {
	case <-c.exited:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
