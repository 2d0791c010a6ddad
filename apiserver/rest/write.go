package rest

import (
	"bytes"
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/miniorch/miniorch/apiserver/admission"
	"github.com/miniorch/miniorch/apiserver/auth"
	"github.com/miniorch/miniorch/apiserver/storage"
	"github.com/miniorch/miniorch/apiserver/storage/watchcache"
	"github.com/miniorch/miniorch/pkg/api"
)

// change is what a verb decided to do to one key.
type change struct {
	kind changeKind
	// obj is what is to be stored (put) or was stored (remove, keep), in this version.
	obj api.Object
	// claim holds the addresses that obj was given, nil if none.
	claim claim
}

type changeKind int

const (
	keep   changeKind = iota // what is stored is what is wanted
	put                      // store obj
	remove                   // delete the key
)

// String returns the word for what is done.
func (k changeKind) String() string { return [...]string{"keep", "put", "remove"}[k] }

// claim is a reservation outside the object that stands or falls with its write.
type claim interface {
	// Writes are done in the object's own transaction.
	Writes() []storage.Write
	// Again finds a way round what the keys of Writes are now, which may change the object.
	Again(ctx context.Context, now []*storage.KV) error
	Commit(revision int64)
	Rollback()
}

// decideFunc decides from what is stored now (nil: nothing). It is called again when the
// state that it saw turns out to be an old one, so it must not keep what it changes.
type decideFunc func(current *watchcache.Item) (change, error)

// mutate brings one key to what decide wants, in one compare-and-swap. It starts from the
// cache's state, which may be old: then the write fails and tells the newest one; and
// what decide would refuse or leave alone because of the cache's state is decided again on
// the store's. created reports that the key did not exist.
func (s *Store) mutate(ctx context.Context, key string, dryRun bool, decide decideFunc) (item *watchcache.Item, done changeKind, created bool, err error) {
	current, fresh := (*watchcache.Item)(nil), dryRun
	if dryRun { // no write would find out that the cache's state is an old one
		if current, _, err = s.current(ctx, key); err != nil {
			return nil, keep, false, err
		}
	} else {
		current, _ = s.cache.Get(key)
	}
	for {
		if err := ctx.Err(); err != nil {
			return nil, keep, false, contextError(err, "the write was not done")
		}
		c, err := decide(current)
		if (err != nil || c.kind == keep) && !fresh {
			newest, _, getErr := s.current(ctx, key)
			if getErr != nil {
				return nil, keep, false, getErr
			}
			if revisionOf(newest) != revisionOf(current) {
				current, fresh = newest, true
				continue
			}
		}
		if err != nil {
			return nil, keep, false, err
		}
		if c.kind == keep {
			it, err := s.view(current)
			return it, keep, false, err
		}
		it, newest, err := s.write(ctx, key, c, current, dryRun)
		if err != nil {
			return nil, keep, false, err
		}
		if it != nil {
			return it, c.kind, current == nil, nil
		}
		current, fresh = newest, true
	}
}

func revisionOf(it *watchcache.Item) int64 {
	if it == nil {
		return 0
	}
	return it.Revision
}

// write performs a put or remove, expecting current to be what is stored. A nil item without
// an error means that it is not; newest then is.
func (s *Store) write(ctx context.Context, key string, c change, current *watchcache.Item, dryRun bool) (it, newest *watchcache.Item, err error) {
	if c.claim != nil {
		defer c.claim.Rollback()
	}
	if c.kind == remove && !dryRun {
		if c.claim, err = s.giveBack(ctx, current.Object); err != nil {
			return nil, nil, s.storageError(err)
		}
	}
	res, err := s.transact(ctx, key, c, current, dryRun)
	if err != nil {
		return nil, nil, err
	}
	if dryRun {
		return watchcache.NewItem(key, c.obj, revisionOf(current)), nil, nil
	}
	if !res.Done {
		newest, err := s.itemOf(res.Current)
		return nil, newest, err
	}
	if c.claim != nil {
		c.claim.Commit(res.Revision)
	}
	c.obj.SetResourceVersion(formatRevision(res.Revision))
	s.settle(ctx, res.Revision)
	return watchcache.NewItem(key, c.obj, res.Revision), nil, nil
}

// transact writes the object, and what its claim takes and gives back, if the object is as
// expected. When only the claim's part is not, it is tried anew with what can be had.
func (s *Store) transact(ctx context.Context, key string, c change, current *watchcache.Item, dryRun bool) (res storage.Result, err error) {
	w := storage.Write{Key: key, Expect: revisionOf(current)}
	for {
		if c.kind == put {
			if w.Value, err = s.encode(key, c.obj); err != nil {
				return res, err
			}
		}
		if dryRun {
			return res, nil
		}
		if c.claim != nil {
			w.With = c.claim.Writes()
		}
		if res, err = s.reg.storage.Write(ctx, w); err != nil {
			return res, s.storageError(err)
		}
		stored := int64(0)
		if res.Current != nil {
			stored = res.Current.Revision
		}
		if res.Done || len(w.With) == 0 || stored != w.Expect {
			return res, nil
		}
		if err := c.claim.Again(ctx, res.With); err != nil {
			return res, asStatus(err)
		}
	}
}

// asStatus makes sure that a failure has a status.
func asStatus(err error) error {
	if _, ok := err.(apierrors.APIStatus); ok {
		return err
	}
	return apierrors.NewInternalError(err)
}

// settle makes a write of a Namespace visible before it is acknowledged: admission looks
// Namespaces up in the cache, and who has just deleted one must not be able to create
// anything in it. The write is done in any case, so a cache that lags is not its failure.
func (s *Store) settle(ctx context.Context, rev int64) {
	if s.of != api.ResourceFor[*corev1.Namespace]() {
		return
	}
	if err := s.waitFor(ctx, rev); err != nil {
		s.reg.cfg.Logger.Warn("the cache of namespaces lags behind a write", "revision", rev, "error", err)
	}
}

// encode makes the stored form of obj, which is of this version.
func (s *Store) encode(key string, obj api.Object) ([]byte, error) {
	to, err := s.stored(obj)
	if err != nil {
		return nil, err
	}
	value, err := s.codec.Encode(key, to)
	if err != nil {
		return nil, apierrors.NewInternalError(fmt.Errorf("encoding %s: %w", key, err))
	}
	return value, nil
}

// unchanged reports whether obj would be stored as old is. old is shared.
func unchanged(obj, old api.Object) bool {
	a, okA := obj.(marshaler)
	b, okB := old.(marshaler)
	if okA && okB {
		// Both carry the same resourceVersion here; map keys are written in order.
		left, errA := a.Marshal()
		right, errB := b.Marshal()
		return errA == nil && errB == nil && bytes.Equal(left, right)
	}
	return deepEqual(obj, old)
}

// marshaler is what types with a protobuf form have.
type marshaler interface{ Marshal() ([]byte, error) }

// clearType removes apiVersion and kind, which typed objects do not carry inside.
func clearType(obj runtime.Object) {
	if _, untyped := obj.(runtime.Unstructured); !untyped {
		obj.GetObjectKind().SetGroupVersionKind(schema.GroupVersionKind{})
	}
}

// request makes what admission is asked about.
func (s *Store) request(ctx context.Context, op admission.Operation, ns, name, subresource string, obj runtime.Object, old api.Object, dryRun bool) *admission.Request {
	user, _ := auth.UserFrom(ctx)
	return &admission.Request{
		Operation: op, Resource: s.desc.Resource, Subresource: subresource, Namespace: ns, Name: name,
		Object: obj, Old: old, User: user, DryRun: dryRun,
	}
}

func (s *Store) invalid(name string, errs field.ErrorList) error {
	if len(errs) == 0 {
		return nil
	}
	return apierrors.NewInvalid(s.groupKind(), name, errs)
}

// checkOptions words what is wrong with a verb's options.
func checkOptions(kind string, errs field.ErrorList) error {
	if len(errs) == 0 {
		return nil
	}
	return apierrors.NewInvalid(schema.GroupKind{Group: metav1.GroupName, Kind: kind}, "", errs)
}

// isDryRun: the only directive that exists, All, has been checked by then.
func isDryRun(directives []string) bool { return len(directives) > 0 }
