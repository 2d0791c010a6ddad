package rest

import (
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"

	"github.com/miniorch/miniorch/apiserver/admission"
	"github.com/miniorch/miniorch/apiserver/storage/watchcache"
	"github.com/miniorch/miniorch/apiserver/warning"
	"github.com/miniorch/miniorch/pkg/api"
)

// deleteWorkers is how many objects a DeleteCollection removes at a time.
const deleteWorkers = 16

// Delete removes an object, or begins its deletion: deleted tells which. The item is the
// object as it is now, or as it last was.
func (s *Store) Delete(ctx context.Context, ns, name string, opts metav1.DeleteOptions) (item *watchcache.Item, deleted bool, err error) {
	if err := s.notVirtual("delete"); err != nil {
		return nil, false, err
	}
	if err := checkOptions("DeleteOptions", metavalidation.ValidateDeleteOptions(&opts)); err != nil {
		return nil, false, err
	}
	if err := s.checkName(ns, name); err != nil {
		return nil, false, err
	}
	if err := s.waitReady(ctx); err != nil {
		return nil, false, err
	}
	it, done, _, err := s.mutate(ctx, s.key(ns, name), isDryRun(opts.DryRun), func(current *watchcache.Item) (change, error) {
		return s.decideDelete(ctx, ns, name, current, opts)
	})
	if err != nil {
		return nil, false, err
	}
	//lint:ignore SA1019 old clients still send orphanDependents.
	if s.desc.DeleteWarning != "" && opts.PropagationPolicy == nil && opts.OrphanDependents == nil {
		warning.Add(ctx, s.desc.DeleteWarning)
	}
	return it, done == remove, nil
}

func (s *Store) decideDelete(ctx context.Context, ns, name string, current *watchcache.Item, opts metav1.DeleteOptions) (change, error) {
	if current == nil {
		return change{}, s.notFound(name)
	}
	shown, err := s.view(current)
	if err != nil {
		return change{}, err
	}
	old := shown.Object
	if err := s.checkPreconditions(old, opts.Preconditions); err != nil {
		return change{}, err
	}
	req := s.request(ctx, admission.Delete, ns, name, "", nil, old, isDryRun(opts.DryRun))
	if err := s.reg.admission.Admit(ctx, req); err != nil {
		return change{}, err
	}
	if err := s.reg.admission.Validate(ctx, req); err != nil {
		return change{}, err
	}
	obj := old.DeepCopyObject().(api.Object)
	return change{kind: decideDelete(&s.desc, obj, opts, s.now()), obj: obj}, nil
}

func (s *Store) checkPreconditions(obj api.Object, p *metav1.Preconditions) error {
	if p == nil {
		return nil
	}
	if p.UID != nil && *p.UID != obj.GetUID() {
		return s.wrongUID(obj, *p.UID)
	}
	if p.ResourceVersion != nil && *p.ResourceVersion != obj.GetResourceVersion() {
		//lint:ignore ST1005 these are Kubernetes' words.
		return s.conflict(obj.GetName(), fmt.Errorf("Precondition failed: ResourceVersion in precondition: %v, ResourceVersion in object meta: %v",
			*p.ResourceVersion, obj.GetResourceVersion()))
	}
	return nil
}

// DeleteCollection deletes every object that list selects and returns them. What somebody
// else deletes at the same time is no error, and what takes its name meanwhile stays.
func (s *Store) DeleteCollection(ctx context.Context, ns string, opts metav1.DeleteOptions, list metav1.ListOptions) ([]*watchcache.Item, error) {
	if err := s.notVirtual("deletecollection"); err != nil {
		return nil, err
	}
	if err := checkOptions("DeleteOptions", metavalidation.ValidateDeleteOptions(&opts)); err != nil {
		return nil, err
	}
	if s.desc.NoDeleteCollection {
		return nil, apierrors.NewMethodNotSupported(s.desc.GroupResource(), "deletecollection")
	}
	page, err := s.List(ctx, ns, list)
	if err != nil {
		return nil, err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(deleteWorkers)
	for _, it := range page.Items {
		g.Go(func() error { return s.deleteListed(ctx, it.Object, opts) })
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return page.Items, nil
}

func (s *Store) deleteListed(ctx context.Context, obj api.Object, opts metav1.DeleteOptions) error {
	pinned := opts.Preconditions == nil
	if pinned {
		uid := obj.GetUID()
		opts.Preconditions = &metav1.Preconditions{UID: &uid}
	}
	_, _, err := s.Delete(ctx, obj.GetNamespace(), obj.GetName(), opts)
	if apierrors.IsNotFound(err) || pinned && apierrors.IsConflict(err) {
		return nil
	}
	return err
}
