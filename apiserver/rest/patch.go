package rest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	"k8s.io/apimachinery/pkg/util/validation/field"
	kjson "sigs.k8s.io/json"

	"github.com/miniorch/miniorch/apiserver/decode"
	"github.com/miniorch/miniorch/apiserver/resource"
	"github.com/miniorch/miniorch/apiserver/storage/watchcache"
	"github.com/miniorch/miniorch/pkg/api"
)

const (
	// maxPatchOperations bounds the work that one JSON patch can ask for.
	maxPatchOperations = 10_000
	// maxPatched bounds the document that a patch can grow an object to: a few "copy"
	// operations would otherwise double it over and over.
	maxPatched = 3 << 20
	// maxQuoted is how much of a bad patch its refusal repeats.
	maxQuoted = 1 << 10
)

// The library bounds what the copies of one patch add up to only through a variable of its own.
func init() { jsonpatch.AccumulatedCopySizeLimit = maxPatched }

// Patch changes part of an object, or of what a subresource shows of it. It is applied
// anew to the newest version whenever somebody else wrote in between, unless the patch
// itself names a resourceVersion.
func (s *Store) Patch(ctx context.Context, ns, name, subresource string, pt types.PatchType, data []byte, opts metav1.PatchOptions) (*watchcache.Item, error) {
	if err := s.notVirtual("patch"); err != nil {
		return nil, err
	}
	if err := checkOptions("PatchOptions", metavalidation.ValidatePatchOptions(&opts, pt)); err != nil {
		return nil, err
	}
	if pt == types.ApplyYAMLPatchType {
		it, _, err := s.Apply(ctx, ns, name, subresource, data, opts)
		return it, err
	}
	sub, err := s.subresource(subresource, "patch")
	if err != nil {
		return nil, err
	}
	kind, empty := s.body(sub)
	p := patch{kind: kind, empty: empty, data: data, validation: opts.FieldValidation}
	if err := p.parse(pt); err != nil {
		return nil, err
	}
	u := &update{
		store: s, ns: ns, name: name, sub: sub, noCreate: true, dryRun: isDryRun(opts.DryRun), unconditional: true, by: s.author(ctx, opts.FieldManager),
		make: func(current api.Object) (api.Object, error) { return p.applyTo(ctx, current) },
	}
	it, _, err := u.do(ctx)
	return it, err
}

// body returns the kind of what is patched and how to make an empty one.
func (s *Store) body(sub *resource.Subresource) (schema.GroupVersionKind, func() runtime.Object) {
	kind := s.desc.GVK()
	if sub == nil || sub.NewBody == nil {
		return kind, func() runtime.Object { return s.desc.New() }
	}
	if sub.Kind != "" {
		kind.Kind, kind.Group = sub.Kind, sub.Group
	}
	if sub.Version != "" {
		kind.Version = sub.Version
	}
	return kind, sub.NewBody
}

// patch is a parsed patch; applying it changes nothing in it. JSON patches work on text, the
// two kinds of merge patch on the object's tree, which costs less.
type patch struct {
	kind       schema.GroupVersionKind
	empty      func() runtime.Object
	data       []byte
	validation string
	found      []string // fields that stand twice in the patch itself, or that no operation has
	text       func(doc []byte) ([]byte, error)
	tree       func(doc map[string]any) (map[string]any, error)
	parts      map[string]any // what the tree is changed by, if only by whole parts
}

func (p *patch) parse(pt types.PatchType) error {
	switch pt {
	case types.JSONPatchType:
		return p.parseJSONPatch()
	case types.MergePatchType:
		patch, err := p.document()
		p.tree = func(doc map[string]any) (map[string]any, error) { return merge(doc, patch), nil }
		p.setParts(patch)
		return err
	case types.StrategicMergePatchType:
		into := p.empty()
		if _, untyped := into.(runtime.Unstructured); untyped {
			return decode.UnsupportedMediaType(string(pt), string(types.JSONPatchType), string(types.MergePatchType))
		}
		patch, err := p.document()
		p.setParts(patch)
		p.tree = func(doc map[string]any) (map[string]any, error) {
			return strategicpatch.StrategicMergeMapPatch(doc, runtime.DeepCopyJSON(patch), into)
		}
		return err
	}
	return decode.UnsupportedMediaType(string(pt), patchTypes...)
}

func (p *patch) setParts(patch map[string]any) {
	if byParts(patch, p.empty()) {
		p.parts = patch
	}
}

// patchTypes are the forms of patches that are understood.
var patchTypes = []string{string(types.JSONPatchType), string(types.MergePatchType), string(types.StrategicMergePatchType)}

// document reads a merge patch, which must be an object, and notes what stands in it
// twice: the merge would silently keep one.
func (p *patch) document() (map[string]any, error) {
	doc, twice, err := decode.Tree(p.data, p.empty())
	if err != nil {
		return nil, apierrors.NewBadRequest("error decoding patch: " + err.Error())
	}
	p.found = twice
	return doc, nil
}

// merge applies a JSON merge patch (RFC 7386) to doc, which it may change. patch stays as
// it is, and the result shares nothing with it.
func merge(doc, patch map[string]any) map[string]any {
	if doc == nil {
		doc = map[string]any{}
	}
	for key, value := range patch {
		switch value := value.(type) {
		case nil:
			delete(doc, key)
		case map[string]any:
			inner, _ := doc[key].(map[string]any)
			doc[key] = merge(inner, value)
		default:
			doc[key] = runtime.DeepCopyJSONValue(value)
		}
	}
	return doc
}

func (p *patch) parseJSONPatch() error {
	operations, err := jsonpatch.DecodePatch(p.data)
	if err != nil {
		return apierrors.NewBadRequest(err.Error())
	}
	if len(operations) > maxPatchOperations {
		return apierrors.NewRequestEntityTooLargeError(fmt.Sprintf(
			"The allowed maximum operations in a JSON patch is %d, got %d", maxPatchOperations, len(operations)))
	}
	p.text = operations.Apply
	p.checkOperations()
	return nil
}

// checkOperations finds fields of operations that do not exist or stand twice.
func (p *patch) checkOperations() {
	var known []struct {
		Op    string `json:"op"`
		Path  string `json:"path"`
		From  string `json:"from"`
		Value any    `json:"value"`
	}
	problems, err := kjson.UnmarshalStrict(p.data, &known)
	if err != nil {
		return // what is no patch is refused when it is applied
	}
	texts := make([]string, len(problems))
	for i, problem := range problems {
		texts[i] = "json patch " + problem.Error()
	}
	p.found = texts
}

// applyTo returns the patched form of current, which stays as it is.
func (p *patch) applyTo(ctx context.Context, current api.Object) (api.Object, error) {
	opts := decode.Options{Kind: p.kind, Validation: p.validation, Found: p.found}
	if p.parts != nil {
		return p.applyToParts(ctx, current, opts)
	}
	obj := p.empty()
	if p.tree != nil {
		doc, err := p.treeOf(current)
		if err != nil {
			return nil, err
		}
		patched, err := p.tree(doc)
		if err != nil {
			return nil, p.patchError(err)
		}
		if err := decode.FromTree(ctx, patched, obj, opts); err != nil {
			return nil, p.unprocessable(err)
		}
		return asObject(obj)
	}
	doc, err := p.textOf(current)
	if err != nil {
		return nil, err
	}
	patched, err := p.text(doc)
	if err != nil {
		return nil, p.patchError(err)
	}
	if len(patched) > maxPatched {
		return nil, apierrors.NewRequestEntityTooLargeError(fmt.Sprintf("the patched object would be larger than %d bytes", maxPatched))
	}
	if err := decode.Into(ctx, patched, obj, opts); err != nil {
		return nil, p.unprocessable(err)
	}
	return asObject(obj)
}

// treeOf returns current as the patch's author knows it, with apiVersion and kind.
func (p *patch) treeOf(current api.Object) (map[string]any, error) {
	if !p.namesOwners() {
		current = withoutOwners(current) // as large as the rest, and none of the patch's business
	}
	return p.treeFrom(current)
}

// namesOwners reports whether the patch may be about managedFields.
func (p *patch) namesOwners() bool { return bytes.Contains(p.data, []byte("managedFields")) }

func (p *patch) treeFrom(current api.Object) (map[string]any, error) {
	doc, err := runtime.DefaultUnstructuredConverter.ToUnstructured(current)
	if err != nil {
		return nil, apierrors.NewInternalError(fmt.Errorf("converting %s: %w", current.GetName(), err))
	}
	doc["apiVersion"], doc["kind"] = p.kind.ToAPIVersionAndKind()
	return doc, nil
}

// textOf is treeOf in JSON.
func (p *patch) textOf(current api.Object) ([]byte, error) {
	doc, err := p.treeOf(current)
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(doc)
	if err != nil {
		return nil, apierrors.NewInternalError(fmt.Errorf("encoding %s: %w", current.GetName(), err))
	}
	return text, nil
}

// patchError words why a patch could not be applied: malformed is a bad request, not
// fitting the object (a test that fails, a path that is not there) is unprocessable.
func (p *patch) patchError(err error) error {
	if tooMuch := (*jsonpatch.AccumulatedCopySizeError)(nil); errors.As(err, &tooMuch) {
		return apierrors.NewRequestEntityTooLargeError(err.Error())
	}
	return p.unprocessable(err)
}

func (p *patch) unprocessable(err error) error {
	return apierrors.NewInvalid(schema.GroupKind{}, "", field.ErrorList{
		field.Invalid(field.NewPath("patch"), string(p.data[:min(len(p.data), maxQuoted)]), err.Error()),
	})
}
