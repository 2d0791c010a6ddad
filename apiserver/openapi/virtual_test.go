package openapi

import (
	"slices"
	"testing"

	"github.com/miniorch/miniorch/apiserver/registry"
)

// TestVirtual: of what is only computed the documents have the verbs that there are, and no more.
func TestVirtual(t *testing.T) {
	docs := v3Documents(t, newService())
	seen := 0
	for _, d := range registry.All(registry.Config{}) {
		if d.Virtual == nil {
			continue
		}
		seen++
		doc := docs[rootOf(d.GroupVersion())]
		all, one := doc.Paths.Paths[collection(d)], doc.Paths.Paths[collection(d)+"/{name}"]
		if all == nil {
			t.Errorf("%s is not described", d.GVR())
			continue
		}
		for verb, has := range map[string]bool{
			"create": all.Post != nil, "list": all.Get != nil, "get": one != nil && one.Get != nil,
			"deletecollection": all.Delete != nil, "update": one != nil && one.Put != nil, "patch": one != nil && one.Patch != nil, "delete": one != nil && one.Delete != nil,
		} {
			if has != slices.Contains(d.Verbs(), verb) {
				t.Errorf("%s: %s is described: %v", d.GVR(), verb, has)
			}
		}
		if all.Post != nil && !hasParameter(all.Post, "fieldValidation") {
			t.Errorf("%s: create has no fieldValidation", d.GVR())
		}
	}
	if seen < 7 {
		t.Errorf("only %d virtual resources", seen)
	}
}
