package kubelet

import (
	"context"
	"errors"
	"fmt"
	"sync"

	corev1 "k8s.io/api/core/v1"

	"github.com/miniorch/miniorch/kubelet/container"
	"github.com/miniorch/miniorch/kubelet/lifecycle"
)

// images brings images to the node. Pods that want the same image with the same
// credentials at once share one pull; different images are pulled side by side.
type images struct {
	runtime Runtime

	mu    sync.Mutex
	pulls map[string]*pull // guarded by mu; by reference and credentials
}

// pull is one pull under way. It ends when nobody waits for it any more.
type pull struct {
	done    chan struct{}
	cancel  context.CancelFunc
	waiting int // guarded by images.mu

	image container.Image // valid after done
	err   error           // valid after done
}

func newImages(r Runtime) *images { return &images{runtime: r, pulls: map[string]*pull{}} }

// pullFor pulls with each of the credentials until one is accepted.
func (m *images) pullFor(ctx context.Context, ref string, credentials []*container.RegistryAuth) (container.Image, error) {
	if len(credentials) == 0 {
		credentials = []*container.RegistryAuth{nil}
	}
	var errs []error
	for _, auth := range credentials {
		image, err := m.shared(ctx, ref, auth)
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

func (m *images) shared(ctx context.Context, ref string, auth *container.RegistryAuth) (container.Image, error) {
	key := ref
	if auth != nil {
		key = fmt.Sprintf("%s %q", ref, *auth)
	}
	p := m.join(ctx, key, container.PullRequest{Ref: ref, Auth: auth})
	defer m.leave(p)
	select {
	case <-p.done:
		return p.image, p.err
	case <-ctx.Done():
		return container.Image{}, ctx.Err()
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
