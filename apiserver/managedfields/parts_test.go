package managedfields

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/miniorch/miniorch/pkg/api"
)

// TestAppliedByParts: what an apply makes of the parts that it concerns, and the rest as it was,
// is what it makes of the whole.
func TestAppliedByParts(t *testing.T) {
	divided := 0
	for _, kind := range []struct {
		gvk schema.GroupVersionKind
		new func() api.Object
	}{
		{corev1.SchemeGroupVersion.WithKind("Pod"), func() api.Object { return &corev1.Pod{} }},
		{corev1.SchemeGroupVersion.WithKind("ConfigMap"), func() api.Object { return &corev1.ConfigMap{} }},
		{appsv1.SchemeGroupVersion.WithKind("Deployment"), func() api.Object { return &appsv1.Deployment{} }},
	} {
		keeper := New(Kind{GroupVersionKind: kind.gvk, New: kind.new})
		for seed := range uint64(150) {
			f := filler{rand.New(rand.NewPCG(seed, 7))}
			live := kind.new()
			f.fill(reflect.ValueOf(live).Elem(), 0)
			live.SetName("x")
			live.SetAnnotations(nil)
			if keeper.Created(live, "maker", at(1)) != nil {
				continue // a list whose items cannot be told apart
			}
			// Twice, so that the second finds what the same manager owned before.
			for round := range 2 {
				wish, force, manager := f.wish(t, kind.gvk, kind.new()), f.IntN(2) == 0, []string{"a", "b"}[f.IntN(2)]
				name := fmt.Sprintf("%s %d.%d", kind.gvk.Kind, seed, round)
				before := live.DeepCopyObject()
				want, wantErr := keeper.appliedTo(live, wish.DeepCopy(), manager, force, at(9))
				got, err := keeper.Applied(live, wish.DeepCopy(), manager, force, at(9))
				if !slices.Equal(complaints(err), complaints(wantErr)) {
					t.Fatalf("%s: %v, want %v", name, err, wantErr)
				}
				if diff := cmp.Diff(before, live.DeepCopyObject()); diff != "" {
					t.Fatalf("%s: the live object changed: %s", name, diff)
				}
				if err != nil {
					continue
				}
				if a, b := asText(t, want), asText(t, got); a != b {
					t.Fatalf("%s: applying %v with force %t\nto %s\nmakes %s\nwant  %s", name, wish.Object, force, asText(t, live), b, a)
				}
				if _, rest := keeper.concerned(live, wish, manager); rest != nil {
					divided++
				}
				live = got
			}
		}
	}
	if divided < 100 {
		t.Errorf("only %d objects were divided", divided)
	}
}

// wish is a random object of which some parts are applied.
func (f filler) wish(t *testing.T, gvk schema.GroupVersionKind, obj api.Object) *unstructured.Unstructured {
	t.Helper()
	f.fill(reflect.ValueOf(obj).Elem(), 0)
	obj.SetManagedFields(nil)
	tree, err := runtime.DefaultUnstructuredConverter.ToUnstructured(obj)
	if err != nil {
		t.Fatal(err)
	}
	for part := range tree {
		if f.IntN(2) == 0 {
			delete(tree, part)
		}
	}
	out := &unstructured.Unstructured{Object: tree}
	if f.IntN(2) == 0 {
		out.Object["metadata"] = map[string]any{"labels": map[string]any{"a": words[f.IntN(len(words))]}}
	}
	out.SetGroupVersionKind(gvk)
	out.SetName("x")
	out.SetAnnotations(nil)
	return out
}

// complaints are the lines of an error, which come in any order.
func complaints(err error) []string {
	lines := strings.FieldsFunc(fmt.Sprint(err), func(r rune) bool { return r == '\n' || r == ':' })
	slices.Sort(lines)
	return lines
}

// asText is the object as it is stored.
func asText(t *testing.T, obj api.Object) string {
	t.Helper()
	data, err := obj.(interface{ Marshal() ([]byte, error) }).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	stored := reflect.New(reflect.TypeOf(obj).Elem()).Interface()
	if err := stored.(interface{ Unmarshal([]byte) error }).Unmarshal(data); err != nil {
		t.Fatal(err)
	}
	out, err := json.Marshal(stored)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}
