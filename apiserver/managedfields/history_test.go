package managedfields

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/miniorch/miniorch/apiserver/resource"
	"github.com/miniorch/miniorch/pkg/api"
)

// After any history of writes the entries are those that the library would have kept.
func TestHistoriesAreTheLibrarys(t *testing.T) {
	for _, d := range storedKinds() {
		t.Run(d.GVK().String(), func(t *testing.T) {
			for seed := range uint64(10) {
				checkHistory(t, d, seed)
			}
		})
	}
}

func FuzzHistoriesAreTheLibrarys(f *testing.F) {
	f.Fuzz(func(t *testing.T, seed uint64, which uint8) { checkHistory(t, pick(which), seed) })
}

// doors are the keepers of a kind's endpoints.
func doors(d resource.Descriptor) map[string]*Keeper {
	kind := Kind{GroupVersionKind: d.GVK(), New: d.New}
	resize := kind
	resize.Subresource = "resize"
	return map[string]*Keeper{"": New(kind), "resize": New(resize)}
}

func checkHistory(t *testing.T, d resource.Descriptor, seed uint64) {
	r, keepers := filler{rand.New(rand.NewPCG(seed, 2))}, doors(d)
	fast := d.New()
	r.fill(reflect.ValueOf(fast).Elem(), 0)
	slow := fast.DeepCopyObject().(api.Object)
	errFast := keepers[""].Created(fast, "m0", at(0))
	errSlow := keepers[""].byLibrary(d.New(), slow, "m0", at(0))
	for step := 1; step < 8; step++ {
		if diff := cmp.Diff(slow.GetManagedFields(), fast.GetManagedFields()); diff != "" || (errFast == nil) != (errSlow == nil) {
			t.Fatalf("seed %d, step %d: %v, library %v\n%s", seed, step, errFast, errSlow, diff)
		}
		old := fast
		old.SetUID("u")
		fast = old.DeepCopyObject().(api.Object)
		r.fill(reflect.ValueOf(fast).Elem(), r.IntN(4))
		fast.SetUID("u")
		slow = fast.DeepCopyObject().(api.Object)
		k, manager := keepers[[]string{"", "resize"}[r.IntN(2)]], fmt.Sprint("m", r.IntN(3))
		errFast = k.Updated(old, fast, manager, at(step))
		errSlow = k.byLibrary(old, slow, manager, at(step))
	}
}

func at(second int) metav1.Time { return metav1.NewTime(time.Unix(1_800_000_000+int64(second), 0)) }
