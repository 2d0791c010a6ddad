package managedfields

import (
	"errors"
	"math/rand/v2"
	"reflect"
	"sync"
	"testing"

	"k8s.io/apimachinery/pkg/util/managedfields"
	"k8s.io/client-go/applyconfigurations"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
	"sigs.k8s.io/structured-merge-diff/v6/typed"

	"github.com/miniorch/miniorch/apiserver/resource"
	"github.com/miniorch/miniorch/pkg/api"
)

// TestEveryKindIsPlanned: what needs the library for every write would be slow.
func TestEveryKindIsPlanned(t *testing.T) {
	for _, d := range storedKinds() {
		if _, err := planOf(reflect.TypeOf(d.New())); err != nil {
			t.Errorf("%v: %v", d.GVK(), err)
		}
	}
}

// What the walk finds is what the library finds, byte for byte.
func TestChangesAreTheLibrarys(t *testing.T) {
	for _, d := range storedKinds() {
		t.Run(d.GVK().String(), func(t *testing.T) {
			checked := 0
			for seed := range uint64(150) {
				if checkSeed(t, d.New, seed) {
					checked++
				}
			}
			if checked < 40 {
				t.Errorf("only %d of 150 pairs could be compared", checked)
			}
		})
	}
}

func FuzzChangesAreTheLibrarys(f *testing.F) {
	f.Fuzz(func(t *testing.T, seed uint64, which uint8) { checkSeed(t, pick(which).New, seed) })
}

func pick(which uint8) resource.Descriptor {
	ds := storedKinds()
	return ds[int(which)%len(ds)]
}

// checkSeed compares two random objects in both ways. It reports whether the walk could.
func checkSeed(t *testing.T, empty func() api.Object, seed uint64) bool {
	r := filler{rand.New(rand.NewPCG(seed, 1))}
	old, obj := empty(), empty()
	if seed%4 > 0 {
		r.fill(reflect.ValueOf(old).Elem(), 0)
		obj = old.DeepCopyObject().(api.Object)
	}
	r.fill(reflect.ValueOf(obj).Elem(), 0)
	p, err := planOf(reflect.TypeOf(obj))
	if err != nil {
		t.Fatal(err)
	}
	w := p.compare(reflect.ValueOf(old).Elem(), reflect.ValueOf(obj).Elem(), nil)
	defer w.release()
	if errors.Is(w.err, errUnusual) {
		return false
	}
	wantSet, wantGone, err := libraryChanges(t, old, obj)
	if err != nil {
		return false // lists whose items have no keys
	}
	if string(w.set) != wantSet || string(w.gone) != wantGone {
		t.Errorf("seed %d:\n set %s\nwant %s\ngone %s\nwant %s", seed, w.set, wantSet, w.gone, wantGone)
	}
	return true
}

func libraryChanges(t *testing.T, old, obj api.Object) (set, gone string, err error) {
	t.Helper()
	values := make([]*typed.TypedValue, 2)
	for i, o := range []api.Object{old, obj} {
		o = o.DeepCopyObject().(api.Object)
		gvks, _, err := api.Scheme.ObjectKinds(o)
		if err != nil {
			t.Fatal(err)
		}
		o.GetObjectKind().SetGroupVersionKind(gvks[0])
		if values[i], err = clientGo().ObjectToTyped(o, typed.AllowDuplicates); err != nil {
			return "", "", err
		}
	}
	comparison, err := values[0].Compare(values[1])
	if err != nil {
		return "", "", err
	}
	return text(t, strip(comparison.Added.Union(comparison.Modified))), text(t, strip(comparison.Removed)), nil
}

var clientGo = sync.OnceValue(func() managedfields.TypeConverter { return applyconfigurations.NewTypeConverter(api.Scheme) })

func strip(s *fieldpath.Set) *fieldpath.Set {
	paths := fieldpath.NewSet(fieldpath.MakePathOrDie("apiVersion"), fieldpath.MakePathOrDie("kind"), fieldpath.MakePathOrDie("metadata"))
	for _, name := range serverOnly {
		paths.Insert(fieldpath.MakePathOrDie("metadata", name))
	}
	return s.Difference(paths)
}

func text(t *testing.T, s *fieldpath.Set) string {
	t.Helper()
	data, err := s.ToJSON()
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
