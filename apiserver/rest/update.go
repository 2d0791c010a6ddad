package rest

import (
	"context"
	"errors"
	"fmt"

	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/validation"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/miniorch/miniorch/apiserver/admission"
	"github.com/miniorch/miniorch/apiserver/resource"
	"github.com/miniorch/miniorch/apiserver/storage/watchcache"
	"github.com/miniorch/miniorch/pkg/api"
)

// errModified is what a writer reads who started from an old version.
var errModified = errors.New("the object has been modified; please apply your changes to the latest version and try again")

// update is one Update or Patch on its way.
type update struct {
	store         *Store
	ns, name      string
	sub           *resource.Subresource // nil: the object itself
	make          UpdateFunc
	uid           types.UID // precondition; empty: none
	dryRun        bool
	noCreate      bool // a patch never creates
	unconditional bool // allowed without resourceVersion: patches carry the stored one
	by            author
}

// Update replaces an object, or part of it through a subresource. On a subresource with a
// body of its own (scale), update is given that body and item holds the new one. What
// changes nothing is not written: the item then has the resourceVersion that it had.
func (s *Store) Update(ctx context.Context, ns, name, subresource string, make UpdateFunc, opts UpdateOptions) (item *watchcache.Item, created bool, err error) {
	if err := s.notVirtual("update"); err != nil {
		return nil, false, err
	}
	if err := checkOptions("UpdateOptions", metavalidation.ValidateUpdateOptions(&opts.UpdateOptions)); err != nil {
		return nil, false, err
	}
	sub, err := s.subresource(subresource, "update")
	if err != nil {
		return nil, false, err
	}
	u := &update{
		store: s, ns: ns, name: name, sub: sub, make: make, uid: types.UID(opts.UID),
		dryRun: isDryRun(opts.DryRun), unconditional: s.desc.AllowUnconditionalUpdate, by: s.author(ctx, opts.FieldManager),
	}
	return u.do(ctx)
}

func (u *update) do(ctx context.Context) (*watchcache.Item, bool, error) {
	s := u.store
	if err := s.checkName(u.ns, u.name); err != nil {
		return nil, false, err
	}
	if err := s.waitReady(ctx); err != nil {
		return nil, false, err
	}
	it, _, created, err := s.mutate(ctx, s.key(u.ns, u.name), u.dryRun, func(current *watchcache.Item) (change, error) {
		return u.decide(ctx, current)
	})
	if err != nil {
		return nil, false, err
	}
	it, err = project(u.sub, it)
	return it, created, err
}

// decide makes the change from what is stored.
func (u *update) decide(ctx context.Context, current *watchcache.Item) (change, error) {
	s := u.store
	if current == nil {
		return u.decideCreate(ctx)
	}
	shown, err := s.view(current)
	if err != nil {
		return change{}, err
	}
	old := shown.Object
	if u.uid != "" && u.uid != old.GetUID() {
		return change{}, s.wrongUID(old, u.uid)
	}
	obj, err := u.wanted(old)
	if err != nil {
		return change{}, err
	}
	if err := u.checkVersion(obj, old); err != nil {
		return change{}, err
	}
	return u.prepare(ctx, obj, old)
}

func (u *update) decideCreate(ctx context.Context) (change, error) {
	s := u.store
	if u.sub != nil || u.noCreate || !s.desc.AllowCreateOnUpdate && !u.by.applies {
		return change{}, s.notFound(u.name)
	}
	obj, err := u.make(nil)
	if err != nil {
		return change{}, err
	}
	// The caller's object must survive, in case the key exists after all.
	obj = obj.DeepCopyObject().(api.Object)
	if err := s.settleNamespace(u.ns, obj); err != nil {
		return change{}, err
	}
	if err := requireName(obj, u.name); err != nil {
		return change{}, err
	}
	if u.uid == "" {
		u.uid = obj.GetUID()
	}
	if u.uid != "" {
		//lint:ignore ST1005 these are Kubernetes' words.
		return change{}, s.conflict(u.name, fmt.Errorf("Precondition failed: UID in precondition: %v, UID in object meta: ", u.uid))
	}
	if u.by.applies && obj.GetResourceVersion() != "" {
		return change{}, s.conflict(u.name, errModified)
	}
	return s.prepareCreate(ctx, u.ns, obj, u.by, u.dryRun)
}

// wanted asks for the new object. For a subresource with a body of its own that is a
// copy of the old one with the body written into it; what is applied is merged whole.
func (u *update) wanted(old api.Object) (api.Object, error) {
	if u.sub == nil || u.sub.Inject == nil || u.by.applies {
		obj, err := u.make(old)
		if err != nil {
			return nil, err
		}
		clearType(obj)
		return obj, u.checkPlace(obj, old)
	}
	shown, err := projectObject(u.sub, old)
	if err != nil {
		return nil, err
	}
	body, err := u.make(shown)
	if err != nil {
		return nil, err
	}
	if err := u.checkPlace(body, old); err != nil {
		return nil, err
	}
	obj := old.DeepCopyObject().(api.Object)
	if err := u.sub.Inject(obj, body); err != nil {
		return nil, asBadRequest(err)
	}
	obj.SetResourceVersion(body.GetResourceVersion())
	return obj, nil
}

// checkPlace compares what identifies a body with what is stored.
func (u *update) checkPlace(obj, old api.Object) error {
	if err := u.store.settleNamespace(u.ns, obj); err != nil {
		return err
	}
	if err := requireName(obj, u.name); err != nil {
		return err
	}
	if uid := obj.GetUID(); uid != "" && uid != old.GetUID() {
		return u.store.wrongUID(old, uid)
	}
	return nil
}

// checkVersion is the optimistic lock.
func (u *update) checkVersion(obj, old api.Object) error {
	switch obj.GetResourceVersion() {
	case old.GetResourceVersion():
		return nil
	case "", "0":
		if u.unconditional || u.sub != nil && u.sub.Inject != nil {
			obj.SetResourceVersion(old.GetResourceVersion())
			return nil
		}
		return u.store.invalid(u.name, field.ErrorList{
			field.Invalid(field.NewPath("metadata", "resourceVersion"), obj.GetResourceVersion(), "must be specified for an update"),
		})
	}
	return u.store.conflict(u.name, errModified)
}

// prepare runs everything that comes before the write of a changed object.
func (u *update) prepare(ctx context.Context, obj, old api.Object) (c change, err error) {
	s := u.store
	if s.desc.Default != nil {
		s.desc.Default(obj)
	}
	req := s.request(ctx, admission.Update, u.ns, u.name, u.subName(), obj, old, u.dryRun)
	if err := s.reg.admission.Admit(ctx, req); err != nil {
		return change{}, err
	}
	obj.SetGeneration(old.GetGeneration())
	if prepare := u.hooks().PrepareUpdate; prepare != nil {
		prepare(ctx, obj, old)
	}
	keepMeta(obj, old)
	wish := u.keepOwners(obj, old)
	c = change{kind: put, obj: obj}
	if c.claim, err = s.claimAddresses(ctx, obj, old); err != nil {
		return change{}, err
	}
	if err := u.check(ctx, obj, old, req); err != nil {
		rollback(c.claim)
		return change{}, err
	}
	switch {
	case finished(obj):
		c.kind = remove
	case wish == nil && unchanged(obj, old):
		c.kind = keep
	default:
		u.own(obj, old, wish)
	}
	if c.kind != put {
		rollback(c.claim)
		c.claim = nil
	}
	return c, nil
}

func (u *update) subName() string {
	if u.sub == nil {
		return ""
	}
	return u.sub.Name
}

// hooks are the subresource's own where it has some, else the object's.
func (u *update) hooks() resource.Subresource {
	d := u.store.desc
	if u.sub != nil && u.sub.PrepareUpdate != nil {
		return *u.sub
	}
	return resource.Subresource{PrepareUpdate: d.PrepareUpdate, ValidateUpdate: d.ValidateUpdate}
}

func (u *update) check(ctx context.Context, obj, old api.Object, req *admission.Request) error {
	s := u.store
	errs := validation.ValidateObjectMetaAccessorUpdate(obj, old, field.NewPath("metadata"))
	errs = append(errs, checkFinalizers(obj)...)
	hooks := u.hooks()
	// A subresource that says what is valid about its own part need not look at the rest.
	if s.desc.Validate != nil && (u.sub == nil || hooks.Name == "" || hooks.ValidateUpdate == nil) {
		errs = append(errs, s.desc.Validate(ctx, obj)...)
	}
	if hooks.ValidateUpdate != nil {
		errs = append(errs, hooks.ValidateUpdate(ctx, obj, old)...)
	}
	if err := s.invalid(obj.GetName(), errs); err != nil {
		return err
	}
	if err := s.reg.admission.Validate(ctx, req); err != nil {
		return err
	}
	if u.sub == nil {
		s.warn(ctx, obj, old)
	}
	return nil
}

// keepMeta keeps the metadata that an update leaves as it is, whatever the body says.
func keepMeta(obj, old api.Object) {
	if obj.GetUID() == "" {
		obj.SetUID(old.GetUID())
	}
	obj.SetCreationTimestamp(old.GetCreationTimestamp())
	if old.GetDeletionTimestamp() != nil {
		obj.SetDeletionTimestamp(old.GetDeletionTimestamp())
	}
	if obj.GetDeletionGracePeriodSeconds() == nil {
		obj.SetDeletionGracePeriodSeconds(old.GetDeletionGracePeriodSeconds())
	}
	obj.SetSelfLink("") // old clients may still send it
}

func (s *Store) conflict(name string, err error) error {
	return apierrors.NewConflict(s.desc.GroupResource(), name, err)
}

func (s *Store) wrongUID(old api.Object, want types.UID) error {
	//lint:ignore ST1005 these are Kubernetes' words.
	return s.conflict(old.GetName(), fmt.Errorf("Precondition failed: UID in precondition: %v, UID in object meta: %v", want, old.GetUID()))
}

func asBadRequest(err error) error {
	if _, ok := err.(apierrors.APIStatus); ok {
		return err
	}
	return apierrors.NewBadRequest(err.Error())
}

// deepEqual compares objects that have no protobuf form.
func deepEqual(a, b api.Object) bool { return apiequality.Semantic.DeepEqual(a, b) }
