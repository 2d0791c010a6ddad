package rest_test

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/miniorch/miniorch/apiserver/auth"
	"github.com/miniorch/miniorch/apiserver/rest"
	"github.com/miniorch/miniorch/apiserver/storage"
	"github.com/miniorch/miniorch/apiserver/storage/etcd"
	"github.com/miniorch/miniorch/apiserver/storage/memory"
	"github.com/miniorch/miniorch/pkg/api"
)

// engine is a running registry over the memory store, with the namespace and service
// account "default".
type engine struct {
	testing.TB
	*rest.Registry
	ctx   context.Context
	store storage.Store
}

// inBubble runs a test against an engine in virtual time.
func inBubble(t *testing.T, test func(t *testing.T, e *engine)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { test(t, start(t, rest.Config{})) })
}

func start(t testing.TB, cfg rest.Config) *engine {
	t.Helper()
	return startOver(t, memory.New(memory.Config{}), cfg)
}

func startOver(t testing.TB, store storage.Store, cfg rest.Config) *engine {
	t.Helper()
	e := run(t, store, cfg)
	e.mustCreate("", &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "default"}})
	e.mustCreate("default", &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "default"}})
	return e
}

// startAgain starts a second registry over the same store.
func startAgain(e *engine) *engine {
	e.Helper()
	return run(e.TB, e.store, rest.Config{})
}

func run(t testing.TB, store storage.Store, cfg rest.Config) *engine {
	t.Helper()
	cfg.Logger = slog.New(slog.DiscardHandler)
	if cfg.Rand == nil {
		cfg.Rand = locked(rand.New(rand.NewPCG(1, 2)))
	}
	ctx, cancel := context.WithCancel(auth.WithUser(t.Context(), auth.Admin()))
	e := &engine{TB: t, ctx: ctx, store: store, Registry: rest.New(store, kinds(), cfg)}
	done := make(chan error, 1)
	go func() { done <- e.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	select {
	case <-e.Ready():
	case err := <-done:
		t.Fatalf("Run ended before it was ready: %v", err)
	}
	return e
}

// embedded starts an etcd member in this process.
func embedded(t testing.TB) storage.Store {
	t.Helper()
	member, err := etcd.StartEmbedded(t.Context(), etcd.EmbeddedConfig{DataDir: t.TempDir(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := member.Close(); err != nil {
			t.Error(err)
		}
	})
	return etcd.New(member.Client(), etcd.Config{})
}

// locked makes a seeded source safe for concurrent use.
func locked(r *rand.Rand) func() uint64 {
	var mu sync.Mutex
	return func() uint64 {
		mu.Lock()
		defer mu.Unlock()
		return r.Uint64()
	}
}

func of[T api.Object](e *engine) *rest.Store {
	s, ok := e.Lookup(api.ResourceFor[T]().GVR())
	if !ok {
		e.Fatalf("no store of %v", api.ResourceFor[T]())
	}
	return s
}

func (e *engine) storeOf(obj api.Object) *rest.Store {
	r, _ := api.ResourceOf(obj)
	s, ok := e.Lookup(r.GVR())
	if !ok {
		e.Fatalf("no store of %T", obj)
	}
	return s
}

func (e *engine) create(ns string, obj api.Object) (api.Object, error) {
	it, err := e.storeOf(obj).Create(e.ctx, ns, obj, metav1.CreateOptions{})
	if err != nil {
		return nil, err
	}
	return it.Object, nil
}

func (e *engine) mustCreate(ns string, obj api.Object) api.Object {
	e.Helper()
	created, err := e.create(ns, obj)
	if err != nil {
		e.Fatalf("creating %T %s: %v", obj, obj.GetName(), err)
	}
	return created
}

// mustUpdate writes what change makes of the stored object.
func mustUpdate[T api.Object](e *engine, ns, name string, change func(T)) T {
	e.Helper()
	obj, err := update(e, ns, name, "", change)
	if err != nil {
		e.Fatalf("updating %s: %v", name, err)
	}
	return obj
}

func update[T api.Object](e *engine, ns, name, subresource string, change func(T)) (T, error) {
	it, _, err := of[T](e).Update(e.ctx, ns, name, subresource, func(current api.Object) (api.Object, error) {
		obj := current.DeepCopyObject().(api.Object)
		change(obj.(T))
		return obj, nil
	}, rest.UpdateOptions{})
	if err != nil {
		var zero T
		return zero, err
	}
	return it.Object.(T), nil
}

func get[T api.Object](e *engine, ns, name string) (T, error) {
	it, err := of[T](e).Get(e.ctx, ns, name, metav1.GetOptions{})
	if err != nil {
		var zero T
		return zero, err
	}
	return it.Object.(T), nil
}

func mustGet[T api.Object](e *engine, ns, name string) T {
	e.Helper()
	obj, err := get[T](e, ns, name)
	if err != nil {
		e.Fatalf("getting %s: %v", name, err)
	}
	return obj
}

func names(list *rest.ListResult) []string {
	out := []string{}
	for _, it := range list.Items {
		out = append(out, it.Object.GetName())
	}
	return out
}

// next returns the next event, failing if none comes within a minute.
func next(e *engine, w *rest.Watch) rest.Event {
	e.Helper()
	ctx, cancel := context.WithTimeout(e.ctx, 5*time.Minute)
	defer cancel()
	ev, err := w.Next(ctx)
	if err != nil {
		e.Fatalf("waiting for an event: %v", err)
	}
	return ev
}

// said writes an event as "ADDED name".
func said(ev rest.Event) string {
	switch {
	case ev.Type == watch.Bookmark && ev.InitialEventsEnd:
		return "BOOKMARK end of initial events"
	case ev.Item == nil:
		return string(ev.Type)
	}
	return string(ev.Type) + " " + ev.Item.Object.GetName()
}

func expect(e *engine, w *rest.Watch, want ...string) {
	e.Helper()
	for _, text := range want {
		if got := said(next(e, w)); got != text {
			e.Fatalf("event = %q, want %q", got, text)
		}
	}
}

// wantReason fails unless err is a status with the reason.
func wantReason(t testing.TB, err error, reason metav1.StatusReason) metav1.Status {
	t.Helper()
	var status *apierrors.StatusError
	if !errors.As(err, &status) {
		t.Fatalf("error = %v (%T), want a status with reason %q", err, err, reason)
	}
	if status.ErrStatus.Reason != reason {
		t.Fatalf("reason = %q (%s), want %q", status.ErrStatus.Reason, status.ErrStatus.Message, reason)
	}
	return status.ErrStatus
}
