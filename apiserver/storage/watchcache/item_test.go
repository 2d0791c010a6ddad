package watchcache

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"unsafe"

	corev1 "k8s.io/api/core/v1"

	"github.com/miniorch/miniorch/apiserver/storage/memory"
	"github.com/miniorch/miniorch/pkg/api"
)

func TestEncodedOnce(t *testing.T) {
	f := withMemory(t)
	f.waitFor(f.put("a", ""))
	it, _ := f.cache.Get(prefix + "a")
	var calls atomic.Int64
	encode := func(format Format) func(api.Object) ([]byte, error) {
		return func(obj api.Object) ([]byte, error) {
			calls.Add(1)
			return fmt.Append(nil, format, obj.GetName()), nil
		}
	}
	var wg sync.WaitGroup
	for i := range 64 {
		wg.Go(func() {
			format := Format(i % 2)
			b, err := it.Encoded(format, encode(format))
			if err != nil || string(b) != fmt.Sprint(format)+"a" {
				t.Errorf("got %q, %v", b, err)
			}
		})
	}
	wg.Wait()
	if n := calls.Load(); n != 2 {
		t.Errorf("encoded %d times, want once per format", n)
	}
	fails := errors.New("no")
	if _, err := it.Encoded(FormatOther, func(api.Object) ([]byte, error) { return nil, fails }); !errors.Is(err, fails) {
		t.Errorf("got %v", err)
	}
	if _, err := it.Encoded(FormatOther, encode(FormatOther)); err != nil {
		t.Errorf("a failure was kept: %v", err)
	}
}

// checkBudget compares what a budget says with what the items hold.
func checkBudget(t *testing.T, b *Budget, items []*Item) {
	t.Helper()
	var held int64
	for _, it := range items {
		if list := it.encoded.Load(); list != nil {
			for _, e := range *list {
				held += e.cost()
			}
		}
	}
	if used := b.Used(); used != held || used > b.limit {
		t.Errorf("the budget of %d has %d used, the items hold %d", b.limit, used, held)
	}
}

func TestBudget(t *testing.T) {
	const size, limit = 1000, 10 * (1000 + encodingOverhead)
	b := NewBudget(limit)
	items := make([]*Item, 50)
	for i := range items {
		items[i] = &Item{Key: fmt.Sprint(i), budget: b}
	}
	encoded := 0
	use := func(i int) {
		if _, err := items[i].Encoded(FormatJSON, func(api.Object) ([]byte, error) {
			encoded++
			return make([]byte, size), nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	for i := range items {
		use(i)
		use(0) // what is used again and again stays
	}
	if encoded != len(items) {
		t.Errorf("%d encodings for %d items", encoded, len(items))
	}
	checkBudget(t, b, items)
	if _, err := items[1].Encoded(FormatOther, func(api.Object) ([]byte, error) { return make([]byte, limit), nil }); err != nil {
		t.Error(err)
	}
	if items[1].kept(FormatOther) != nil || items[0].kept(FormatJSON) == nil {
		t.Error("an encoding larger than the budget drove out the others")
	}
	for _, it := range items {
		it.retire()
	}
	use(0)
	checkBudget(t, b, items)
	if b.Used() != 0 {
		t.Errorf("retired items use %d", b.Used())
	}
}

func TestBudgetUnderLoad(t *testing.T) {
	b := NewBudget(20_000)
	items := make([]*Item, 100)
	for i := range items {
		items[i] = &Item{Key: fmt.Sprint(i), budget: b}
	}
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := range 2000 {
				it := items[(i*31+w*17)%len(items)]
				format := Format(i % 3)
				bytes, err := it.Encoded(format, func(api.Object) ([]byte, error) { return make([]byte, 100*(1+int(format))), nil })
				if err != nil || len(bytes) != 100*(1+int(format)) {
					t.Errorf("format %d has %d bytes, %v", format, len(bytes), err)
					return
				}
				if i%200 == 0 {
					items[w].retire()
				}
			}
		})
	}
	wg.Wait()
	checkBudget(t, b, items)
}

// Items that the cache has forgotten hold no budget, whatever they were: replaced,
// deleted, or the parting state of a watcher.
func TestForgottenItemsFreeTheBudget(t *testing.T) {
	cfg := config()
	cfg.History, cfg.Budget = 8, NewBudget(1<<20)
	f := begin(t, memory.New(memory.Config{}), cfg)
	w := f.watch(WatchOptions{})
	var events []Event
	encode := func(it *Item) {
		if _, err := it.Encoded(FormatJSON, func(api.Object) ([]byte, error) { return make([]byte, 100), nil }); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 200 {
		rev := f.put("a", fmt.Sprint(i))
		if i%3 == 0 {
			rev = f.remove("a")
		}
		f.waitFor(rev)
		for e, ok := w.TryNext(); ok; e, ok = w.TryNext() {
			encode(e.Item)
			if len(events)%2 == 0 {
				encode(e.Departed())
			}
			events = append(events, e)
		}
	}
	// Each of the 8 events can hold its item, what was before and what departed.
	if used, most := f.cache.cfg.Budget.Used(), int64(3*8*(100+encodingOverhead)); used == 0 || used > most {
		t.Errorf("%d bytes are used, want at most %d", used, most)
	}
	used := f.cache.cfg.Budget.Used()
	for _, e := range events[:150] {
		encode(e.Item)
		encode(e.Departed())
	}
	if now := f.cache.cfg.Budget.Used(); now != used {
		t.Errorf("events that the cache has forgotten took %d bytes", now-used)
	}
}

// Items share what is equal with what they were before, and with their neighbours.
func TestItemsShare(t *testing.T) {
	f := withMemory(t)
	containers := func(name string) *corev1.Container {
		it, _ := f.cache.Get(prefix + name)
		return unsafe.SliceData(it.Object.(*corev1.Pod).Spec.Containers)
	}
	write := func(name, node string) {
		pod := realPod(1)
		pod.Name, pod.Spec.NodeName = name, node
		v, err := podCodec.Encode(prefix+name, pod)
		if err != nil {
			t.Fatal(err)
		}
		f.waitFor(force(t, f.store, prefix+name, v))
	}
	write("a", "")
	first := containers("a")
	write("a", "n")
	write("b", "")
	if containers("a") != first || containers("b") != first {
		t.Error("equal containers are in memory more than once")
	}
	again := begin(t, f.store, config())
	a, _ := again.cache.Get(prefix + "a")
	b, _ := again.cache.Get(prefix + "b")
	if unsafe.SliceData(a.Object.(*corev1.Pod).Spec.Containers) != unsafe.SliceData(b.Object.(*corev1.Pod).Spec.Containers) {
		t.Error("after a start, equal containers are in memory more than once")
	}
}
