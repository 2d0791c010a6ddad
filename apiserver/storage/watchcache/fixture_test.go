package watchcache

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/miniorch/miniorch/apiserver/storage"
	"github.com/miniorch/miniorch/apiserver/storage/codec"
	"github.com/miniorch/miniorch/apiserver/storage/memory"
	"github.com/miniorch/miniorch/pkg/api"
	"github.com/miniorch/miniorch/pkg/leaktest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

const prefix = "/registry/core/pods/"

var podCodec = codec.New(api.ResourceFor[*corev1.Pod](), nil)

// byNode is the index that the tests use.
var byNode = Index{Name: "spec.nodeName", Value: func(obj api.Object) string { return obj.(*corev1.Pod).Spec.NodeName }}

// fixture is a store and a cache of it.
type fixture struct {
	testing.TB
	ctx   context.Context
	store storage.Store
	cache *Cache
	stop  func() // stops the cache and waits for it
}

func config() Config {
	return Config{Prefix: prefix, Decode: podCodec.Decode, Indexes: []Index{byNode}, Logger: slog.New(slog.DiscardHandler)}
}

// begin runs a cache of the store until the test ends.
func begin(t testing.TB, store storage.Store, cfg Config) *fixture {
	t.Helper()
	f := &fixture{TB: t, ctx: t.Context(), store: store, cache: New(store, cfg)}
	ctx, cancel := context.WithCancel(context.Background())
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		_ = f.cache.Run(ctx)
	}()
	f.stop = func() {
		cancel()
		<-stopped
	}
	t.Cleanup(f.stop)
	select {
	case <-f.cache.Ready():
	case <-time.After(5 * time.Minute):
		t.Fatal("the cache does not become ready")
	}
	return f
}

func withMemory(t testing.TB) *fixture {
	t.Helper()
	return begin(t, memory.New(memory.Config{}), config())
}

// put writes a pod over whatever there is.
func (f *fixture) put(name, node string) int64 { return put(f, f.store, name, node) }

func put(t testing.TB, store storage.Store, name, node string) int64 {
	t.Helper()
	pod := &corev1.Pod{Spec: corev1.PodSpec{NodeName: node}}
	pod.Namespace, pod.Name = metav1.NamespaceDefault, name
	value, err := podCodec.Encode(prefix+name, pod)
	if err != nil {
		t.Fatal(err)
	}
	return force(t, store, prefix+name, value)
}

func (f *fixture) remove(name string) int64 { return force(f, f.store, prefix+name, nil) }

// force writes a value over whatever there is.
func force(t testing.TB, store storage.Store, key string, value []byte) int64 {
	t.Helper()
	w := storage.Write{Key: key, Value: value}
	for {
		r, err := store.Write(context.Background(), w)
		if err != nil {
			t.Fatal(err)
		}
		if r.Done {
			return r.Revision
		}
		w.Expect = 0
		if r.Current != nil {
			w.Expect = r.Current.Revision
		}
	}
}

func (f *fixture) waitFor(rev int64) {
	f.Helper()
	if err := f.cache.WaitFor(f.ctx, rev); err != nil {
		f.Fatal(err)
	}
}

func (f *fixture) watch(opts WatchOptions) *Watcher {
	f.Helper()
	w, err := f.cache.Watch(f.ctx, opts)
	if err != nil {
		f.Fatalf("watching %+v: %v", opts, err)
	}
	f.Cleanup(w.Stop)
	return w
}

// read returns what a watcher has up to the cache's present revision, shown.
func (f *fixture) read(w *Watcher) (events []string) {
	f.Helper()
	for {
		e, ok := w.TryNext()
		if !ok {
			return events
		}
		events = append(events, showEvent(e))
	}
}

func showEvent(e Event) string {
	if e.Type == Synced {
		return fmt.Sprintf("SYNCED@%d", e.Revision)
	}
	s := fmt.Sprintf("%s %s@%d", e.Type, show(e.Item), e.Revision)
	if e.Prev != nil {
		s += " was " + show(e.Prev)
	}
	return s
}

// show prints an item and checks that its object agrees with it.
func show(it *Item) string {
	pod := it.Object.(*corev1.Pod)
	s := it.Key[len(prefix):]
	if pod.Spec.NodeName != "" {
		s += " on " + pod.Spec.NodeName
	}
	if rv, _ := strconv.ParseInt(pod.ResourceVersion, 10, 64); rv != it.Revision {
		s += fmt.Sprintf(" with resourceVersion %d at revision %d", rv, it.Revision)
	}
	return s
}

func showAll(s Snapshot, below string) (all []string) {
	s.Ascend(below, "", func(it *Item) bool {
		all = append(all, fmt.Sprintf("%s@%d", show(it), it.Revision))
		return true
	})
	return all
}
