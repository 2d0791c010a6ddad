package rest

import (
	"context"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/miniorch/miniorch/apiserver/admission"
	"github.com/miniorch/miniorch/apiserver/storage/watchcache"
	"github.com/miniorch/miniorch/pkg/api"
)

// This file serves resources whose objects are computed and not stored: they have no key,
// no cache and no revisions.

// notVirtual refuses a verb that needs stored objects.
func (s *Store) notVirtual(verb string) error {
	if s.desc.Virtual != nil {
		return apierrors.NewMethodNotSupported(s.desc.GroupResource(), verb)
	}
	return nil
}

// answer is Create of a virtual resource. A review asks and changes nothing, so there is
// nothing that a dry run would leave out.
func (s *Store) answer(ctx context.Context, ns string, obj api.Object, dryRun bool) (*watchcache.Item, error) {
	if s.desc.Virtual.Create == nil {
		return nil, apierrors.NewMethodNotSupported(s.desc.GroupResource(), "create")
	}
	clearType(obj)
	if s.desc.Default != nil {
		s.desc.Default(obj)
	}
	req := s.request(ctx, admission.Create, ns, obj.GetName(), "", obj, nil, dryRun)
	if err := s.reg.admission.Admit(ctx, req); err != nil {
		return nil, err
	}
	if s.desc.Validate != nil {
		if err := s.invalid(obj.GetName(), s.desc.Validate(ctx, obj)); err != nil {
			return nil, err
		}
	}
	if err := s.reg.admission.Validate(ctx, req); err != nil {
		return nil, err
	}
	if obj.GetName() != "" { // a question needs none
		errs := validation.ValidateObjectMetaAccessor(obj, s.desc.Namespaced, s.nameRule(), field.NewPath("metadata"))
		if err := s.invalid(obj.GetName(), errs); err != nil {
			return nil, err
		}
	}
	out, err := s.desc.Virtual.Create(ctx, obj)
	if err != nil {
		return nil, err
	}
	return watchcache.NewItem("", out, 0), nil
}

func (s *Store) getVirtual(ctx context.Context, ns, name string) (*watchcache.Item, error) {
	if s.desc.Virtual.Get == nil {
		return nil, apierrors.NewMethodNotSupported(s.desc.GroupResource(), "get")
	}
	obj, err := s.desc.Virtual.Get(ctx, ns, name)
	if err != nil {
		return nil, err
	}
	return watchcache.NewItem("", obj, 0), nil
}

// listVirtual lists everything at once, whatever the limit: what is computed has no
// revision to continue at.
func (s *Store) listVirtual(ctx context.Context, ns string, opts metav1.ListOptions) (*ListResult, error) {
	if s.desc.Virtual.List == nil {
		return nil, apierrors.NewMethodNotSupported(s.desc.GroupResource(), "list")
	}
	if opts.Continue != "" {
		return nil, apierrors.NewBadRequest("continue: lists of " + s.desc.Name + " have one page")
	}
	sel, err := s.selector(opts)
	if err != nil {
		return nil, err
	}
	objs, err := s.desc.Virtual.List(ctx, ns)
	if err != nil {
		return nil, err
	}
	res := &ListResult{}
	for _, obj := range objs {
		if sel.matches(obj) {
			res.Items = append(res.Items, watchcache.NewItem("", obj, 0))
		}
	}
	return res, nil
}
