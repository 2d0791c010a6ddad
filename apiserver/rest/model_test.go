package rest_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/miniorch/miniorch/apiserver/rest"
	"github.com/miniorch/miniorch/pkg/api"
)

// This test plays several clients against one registry and holds everything that they saw
// against a model: the history of one collection, which is the sequence of acknowledged
// writes in the order of their revisions.

// write is one acknowledged change.
type write struct {
	revision int64
	name     string
	value    string // empty: deleted
}

// history is the model.
type history struct {
	mu     sync.Mutex
	writes map[int64]write // by revision
}

func (h *history) add(t *testing.T, obj api.Object, deleted bool) {
	w := write{revision: revision(obj.GetResourceVersion()), name: obj.GetName()}
	if !deleted {
		w.value = obj.(*corev1.ConfigMap).Data["v"]
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if other, twice := h.writes[w.revision]; twice && other != w {
		t.Errorf("revision %d was given to %+v and to %+v", w.revision, other, w)
	}
	h.writes[w.revision] = w
}

// after returns the writes after a revision, in order.
func (h *history) after(rev int64) []write {
	var out []write
	for _, w := range h.writes {
		if w.revision > rev {
			out = append(out, w)
		}
	}
	slices.SortFunc(out, func(a, b write) int { return int(a.revision - b.revision) })
	return out
}

// at returns the collection at a revision.
func (h *history) at(rev int64) map[string]write {
	state := map[string]write{}
	for _, w := range h.after(0) {
		switch {
		case w.revision > rev:
		case w.value == "":
			delete(state, w.name)
		default:
			state[w.name] = w
		}
	}
	return state
}

// seenList is what one list returned.
type seenList struct {
	revision int64
	floor    int64 // the newest write that was acknowledged before the list was asked for
	items    map[string]write
}

// seenWatch is what one watch delivered.
type seenWatch struct {
	from   int64
	events []write
}

func TestModel(t *testing.T) {
	for seed := range uint64(8) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { playModel(t, start(t, rest.Config{}), seed) })
		})
	}
}

func TestModelOnEtcd(t *testing.T) {
	playModel(t, startOver(t, embedded(t), rest.Config{}), 1)
}

// lastName is the object whose creation ends every watch.
const lastName = "the-end"

func playModel(t *testing.T, e *engine, seed uint64) {
	model := &history{writes: map[int64]write{}}
	began, err := e.store.Revision(e.ctx)
	if err != nil {
		t.Fatal(err)
	}
	var lists []seenList
	var watches []*seenWatch
	var mu sync.Mutex // guards lists and watches

	var watching sync.WaitGroup
	watchCtx, stopWatches := context.WithTimeout(e.ctx, 5*time.Minute)
	defer stopWatches()
	observe := func(from int64) {
		seen := &seenWatch{from: from}
		mu.Lock()
		watches = append(watches, seen)
		mu.Unlock()
		w, err := of[*corev1.ConfigMap](e).Watch(watchCtx, "default", metav1.ListOptions{ResourceVersion: fmt.Sprint(from)})
		if err != nil {
			t.Error(err)
			return
		}
		watching.Go(func() {
			defer w.Stop()
			for {
				ev, err := w.Next(watchCtx)
				if err != nil {
					t.Errorf("the watch from %d ended early: %v", from, err)
					return
				}
				seen.events = append(seen.events, asWrite(ev))
				if ev.Item.Object.GetName() == lastName {
					return
				}
			}
		})
	}
	observe(began)

	var clients sync.WaitGroup
	for c := range 6 {
		clients.Go(func() {
			r := rand.New(rand.NewPCG(seed, uint64(c)))
			for i := range 60 {
				value := fmt.Sprintf("%d.%d", c, i)
				if list := e.randomAction(t, r, model, value); list != nil {
					mu.Lock()
					lists = append(lists, *list)
					mu.Unlock()
					if r.IntN(3) == 0 {
						observe(list.revision)
					}
				}
				if r.IntN(4) == 0 {
					time.Sleep(time.Duration(r.IntN(1000)))
				}
			}
		})
	}
	clients.Wait()
	model.add(t, e.mustCreate("default", configMap(lastName, "v", "last")), false)
	watching.Wait()

	checkLists(t, model, lists)
	for _, w := range watches {
		if want := model.after(w.from); !slices.Equal(w.events, want) {
			t.Errorf("watch from %d saw\n%v, the history is\n%v", w.from, w.events, want)
		}
	}
	if len(model.writes) < 100 || len(watches) < 5 {
		t.Errorf("only %d writes and %d watches: the test shows nothing", len(model.writes), len(watches))
	}
}

func asWrite(ev rest.Event) write {
	obj := ev.Item.Object.(*corev1.ConfigMap)
	w := write{revision: revision(obj.ResourceVersion), name: obj.Name, value: obj.Data["v"]}
	if ev.Type == watch.Deleted {
		w.value = ""
	}
	return w
}

func checkLists(t *testing.T, model *history, lists []seenList) {
	t.Helper()
	for _, list := range lists {
		if list.revision < list.floor {
			t.Errorf("a list at %d was asked for after %d had been written", list.revision, list.floor)
		}
		want := model.at(list.revision)
		if len(want) != len(list.items) {
			t.Errorf("list at %d has %d items, want %d", list.revision, len(list.items), len(want))
		}
		for name, w := range want {
			if list.items[name] != w {
				t.Errorf("list at %d has %+v, want %+v", list.revision, list.items[name], w)
			}
		}
	}
}

// randomAction does one thing and notes it in the model; a list is returned.
func (e *engine) randomAction(t *testing.T, r *rand.Rand, model *history, value string) *seenList {
	configMaps, name := of[*corev1.ConfigMap](e), fmt.Sprint("c", r.IntN(8))
	var obj api.Object
	var err error
	deleted := false
	switch r.IntN(7) {
	case 0:
		obj, err = e.create("default", configMap(name, "v", value))
	case 1:
		var current *corev1.ConfigMap
		if current, err = get[*corev1.ConfigMap](e, "default", name); err == nil {
			next := current.DeepCopy()
			next.Data["v"] = value
			obj, err = e.put(name, next) // fails if somebody was faster
		}
	case 2:
		obj, err = e.put(name, configMap(name, "v", value))
	case 3:
		it, patchErr := configMaps.Patch(e.ctx, "default", name, "", types.MergePatchType, []byte(`{"data":{"v":"`+value+`"}}`), metav1.PatchOptions{})
		if err = patchErr; err == nil {
			obj = it.Object
		}
	case 4:
		it, gone, deleteErr := configMaps.Delete(e.ctx, "default", name, metav1.DeleteOptions{})
		if err = deleteErr; err == nil {
			obj, deleted = it.Object, gone
		}
	case 5:
		text := "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: " + name + "}\ndata: {v: \"" + value + "\"}\n"
		opts := metav1.PatchOptions{FieldManager: fmt.Sprint("m", r.IntN(3)), Force: ptr(r.IntN(2) == 0)}
		it, _, applyErr := configMaps.Apply(e.ctx, "default", name, "", []byte(text), opts)
		if err = applyErr; err == nil {
			obj = it.Object
		}
	case 6:
		return e.seeList(t, r, model)
	}
	switch {
	case err == nil:
		model.add(t, obj, deleted)
		checkOwners(t, obj)
	case !apierrors.IsNotFound(err) && !apierrors.IsAlreadyExists(err) && !apierrors.IsConflict(err):
		t.Error(err)
	}
	return nil
}

func (e *engine) put(name string, obj api.Object) (api.Object, error) {
	it, _, err := of[*corev1.ConfigMap](e).Update(e.ctx, "default", name, "", rest.Replace(obj), rest.UpdateOptions{})
	if err != nil {
		return nil, err
	}
	return it.Object, nil
}

// seeList reads the collection, in pages or at once.
func (e *engine) seeList(t *testing.T, r *rand.Rand, model *history) *seenList {
	seen := &seenList{items: map[string]write{}}
	model.mu.Lock()
	for rev := range model.writes {
		seen.floor = max(seen.floor, rev)
	}
	model.mu.Unlock()
	opts := metav1.ListOptions{Limit: int64(r.IntN(4))}
	for {
		page, err := of[*corev1.ConfigMap](e).List(e.ctx, "default", opts)
		if err != nil {
			t.Error(err)
			return seen
		}
		seen.revision = revision(page.ResourceVersion)
		for _, it := range page.Items {
			obj := it.Object.(*corev1.ConfigMap)
			seen.items[obj.Name] = write{revision: revision(obj.ResourceVersion), name: obj.Name, value: obj.Data["v"]}
		}
		if page.Continue == "" {
			return seen
		}
		opts.Continue = page.Continue
	}
}
