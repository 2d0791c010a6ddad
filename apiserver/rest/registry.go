package rest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"time"

	"golang.org/x/sync/errgroup"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	"github.com/miniorch/miniorch/apiserver/admission"
	"github.com/miniorch/miniorch/apiserver/auth"
	"github.com/miniorch/miniorch/apiserver/resource"
	"github.com/miniorch/miniorch/apiserver/rest/ipalloc"
	"github.com/miniorch/miniorch/apiserver/storage"
	"github.com/miniorch/miniorch/apiserver/storage/codec"
	"github.com/miniorch/miniorch/apiserver/storage/watchcache"
	"github.com/miniorch/miniorch/pkg/api"
)

// TokenIssuer signs service account tokens. bound is the Pod, Secret or Node that the
// request binds the token to, nil if it names none; its existence has been checked.
type TokenIssuer interface {
	IssueToken(ctx context.Context, sa *corev1.ServiceAccount, bound api.Object, req *authenticationv1.TokenRequest) (*authenticationv1.TokenRequest, error)
}

// Config tunes a Registry; zero fields have defaults.
type Config struct {
	Authorizer auth.Authorizer // asked by Client; default auth.Components
	// Admission makes the chain of plugins; default admission.Builtin.
	Admission func(cluster admission.Cluster, authorizer auth.Authorizer, random func() uint64, now func() time.Time) admission.Chain
	Tokens    TokenIssuer // nil: serviceaccounts/token answers 503

	ServiceCIDR   netip.Prefix  // cluster IPs; default 10.96.0.0/16
	NodePorts     ipalloc.Range // default 30000-32767
	Encryption    codec.Transformer
	CacheHistory  int                // events kept per resource; default the cache's own
	EncodedBudget *watchcache.Budget // shared by all caches; default one of 64 MiB

	Logger *slog.Logger
	Clock  clock.WithTicker
	Rand   func() uint64 // uids, generated names; must be safe for concurrent use
	// UID makes the UID of a new object; default: a random one. A simulation gives the same
	// object the same UID in every run. It must be safe for concurrent use.
	UID func(of schema.GroupResource, obj api.Object) types.UID
}

func (c *Config) setDefaults() {
	if c.Authorizer == nil {
		c.Authorizer = auth.Components{}
	}
	if c.Admission == nil {
		c.Admission = admission.Builtin
	}
	if !c.ServiceCIDR.IsValid() {
		c.ServiceCIDR = netip.MustParsePrefix("10.96.0.0/16")
	}
	if c.NodePorts == (ipalloc.Range{}) {
		c.NodePorts = ipalloc.Range{First: 30000, Last: 32767}
	}
	if c.EncodedBudget == nil {
		c.EncodedBudget = watchcache.NewBudget(64 << 20)
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.Clock == nil {
		c.Clock = clock.RealClock{}
	}
	if c.Rand == nil {
		c.Rand = rand.Uint64
	}
	if c.UID == nil {
		c.UID = func(schema.GroupResource, api.Object) types.UID { return randomUID(c.Rand) }
	}
}

// Registry holds one Store per resource.
type Registry struct {
	cfg       Config
	storage   storage.Store
	admission admission.Chain
	addresses *addresses
	stores    map[schema.GroupVersionResource]*Store
	order     []*Store // as the descriptors were given
	ready     chan struct{}
}

// New makes a registry of the resources over store. It starts nothing. It panics on
// descriptors that contradict one another: they are code.
func New(store storage.Store, descriptors []resource.Descriptor, cfg Config) *Registry {
	cfg.setDefaults()
	r := &Registry{
		cfg:     cfg,
		storage: store,
		stores:  make(map[schema.GroupVersionResource]*Store, len(descriptors)),
		ready:   make(chan struct{}),
	}
	for _, d := range descriptors {
		if _, twice := r.stores[d.GVR()]; twice {
			panic(fmt.Sprintf("rest: resource %v is described twice", d.GVR()))
		}
		s := newStore(r, d)
		r.stores[d.GVR()] = s
		r.order = append(r.order, s)
	}
	r.addresses = newAddresses(r)
	r.admission = cfg.Admission(r, cfg.Authorizer, cfg.Rand, cfg.Clock.Now)
	return r
}

// Run keeps the caches filled and expired objects swept until ctx ends. Nothing can be
// read or written before Ready.
func (r *Registry) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, s := range r.order {
		if s.desc.View == nil && s.cache != nil {
			g.Go(func() error { return ended(ctx, s.cache.Run(ctx)) })
		}
	}
	g.Go(func() error { return r.addresses.run(ctx) })
	g.Go(func() error { return ended(ctx, r.becomeReady(ctx)) })
	for _, s := range r.order {
		if s.desc.TTL != nil && s.desc.View == nil {
			g.Go(func() error { return ended(ctx, s.sweep(ctx)) })
		}
	}
	return g.Wait()
}

// ended hides the error with which a part reports that it was told to stop.
func ended(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return nil
	}
	return err
}

func (r *Registry) becomeReady(ctx context.Context) error {
	for _, s := range r.order {
		if s.cache == nil {
			continue
		}
		select {
		case <-s.cache.Ready():
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if err := r.addresses.waitReady(ctx); err != nil {
		return ctx.Err()
	}
	r.addresses.repair(ctx)
	close(r.ready)
	return nil
}

// Ready is closed once every cache is filled and writes are possible.
func (r *Registry) Ready() <-chan struct{} { return r.ready }

// Lookup returns the store of a resource at a version.
func (r *Registry) Lookup(gvr schema.GroupVersionResource) (*Store, bool) {
	s, ok := r.stores[gvr]
	return s, ok
}

// Descriptors lists what is served, in the order given to New.
func (r *Registry) Descriptors() []resource.Descriptor {
	ds := make([]resource.Descriptor, len(r.order))
	for i, s := range r.order {
		ds[i] = s.desc
	}
	return ds
}

// Get implements admission.Reader: from the cache if it knows the object, from the store
// if it does not, so that what was created a moment ago is found.
func (r *Registry) Get(ctx context.Context, gvr schema.GroupVersionResource, ns, name string) (api.Object, error) {
	s, ok := r.stores[gvr]
	if !ok {
		return nil, apierrors.NewNotFound(gvr.GroupResource(), name)
	}
	if err := s.waitReady(ctx); err != nil {
		return nil, err
	}
	if it, ok := s.cached(ns, name); ok {
		return it.Object, nil
	}
	it, err := s.Get(ctx, ns, name, metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	return it.Object, nil
}

// List implements admission.Reader: from the cache. Virtual resources and those that are not
// served have nothing to list.
func (r *Registry) List(ctx context.Context, gvr schema.GroupVersionResource, ns string) ([]api.Object, error) {
	s, ok := r.stores[gvr]
	if !ok || s.cache == nil {
		return nil, nil
	}
	if err := s.waitReady(ctx); err != nil {
		return nil, err
	}
	var out []api.Object
	var failed error
	s.cache.Snapshot().Ascend(s.prefix(ns), "", func(it *watchcache.Item) bool {
		it, failed = s.view(it)
		if failed == nil {
			out = append(out, it.Object)
		}
		return failed == nil
	})
	return out, failed
}

// UpdateStatus implements admission.Cluster.
func (r *Registry) UpdateStatus(ctx context.Context, gvr schema.GroupVersionResource, ns, name string, dryRun bool, change func(old api.Object) (api.Object, error)) error {
	s, ok := r.stores[gvr]
	if !ok {
		return apierrors.NewNotFound(gvr.GroupResource(), name)
	}
	opts := UpdateOptions{}
	if dryRun {
		opts.DryRun = []string{metav1.DryRunAll}
	}
	_, _, err := s.Update(ctx, ns, name, "status", change, opts)
	return err
}
