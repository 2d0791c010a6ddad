package virtual

import (
	"context"
	"fmt"
	"hash/fnv"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/miniorch/miniorch/apiserver/auth"
	"github.com/miniorch/miniorch/apiserver/storage"
	"github.com/miniorch/miniorch/pkg/api"
	"github.com/miniorch/miniorch/pkg/client"
)

// chance is all that is random in a virtual cluster. Goroutines that are ready at the same
// instant run in any order, so a common sequence of random numbers would be dealt out
// differently in every run. Therefore every request takes a time of its own to arrive,
// so that no two writes happen at the same instant, and an object's UID depends on its name.
// One seed then gives one story, and a small change of the code changes little of it.
type chance struct {
	seed uint64

	mu   sync.Mutex
	seen map[string]int // guarded by mu; how often each was asked for
}

// nth counts how often it was called with key.
func (c *chance) nth(key string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.seen == nil {
		c.seen = map[string]int{}
	}
	c.seen[key]++
	return c.seen[key]
}

// hash is the random number that belongs to something.
func (c *chance) hash(of ...any) uint64 {
	h := fnv.New64a()
	fmt.Fprintln(h, append([]any{c.seed}, of...)...)
	x := h.Sum64() // FNV's low bits are poor; this is the finisher of splitmix64
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// sequence is a source of numbers for who asks for them at instants of its own.
func (c *chance) sequence(who string) func() uint64 {
	return func() uint64 { return c.hash(who, c.nth(who)) }
}

// jitter is a source of numbers in [0,1) for who asks from many goroutines: all get the same
// at one instant.
func (c *chance) jitter(who string) func() float64 {
	return func() float64 { return unit(c.hash(who, time.Now().UnixNano())) }
}

// unit maps all numbers to [0,1).
func unit(x uint64) float64 { return float64(x>>11) / (1 << 53) }

// uid is the UID of an object: the n-th of its name has the same in all runs.
func (c *chance) uid(of schema.GroupResource, obj api.Object) types.UID {
	key := of.String() + " " + obj.GetNamespace() + "/" + obj.GetName()
	n := c.nth(key)
	return types.UID(fmt.Sprintf("%08x-0000-4000-8000-%012x", uint32(c.hash(key, n)), c.hash(n, key)>>16))
}

// travel is how long one kind of request takes to arrive: 1 to 9 ms.
func (c *chance) travel(ctx context.Context, what ...any) error {
	t := time.NewTimer(time.Millisecond + time.Duration(c.hash(what...)%uint64(8*time.Millisecond)))
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// distant is a transport on which requests need time.
type distant struct {
	client.Transport
	chance *chance
	who    string
}

func (d distant) travel(ctx context.Context, verb string, r client.Request) error {
	return d.chance.travel(ctx, d.who, verb, r.Resource.String(), r.Namespace, r.Name, r.Subresource)
}

// back is how long an answer takes. Watches tell of a write at once, so that who wrote it
// has seen it in any order of goroutines when the answer is there.
const back = time.Millisecond

// sent is the answer to a write, after its way back.
func sent(obj api.Object, err error) (api.Object, error) {
	time.Sleep(back)
	return obj, err
}

func (d distant) Get(ctx context.Context, r client.Request, opts metav1.GetOptions) (api.Object, error) {
	if err := d.travel(ctx, "get", r); err != nil {
		return nil, err
	}
	return d.Transport.Get(ctx, r, opts)
}

func (d distant) List(ctx context.Context, r client.Request, opts metav1.ListOptions) (*client.List, error) {
	if err := d.travel(ctx, "list", r); err != nil {
		return nil, err
	}
	return d.Transport.List(ctx, r, opts)
}

func (d distant) Watch(ctx context.Context, r client.Request, opts metav1.ListOptions) (watch.Interface, error) {
	if err := d.travel(ctx, "watch", r); err != nil {
		return nil, err
	}
	return d.Transport.Watch(ctx, r, opts)
}

func (d distant) Create(ctx context.Context, r client.Request, obj api.Object, opts metav1.CreateOptions) (api.Object, error) {
	if r.Name == "" {
		r.Name = obj.GetName() + obj.GetGenerateName()
	}
	if err := d.travel(ctx, "create", r); err != nil {
		return nil, err
	}
	return sent(d.Transport.Create(ctx, r, obj, opts))
}

func (d distant) Update(ctx context.Context, r client.Request, obj api.Object, opts metav1.UpdateOptions) (api.Object, error) {
	if err := d.travel(ctx, "update", r); err != nil {
		return nil, err
	}
	return sent(d.Transport.Update(ctx, r, obj, opts))
}

func (d distant) Patch(ctx context.Context, r client.Request, pt types.PatchType, data []byte, opts metav1.PatchOptions) (api.Object, error) {
	if err := d.travel(ctx, "patch", r); err != nil {
		return nil, err
	}
	return sent(d.Transport.Patch(ctx, r, pt, data, opts))
}

func (d distant) Delete(ctx context.Context, r client.Request, opts metav1.DeleteOptions) error {
	if err := d.travel(ctx, "delete", r); err != nil {
		return err
	}
	_, err := sent(nil, d.Transport.Delete(ctx, r, opts))
	return err
}

func (d distant) DeleteCollection(ctx context.Context, r client.Request, opts metav1.DeleteOptions, list metav1.ListOptions) error {
	if err := d.travel(ctx, "deletecollection", r); err != nil {
		return err
	}
	_, err := sent(nil, d.Transport.DeleteCollection(ctx, r, opts, list))
	return err
}

// inside lets the API server's own requests need time as well. It asks before it creates,
// so that its objects are created one after the other.
type inside struct {
	auth.Authorizer
	chance *chance
}

// Authorize decides as ever, a little later.
func (i inside) Authorize(ctx context.Context, a auth.Attributes) (bool, string, error) {
	if a.User.Name == auth.UserAPIServer {
		if err := i.chance.travel(ctx, a.User.Name, a.Verb, a.Resource, a.Namespace, a.Name); err != nil {
			return false, "", err
		}
	}
	return i.Authorizer.Authorize(ctx, a)
}

// disk is a store that needs up to a millisecond for a write: the many writes of one
// deletecollection happen one after the other, too.
type disk struct {
	storage.Store
	chance *chance

	mu     sync.Mutex
	writes []string // guarded by mu; in order
}

// Write writes as ever, a little later.
func (d *disk) Write(ctx context.Context, w storage.Write) (storage.Result, error) {
	time.Sleep(time.Duration(d.chance.hash("disk", w.Key) % uint64(time.Millisecond)))
	result, err := d.Store.Write(ctx, w)
	// A recorder writes the events of one instant one after the other, in the order in which
	// it was told of them: that of goroutines.
	if !strings.HasPrefix(w.Key, "/registry/core/events/") {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.writes = append(d.writes, fmt.Sprintf("%s %s %t %v", time.Now().Format("04:05.000000000"), w.Key, result.Done, err))
	}
	return result, err
}

// wire serves kubectl's requests by calling the API server's handler: HTTP without a
// network, for no packet travels in virtual time.
type wire struct {
	handler http.Handler
	chance  *chance
	token   string
}

// RoundTrip answers as soon as the handler has begun to: a watch has no end.
func (w wire) RoundTrip(r *http.Request) (*http.Response, error) {
	query := r.URL.Query()
	query.Del("timeoutSeconds") // of watches: client-go throws dice of its own for it
	if err := w.chance.travel(r.Context(), "kubectl", r.Method, r.URL.Path, query.Encode()); err != nil {
		return nil, err
	}
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+w.token)
	if r.Body == nil {
		r.Body = http.NoBody
	}
	body, sink := io.Pipe()
	a := &answer{header: http.Header{}, sink: sink, begun: make(chan struct{})}
	go func() {
		w.handler.ServeHTTP(a, r)
		a.WriteHeader(http.StatusOK)
		sink.Close()
	}()
	<-a.begun
	return &http.Response{
		Status: http.StatusText(a.code), StatusCode: a.code, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: a.sent, Body: body, ContentLength: -1, Request: r,
	}, nil
}

// answer is the handler's side of a response.
type answer struct {
	header http.Header
	sink   *io.PipeWriter
	once   sync.Once
	begun  chan struct{} // closed when code and sent are set
	code   int
	sent   http.Header
}

func (a *answer) Header() http.Header { return a.header }

func (a *answer) WriteHeader(code int) {
	a.once.Do(func() {
		a.code, a.sent = code, a.header.Clone()
		close(a.begun)
	})
}

func (a *answer) Write(b []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	return a.sink.Write(b)
}

// Flush has the header sent; what is written needs no pushing.
func (a *answer) Flush() { a.WriteHeader(http.StatusOK) }
