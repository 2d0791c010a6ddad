package runtime

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	remoteerrors "github.com/containerd/containerd/v2/core/remotes/errors"
	"github.com/containerd/errdefs"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/miniorch/miniorch/kubelet/container"
)

// Pull fetches an image from its registry and unpacks it. Content is verified by digest
// before it is kept; what another image brought already is not fetched again.
func (r *Runtime) Pull(ctx context.Context, req container.PullRequest) (container.Image, error) {
	ctx = r.scope(ctx)
	name, err := normalize(req.Ref)
	if err != nil {
		return container.Image{}, err
	}
	_, snapshotter, err := r.snapshots(ctx)
	if err != nil {
		return container.Image{}, err
	}
	progress := newPullProgress(req.Progress, r.client.ContentStore())
	stop := progress.run(ctx, r.cfg.Clock.NewTicker(progressEvery))
	image, err := r.client.Pull(ctx, name,
		client.WithPullUnpack,
		client.WithPullSnapshotter(snapshotter),
		client.WithResolver(r.resolver(req.Auth)),
		client.WithImageHandlerWrapper(progress.wrap),
	)
	stop()
	if err != nil {
		return container.Image{}, fmt.Errorf("pulling %q: %w", req.Ref, pullError(err))
	}
	info, err := r.imageInfo(ctx, image.Metadata())
	if err != nil {
		return container.Image{}, fmt.Errorf("pulling %q: %w", req.Ref, err)
	}
	progress.done()
	return describe(req.Ref, info, []images.Image{image.Metadata()}), nil
}

// resolver talks to registries: https, but plain http to loopback and to hosts configured
// so, as somebody if auth is given.
func (r *Runtime) resolver(auth *container.RegistryAuth) remotes.Resolver {
	insecure := func(host string) (bool, error) {
		if slices.Contains(r.cfg.InsecureRegistries, host) {
			return true, nil
		}
		return docker.MatchLocalhost(host)
	}
	transport := &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		TLSHandshakeTimeout:   10 * time.Second,
		ResponseHeaderTimeout: 30 * time.Second,
		IdleConnTimeout:       10 * time.Second,
		TLSClientConfig:       &tls.Config{MinVersion: tls.VersionTLS12},
	}
	httpClient := &http.Client{Transport: transport}
	opts := []docker.AuthorizerOpt{docker.WithAuthClient(httpClient)}
	if auth != nil && auth.RegistryToken == "" {
		opts = append(opts, docker.WithAuthCreds(func(string) (string, string, error) {
			if auth.IdentityToken != "" {
				return "", auth.IdentityToken, nil
			}
			return auth.Username, auth.Password, nil
		}))
	}
	registry := []docker.RegistryOpt{docker.WithClient(httpClient), docker.WithPlainHTTP(insecure)}
	if auth != nil && auth.RegistryToken != "" {
		registry = append(registry, docker.WithAuthorizer(bearer(auth.RegistryToken)))
	} else {
		registry = append(registry, docker.WithAuthorizer(docker.NewDockerAuthorizer(opts...)))
	}
	return docker.NewResolver(docker.ResolverOptions{Hosts: docker.ConfigureDefaultRegistries(registry...)})
}

// bearer authorizes every request with one token.
type bearer string

// Authorize implements docker.Authorizer.
func (b bearer) Authorize(_ context.Context, req *http.Request) error {
	req.Header.Set("Authorization", "Bearer "+string(b))
	return nil
}

// AddResponses implements docker.Authorizer: a refused token cannot be bettered.
func (b bearer) AddResponses(context.Context, []*http.Response) error {
	return errdefs.ErrNotImplemented
}

// pullError names the reasons that the pod worker tells apart.
func pullError(err error) error {
	var status remoteerrors.ErrUnexpectedStatus
	switch {
	case errors.Is(err, docker.ErrInvalidAuthorization), errdefs.IsUnauthorized(err), errdefs.IsPermissionDenied(err),
		errors.As(err, &status) && (status.StatusCode == http.StatusUnauthorized || status.StatusCode == http.StatusForbidden):
		return fmt.Errorf("%w: %w", container.ErrImagePullUnauthorized, err)
	case errdefs.IsNotFound(err):
		return fmt.Errorf("%w: %w", container.ErrImageNotFound, err)
	}
	return translate(err)
}

// progressEvery is how often a pull reports.
const progressEvery = 250 * time.Millisecond

// pullProgress follows a pull by the descriptors it walks and the state of its downloads.
type pullProgress struct {
	report func(container.PullProgress)
	store  content.Store

	mu     sync.Mutex
	layers map[string]ocispec.Descriptor // guarded by mu; by digest
}

func newPullProgress(report func(container.PullProgress), store content.Store) *pullProgress {
	return &pullProgress{report: report, store: store, layers: map[string]ocispec.Descriptor{}}
}

// wrap notes every layer that the pull comes across.
func (p *pullProgress) wrap(next images.Handler) images.Handler {
	return images.HandlerFunc(func(ctx context.Context, desc ocispec.Descriptor) ([]ocispec.Descriptor, error) {
		children, err := next.Handle(ctx, desc)
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, child := range children {
			if images.IsLayerType(child.MediaType) {
				p.layers[child.Digest.String()] = child
			}
		}
		return children, err
	})
}

// run reports at every tick until the returned function is called.
func (p *pullProgress) run(ctx context.Context, ticker interface {
	C() <-chan time.Time
	Stop()
}) (stop func()) {
	quit, finished := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(finished)
		defer ticker.Stop()
		if p.report == nil {
			return
		}
		p.report(container.PullProgress{Stage: "resolving"})
		for {
			select {
			case <-quit:
				return
			case <-ctx.Done():
				return
			case <-ticker.C():
				p.report(p.measure(ctx))
			}
		}
	}()
	return func() { close(quit); <-finished }
}

// measure asks the content store how much of the known layers is there.
func (p *pullProgress) measure(ctx context.Context) container.PullProgress {
	p.mu.Lock()
	layers := make([]ocispec.Descriptor, 0, len(p.layers))
	for _, l := range p.layers {
		layers = append(layers, l)
	}
	p.mu.Unlock()
	out := container.PullProgress{Stage: "downloading", Layers: len(layers)}
	for _, l := range layers {
		out.TotalBytes += l.Size
		if _, err := p.store.Info(ctx, l.Digest); err == nil {
			out.LayersDone++
			out.Bytes += l.Size
		} else if status, err := p.store.Status(ctx, remotes.MakeRefKey(ctx, l)); err == nil {
			out.Bytes += status.Offset
		}
	}
	switch {
	case len(layers) == 0:
		out.Stage = "resolving"
	case out.LayersDone == out.Layers:
		out.Stage = "unpacking"
	}
	return out
}

// done makes the last report.
func (p *pullProgress) done() {
	if p.report == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	out := container.PullProgress{Stage: "done", Layers: len(p.layers), LayersDone: len(p.layers)}
	for _, l := range p.layers {
		out.TotalBytes += l.Size
	}
	out.Bytes = out.TotalBytes
	p.report(out)
}
