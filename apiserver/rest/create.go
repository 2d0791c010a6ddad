package rest

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/miniorch/miniorch/apiserver/admission"
	"github.com/miniorch/miniorch/apiserver/storage/watchcache"
	"github.com/miniorch/miniorch/apiserver/warning"
	"github.com/miniorch/miniorch/pkg/api"
)

const (
	// suffixAlphabet has no vowels and nothing that looks like something else.
	suffixAlphabet = "bcdfghjklmnpqrstvwxz2456789"
	suffixLength   = 5
	// maxGeneratedBase keeps generated names within a DNS label.
	maxGeneratedBase = 63 - suffixLength
	// nameAttempts is how many names are tried before giving up.
	nameAttempts = 8
)

// Create stores a new object, which belongs to the engine from then on.
func (s *Store) Create(ctx context.Context, ns string, obj api.Object, opts metav1.CreateOptions) (*watchcache.Item, error) {
	if err := checkOptions("CreateOptions", metavalidation.ValidateCreateOptions(&opts)); err != nil {
		return nil, err
	}
	if err := s.checkNew(ns, obj); err != nil {
		return nil, err
	}
	if s.desc.Virtual != nil {
		return s.answer(ctx, ns, obj, isDryRun(opts.DryRun))
	}
	if err := s.waitReady(ctx); err != nil {
		return nil, err
	}
	by := s.author(ctx, opts.FieldManager)
	generated := obj.GetName() == "" && obj.GetGenerateName() != ""
	for attempt := 1; ; attempt++ {
		fresh := obj
		if generated {
			fresh = obj.DeepCopyObject().(api.Object)
			fresh.SetName(s.generateName(obj.GetGenerateName()))
		}
		it, err := s.createOnce(ctx, ns, fresh, by, isDryRun(opts.DryRun))
		if !generated || !apierrors.IsAlreadyExists(err) {
			return it, err
		}
		if attempt == nameAttempts {
			return nil, apierrors.NewGenerateNameConflict(s.desc.GroupResource(), fresh.GetName(), 1)
		}
	}
}

// checkNew refuses what does not belong where it was sent.
func (s *Store) checkNew(ns string, obj api.Object) error {
	if obj.GetResourceVersion() != "" {
		return apierrors.NewBadRequest("resourceVersion should not be set on objects to be created")
	}
	if s.desc.Namespaced && ns == "" {
		return apierrors.NewBadRequest("an empty namespace may not be set during creation")
	}
	return s.settleNamespace(ns, obj)
}

// settleNamespace makes the object's namespace the request's.
func (s *Store) settleNamespace(ns string, obj api.Object) error {
	if !s.desc.Namespaced {
		obj.SetNamespace("")
		return nil
	}
	if obj.GetNamespace() == "" {
		obj.SetNamespace(ns)
	}
	if obj.GetNamespace() != ns {
		return apierrors.NewBadRequest("the namespace of the provided object does not match the namespace sent on the request")
	}
	return nil
}

func (s *Store) generateName(base string) string {
	if len(base) > maxGeneratedBase {
		base = base[:maxGeneratedBase]
	}
	suffix := make([]byte, suffixLength)
	for i, n := 0, s.reg.cfg.Rand(); i < len(suffix); i++ {
		suffix[i] = suffixAlphabet[n%uint64(len(suffixAlphabet))]
		n /= uint64(len(suffixAlphabet))
	}
	return base + string(suffix)
}

func (s *Store) createOnce(ctx context.Context, ns string, obj api.Object, by author, dryRun bool) (*watchcache.Item, error) {
	c, err := s.prepareCreate(ctx, ns, obj, by, dryRun)
	if err != nil {
		return nil, err
	}
	key := s.key(ns, obj.GetName())
	if dryRun {
		defer rollback(c.claim)
		existing, _, err := s.current(ctx, key)
		if err != nil {
			return nil, err
		}
		if existing != nil {
			return nil, s.alreadyExists(existing.Object)
		}
		return watchcache.NewItem(key, c.obj, 0), nil
	}
	it, existing, err := s.write(ctx, key, c, nil, false)
	if err == nil && it == nil {
		err = s.alreadyExists(existing.Object)
	}
	return it, err
}

func rollback(c claim) {
	if c != nil {
		c.Rollback()
	}
}

func (s *Store) alreadyExists(existing api.Object) error {
	err := apierrors.NewAlreadyExists(s.desc.GroupResource(), existing.GetName())
	if existing.GetDeletionTimestamp() != nil {
		err.ErrStatus.Message = "object is being deleted: " + err.ErrStatus.Message
	}
	return err
}

// prepareCreate runs everything that comes before the write of a new object: defaults,
// admission, metadata, strategy, addresses, validation.
func (s *Store) prepareCreate(ctx context.Context, ns string, obj api.Object, by author, dryRun bool) (c change, err error) {
	clearType(obj)
	obj.SetDeletionTimestamp(nil)
	obj.SetDeletionGracePeriodSeconds(nil)
	if s.desc.Default != nil {
		s.desc.Default(obj)
	}
	s.ownAll(obj, by)
	req := s.request(ctx, admission.Create, ns, obj.GetName(), "", obj, nil, dryRun)
	if err := s.reg.admission.Admit(ctx, req); err != nil {
		return change{}, err
	}
	s.newMeta(obj)
	if s.desc.PrepareCreate != nil {
		s.desc.PrepareCreate(ctx, obj)
	}
	c = change{kind: put, obj: obj}
	if c.claim, err = s.claimAddresses(ctx, obj, nil); err != nil {
		return change{}, err
	}
	if err = s.checkCreate(ctx, obj, req); err != nil {
		rollback(c.claim)
		return change{}, err
	}
	return c, nil
}

func (s *Store) checkCreate(ctx context.Context, obj api.Object, req *admission.Request) error {
	errs := validation.ValidateObjectMetaAccessor(obj, s.desc.Namespaced, s.nameRule(), field.NewPath("metadata"))
	errs = append(errs, checkFinalizers(obj)...)
	if s.desc.Validate != nil {
		errs = append(errs, s.desc.Validate(ctx, obj)...)
	}
	if err := s.invalid(obj.GetName(), errs); err != nil {
		return err
	}
	if err := s.reg.admission.Validate(ctx, req); err != nil {
		return err
	}
	s.warn(ctx, obj, nil)
	return nil
}

func (s *Store) warn(ctx context.Context, obj, old api.Object) {
	if s.desc.Warnings == nil {
		return
	}
	for _, text := range s.desc.Warnings(ctx, obj, old) {
		warning.Add(ctx, text)
	}
}

// checkFinalizers wants to know whose a finalizer is: it has a domain, unless the cluster itself takes it off.
func checkFinalizers(obj api.Object) field.ErrorList {
	var errs field.ErrorList
	for i, f := range obj.GetFinalizers() {
		switch {
		case strings.Contains(f, "/"), f == string(corev1.FinalizerKubernetes), f == metav1.FinalizerOrphanDependents, f == metav1.FinalizerDeleteDependents:
		default:
			errs = append(errs, field.Invalid(field.NewPath("metadata", "finalizers").Index(i), f, "name is neither a standard finalizer name nor is it fully qualified"))
		}
	}
	return errs
}

func (s *Store) nameRule() validation.ValidateNameFunc {
	if s.desc.ValidateName != nil {
		return s.desc.ValidateName
	}
	return validation.NameIsDNSSubdomain
}

// newMeta sets the metadata that only the server may.
func (s *Store) newMeta(obj api.Object) {
	obj.SetUID(s.reg.cfg.UID(s.desc.GroupResource(), obj))
	obj.SetCreationTimestamp(s.now())
	obj.SetSelfLink("") // old clients may still send it
	obj.SetGeneration(0)
	obj.SetResourceVersion("")
}

// now has the precision of stored times.
func (s *Store) now() metav1.Time {
	return metav1.NewTime(s.reg.cfg.Clock.Now().Truncate(time.Second))
}

// randomUID makes a version 4 UUID.
func randomUID(rand func() uint64) types.UID {
	var id uuid.UUID
	for i, n := 0, rand(); i < 8; i++ {
		id[i] = byte(n >> (8 * i))
	}
	for i, n := 0, rand(); i < 8; i++ {
		id[8+i] = byte(n >> (8 * i))
	}
	id[6] = id[6]&0x0f | 0x40 // version 4
	id[8] = id[8]&0x3f | 0x80 // RFC 4122
	return types.UID(id.String())
}

// requireName is for verbs on one object whose body must name it.
func requireName(obj api.Object, name string) error {
	if obj.GetName() != name {
		return apierrors.NewBadRequest(fmt.Sprintf("the name of the object (%s) does not match the name on the URL (%s)", obj.GetName(), name))
	}
	return nil
}
