package rest

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"github.com/miniorch/miniorch/apiserver/auth"
	"github.com/miniorch/miniorch/apiserver/decode"
	"github.com/miniorch/miniorch/apiserver/resource"
	"github.com/miniorch/miniorch/apiserver/storage/watchcache"
	"github.com/miniorch/miniorch/apiserver/warning"
	"github.com/miniorch/miniorch/pkg/api"
)

// Apply merges what a client wants of an object, or makes the object (server-side apply).
// What the client applied before and does not any more goes, unless others own it; what
// others own and the client wants otherwise is a conflict.
func (s *Store) Apply(ctx context.Context, ns, name, subresource string, data []byte, opts metav1.PatchOptions) (it *watchcache.Item, created bool, err error) {
	if err := s.notVirtual("patch"); err != nil {
		return nil, false, err
	}
	if err := checkOptions("PatchOptions", metavalidation.ValidatePatchOptions(&opts, types.ApplyYAMLPatchType)); err != nil {
		return nil, false, err
	}
	sub, err := s.subresource(subresource, "patch")
	if err != nil {
		return nil, false, err
	}
	keeper := s.keepers[subresource]
	if keeper == nil {
		return nil, false, decode.UnsupportedMediaType(string(types.ApplyYAMLPatchType)+": the owners of "+s.desc.String()+" are not tracked", patchTypes...)
	}
	applied, err := s.applied(ctx, sub, data, opts.FieldValidation)
	if err != nil {
		return nil, false, err
	}
	by := author{manager: opts.FieldManager, applies: true}
	u := &update{
		store: s, ns: ns, name: name, sub: sub, dryRun: isDryRun(opts.DryRun), unconditional: true, by: by,
		make: func(current api.Object) (api.Object, error) {
			if current == nil {
				if err := s.mayCreate(ctx, ns, name); err != nil {
					return nil, err
				}
				current = s.desc.New()
			}
			return keeper.Applied(current, applied.DeepCopy(), by.manager, ptr.Deref(opts.Force, false), s.now())
		},
	}
	return u.do(ctx)
}

// mayCreate refuses to make an object for who may only patch those that there are.
func (s *Store) mayCreate(ctx context.Context, ns, name string) error {
	user, _ := auth.UserFrom(ctx)
	return s.reg.authorize(ctx, auth.Attributes{
		User: user, Verb: "create", Group: s.desc.Group, Version: s.desc.Version, Resource: s.desc.Name, Namespace: ns, Name: name,
	})
}

// applied reads what is applied, in the form of the object itself.
func (s *Store) applied(ctx context.Context, sub *resource.Subresource, data []byte, validation string) (*unstructured.Unstructured, error) {
	kind, empty := s.body(sub)
	tree, twice, err := decode.YAMLTree(data, empty())
	if err != nil {
		return nil, apierrors.NewBadRequest("error decoding YAML: " + err.Error())
	}
	if twice != nil {
		switch validation {
		case metav1.FieldValidationStrict:
			return nil, apierrors.NewBadRequest("error strict decoding YAML: " + twice.Error())
		case metav1.FieldValidationWarn, "":
			warning.Add(ctx, twice.Error())
		}
	}
	obj := &unstructured.Unstructured{Object: tree}
	if got := obj.GroupVersionKind(); got != kind {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("invalid object type: %v, expected %v", got, kind))
	}
	if sub == nil || sub.Inject == nil {
		return obj, nil
	}
	body := decode.Options{Kind: kind, Validation: metav1.FieldValidationStrict}
	if err := decode.FromTree(ctx, obj.DeepCopy().Object, empty(), body); err != nil {
		return nil, err
	}
	return s.scaled(obj)
}

// scaled turns an applied Scale into what it means for the object that is scaled.
func (s *Store) scaled(scale *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	out := &unstructured.Unstructured{Object: map[string]any{}}
	out.SetGroupVersionKind(s.desc.GVK())
	out.SetName(scale.GetName())
	if ns := scale.GetNamespace(); ns != "" {
		out.SetNamespace(ns)
	}
	if rv := scale.GetResourceVersion(); rv != "" {
		out.SetResourceVersion(rv)
	}
	replicas, found, err := unstructured.NestedInt64(scale.Object, "spec", "replicas")
	if err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	if found {
		err = unstructured.SetNestedField(out.Object, replicas, "spec", "replicas")
	}
	return out, err
}
