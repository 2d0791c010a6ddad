package kubelet

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/clock"

	"github.com/miniorch/miniorch/kubelet/container"
	"github.com/miniorch/miniorch/kubelet/lifecycle"
)

// images brings images to the node. Pods that want the same image with the same
// credentials at once share one pull; different images are pulled side by side.
type images struct {
	runtime Runtime
	clock   clock.WithTicker

	mu    sync.Mutex
	pulls map[string]*pull // guarded by mu; by reference and credentials
}

// pull is one pull under way. It ends when nobody waits for it any more.
type pull struct {
	done    chan struct{}
	cancel  context.CancelFunc
	waiting int // guarded by images.mu
	state   atomic.Pointer[container.PullProgress]

	image container.Image // valid after done
	err   error           // valid after done
}

func newImages(r Runtime, clk clock.WithTicker) *images {
	return &images{runtime: r, clock: clk, pulls: map[string]*pull{}}
}

// tellEvery is how often those who wait for a long pull are told how far it is.
const tellEvery = 5 * time.Second

// pullFor pulls with each of the credentials until one is accepted. While it takes long, told
// is called with how far it is.
func (m *images) pullFor(ctx context.Context, ref string, credentials []*container.RegistryAuth, told func(container.PullProgress)) (container.Image, error) {
	if len(credentials) == 0 {
		credentials = []*container.RegistryAuth{nil}
	}
	var errs []error
	for _, auth := range credentials {
		image, err := m.shared(ctx, ref, auth, told)
		if err == nil {
			return image, nil
		}
		errs = append(errs, err)
		if !errors.Is(err, container.ErrImagePullUnauthorized) && !errors.Is(err, container.ErrImageNotFound) {
			break // other credentials would not help
		}
	}
	return container.Image{}, errs[0]
}

func (m *images) shared(ctx context.Context, ref string, auth *container.RegistryAuth, told func(container.PullProgress)) (container.Image, error) {
	key := ref
	if auth != nil {
		key = fmt.Sprintf("%s %q", ref, *auth)
	}
	p := m.join(ctx, key, container.PullRequest{Ref: ref, Auth: auth})
	defer m.leave(p)
	ticker := m.clock.NewTicker(tellEvery)
	defer ticker.Stop()
	for {
		select {
		case <-p.done:
			return p.image, p.err
		case <-ctx.Done():
			return container.Image{}, ctx.Err()
		case <-ticker.C():
			if state := p.state.Load(); state != nil && state.TotalBytes > 0 {
				told(*state)
			}
		}
	}
}

func (m *images) join(ctx context.Context, key string, req container.PullRequest) *pull {
	m.mu.Lock()
	defer m.mu.Unlock()
	if p, ok := m.pulls[key]; ok {
		p.waiting++
		return p
	}
	// The pull belongs to all who wait for it, so the first one's end is not its end.
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	p := &pull{done: make(chan struct{}), cancel: cancel, waiting: 1}
	m.pulls[key] = p
	req.Progress = func(state container.PullProgress) { p.state.Store(&state) }
	go func() {
		p.image, p.err = m.runtime.Pull(ctx, req)
		m.mu.Lock()
		delete(m.pulls, key)
		m.mu.Unlock()
		cancel()
		close(p.done)
	}()
	return p
}

// leave ends a pull that nobody wants any more, and then waits for its end.
func (m *images) leave(p *pull) {
	m.mu.Lock()
	p.waiting--
	last := p.waiting == 0
	m.mu.Unlock()
	if last {
		p.cancel()
		<-p.done
	}
}

// policyOf returns the pull policy of a container; the API fills it in, others may not.
func policyOf(c *corev1.Container) corev1.PullPolicy {
	if c.ImagePullPolicy == "" {
		return corev1.PullIfNotPresent
	}
	return c.ImagePullPolicy
}

// pullFailure words a failed pull as a waiting reason.
func pullFailure(err error) *startFailure {
	if errors.Is(err, container.ErrInvalidImageName) {
		return &startFailure{lifecycle.ReasonInvalidImageName, err}
	}
	return &startFailure{lifecycle.ReasonErrImagePull, err}
}
