package rest

import (
	"context"
	"reflect"
	"strings"

	"k8s.io/apimachinery/pkg/runtime"

	"github.com/miniorch/miniorch/apiserver/alike"
	"github.com/miniorch/miniorch/apiserver/decode"
	"github.com/miniorch/miniorch/pkg/api"
)

// A merge patch nearly always names one or two of an object's parts (its metadata, its
// status), and the rest of the object need not be taken apart and put together again.

// byParts reports whether the patch is about whole parts only. Directives of a strategic
// patch at the top are about the object as a whole.
func byParts(patch map[string]any, like runtime.Object) bool {
	for name := range patch {
		if strings.HasPrefix(name, "$") {
			return false
		}
	}
	return alike.Parts(reflect.TypeOf(like).Elem()) != nil
}

// applyToParts is applyTo for a patch by parts.
func (p *patch) applyToParts(ctx context.Context, current api.Object, opts decode.Options) (api.Object, error) {
	if !p.namesOwners() {
		current = withoutOwners(current)
	}
	from := reflect.ValueOf(current).Elem()
	fields := alike.Parts(from.Type())
	some := reflect.New(from.Type())
	for name := range p.parts {
		if i, ok := fields[name]; ok {
			some.Elem().Field(i).Set(from.Field(i))
		}
	}
	doc, err := p.treeFrom(some.Interface().(api.Object))
	if err != nil {
		return nil, err
	}
	for name := range fields {
		if _, named := p.parts[name]; !named {
			delete(doc, name)
		}
	}
	patched, err := p.tree(doc)
	if err != nil {
		return nil, p.patchError(err)
	}
	obj := p.empty()
	if err := decode.FromTree(ctx, patched, obj, opts); err != nil {
		return nil, p.unprocessable(err)
	}
	whole, to := reflect.ValueOf(current.DeepCopyObject()).Elem(), reflect.ValueOf(obj).Elem()
	for name, i := range fields {
		if _, named := p.parts[name]; !named {
			to.Field(i).Set(whole.Field(i))
		}
	}
	return asObject(obj)
}
