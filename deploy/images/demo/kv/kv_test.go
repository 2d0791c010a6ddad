package kv

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// local is a replica without a network. Before and after, if set, can lose a request or its answer.
type local struct {
	*Store
	before, after func() error
}

func (l local) Read(_ context.Context, key string) (Record, error) {
	if err := call(l.before); err != nil {
		return Record{}, err
	}
	r, err := l.Store.Read(key)
	return r, errors.Join(err, call(l.after))
}

func (l local) Write(_ context.Context, key string, r Record) error {
	if err := call(l.before); err != nil {
		return err
	}
	return errors.Join(l.Store.Write(key, r), call(l.after))
}

func call(f func() error) error {
	if f == nil {
		return nil
	}
	return f()
}

func open(t *testing.T, dir string) *Store {
	t.Helper()
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func client(t *testing.T, replicas []Replica) *Client {
	c := NewClient(replicas)
	t.Cleanup(c.Close)
	return c
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestNewest(t *testing.T) {
	a, b, c := Version{1, "x"}, Version{1, "y"}, Version{2, "a"}
	for _, tc := range []struct {
		reason    string
		versions  []Version
		want      Version
		unanimous bool
	}{
		{"the counter decides, wherever the record stands", []Version{a, c, b}, c, false},
		{"the first may be it", []Version{c, a}, c, false},
		{"the writer decides between equal counters", []Version{a, b}, b, false},
		{"all have it", []Version{c, c}, c, true},
		{"nobody has anything", []Version{{}, {}}, Version{}, true},
	} {
		var records []Record
		for _, v := range tc.versions {
			records = append(records, Record{Version: v})
		}
		if got, unanimous := newest(records); got.Version != tc.want || unanimous != tc.unanimous {
			t.Errorf("%s: got %v, %v", tc.reason, got, unanimous)
		}
	}
}

func TestStore(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	must(t, s.Write("a/b ..", Record{Version{2, "x"}, "two"}))
	must(t, s.Write("a/b ..", Record{Version{1, "z"}, "one"})) // comes late
	must(t, os.WriteFile(filepath.Join(dir, "half"+unfinished), []byte(`{"value":`), 0o600))

	again := open(t, dir)
	got, err := again.Read("a/b ..")
	must(t, err)
	if want := (Record{Version{2, "x"}, "two"}); got != want {
		t.Errorf("after a restart %+v, want %+v", got, want)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) != 1 {
		t.Errorf("files %q, want one: what was not finished goes", left)
	}
	if got, err := again.Read("other"); err != nil || got != (Record{}) {
		t.Errorf("a key that was never written: %+v, %v", got, err)
	}
	for _, key := range []string{"", strings.Repeat("x", maxKey+1)} {
		if again.Write(key, Record{Version: Version{Counter: 1}}) == nil {
			t.Errorf("a key of %d bytes was taken", len(key))
		}
	}
}

// A disk that failed once may have kept anything: its replica takes no part any more.
func TestBrokenDisk(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	must(t, os.RemoveAll(dir))
	if s.Write("a", Record{Version: Version{Counter: 1}}) == nil {
		t.Fatal("a write to no disk was acknowledged")
	}
	must(t, os.Mkdir(dir, 0o700))
	if _, err := s.Read("a"); err == nil {
		t.Error("it answers again")
	}
}

// Two of three are enough, one is not; and what a reader has seen stays seen.
func TestMajorities(t *testing.T) {
	ctx := t.Context()
	stores := []*Store{open(t, t.TempDir()), open(t, t.TempDir()), open(t, t.TempDir())}
	down := make([]atomic.Bool, 3)
	var replicas []Replica
	for i := range stores {
		replicas = append(replicas, local{Store: stores[i], before: func() error {
			if down[i].Load() {
				return errors.New("down")
			}
			return nil
		}})
	}
	c := client(t, replicas)

	down[0].Store(true)
	_, err := c.Put(ctx, "a", "1")
	must(t, err)
	down[0].Store(false)
	down[1].Store(true)
	if r, err := c.Get(ctx, "a"); err != nil || r.Value != "1" {
		t.Errorf("with another majority: %+v, %v", r, err)
	}
	down[2].Store(true)
	if _, err := c.Put(ctx, "a", "2"); err == nil || !strings.Contains(err.Error(), "1 of 3 replicas answered, 2 are needed") {
		t.Errorf("without a majority: %v", err)
	}
	if _, err := c.Get(ctx, "a"); err == nil {
		t.Error("a minority answered a read")
	}

	// A writer dies when one replica has its value.
	must(t, stores[2].Write("b", Record{Version{7, "dead"}, "seen"}))
	down[2].Store(false) // 0 and 2 are there, 2 alone has it
	if r, err := c.Get(ctx, "b"); err != nil || r.Value != "seen" {
		t.Fatalf("%+v, %v", r, err)
	}
	down[1].Store(false)
	down[2].Store(true)
	if r, err := c.Get(ctx, "b"); err != nil || r.Value != "seen" {
		t.Errorf("a later reader gets %+v, %v", r, err)
	}
}

// restarting is a replica whose process ends and starts again on the same disk, and on whose way
// requests and answers are lost.
type restarting struct {
	dir string

	mu     sync.RWMutex
	store  *Store     // guarded by mu
	random *rand.Rand // guarded by dice
	dice   sync.Mutex
}

func (r *restarting) restart(t *testing.T) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.store = open(t, r.dir)
}

func (r *restarting) fault() error {
	r.dice.Lock()
	defer r.dice.Unlock()
	if r.random.IntN(5) == 0 {
		return errors.New("lost")
	}
	return nil
}

func (r *restarting) Read(ctx context.Context, key string) (Record, error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return local{r.store, r.fault, r.fault}.Read(ctx, key)
}

func (r *restarting) Write(ctx context.Context, key string, record Record) error {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return local{r.store, r.fault, r.fault}.Write(ctx, key, record)
}

// operation is one that succeeded, with the times of a clock that only says what was before what.
type operation struct {
	began, ended int64
	write        bool
	version      Version
}

// TestLinearizable: clients write and read one key while requests and answers are lost and replicas
// start again. Versions follow the order in time: an operation that began after another had ended has
// no older version, and a write a newer one. With unique versions that is linearizability.
func TestLinearizable(t *testing.T) {
	var members []*restarting
	var replicas []Replica
	for i := range 3 {
		r := &restarting{dir: t.TempDir(), random: rand.New(rand.NewPCG(1, uint64(i)))}
		r.restart(t)
		members, replicas = append(members, r), append(replicas, r)
	}
	var clock atomic.Int64
	histories := make([][]operation, 8)
	var working sync.WaitGroup
	for n := range histories {
		c := client(t, replicas)
		working.Go(func() {
			for i := range 150 {
				o := operation{began: clock.Add(1), write: (n+i)%2 == 0}
				var err error
				if o.write {
					o.version, err = c.Put(t.Context(), "k", fmt.Sprint(n, "-", i))
				} else {
					var r Record
					r, err = c.Get(t.Context(), "k")
					o.version = r.Version
				}
				o.ended = clock.Add(1)
				if err == nil {
					histories[n] = append(histories[n], o)
				}
				if i%50 == n {
					members[n%3].restart(t)
				}
			}
		})
	}
	working.Wait()
	history := slices.Concat(histories...)
	if len(history) < 300 {
		t.Errorf("only %d operations succeeded", len(history))
	}
	for _, a := range history {
		for _, b := range history {
			if c := a.version.Compare(b.version); a.ended < b.began && (c > 0 || c == 0 && b.write) {
				t.Fatalf("%+v had ended before %+v began", a, b)
			}
		}
	}
}

// TestOverHTTP is what runs in a pod, without the pod.
func TestOverHTTP(t *testing.T) {
	var members []string
	for range 3 {
		server := httptest.NewServer(NewHandler(open(t, t.TempDir())))
		t.Cleanup(server.Close)
		members = append(members, strings.TrimPrefix(server.URL, "http://"))
	}
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	replicas, err := Remotes(strings.Join(members, ","), &http.Client{Transport: transport})
	must(t, err)
	c := client(t, replicas)
	for _, key := range []string{"colour", "a/../b c?&=%", "."} {
		_, err = c.Put(t.Context(), key, "blue "+key)
		must(t, err)
		r, err := c.Get(t.Context(), key)
		must(t, err)
		if diff := cmp.Diff("blue "+key, r.Value); diff != "" {
			t.Error(diff)
		}
	}
	if _, err := c.Put(t.Context(), "big", strings.Repeat("x", maxRecord)); err == nil {
		t.Error("a value without limits was taken")
	}
	if _, err := Remotes("a:1,,b:1", nil); err == nil {
		t.Error("a member without a name was taken")
	}
}

// forgetful is a replica that can lose all that it had.
type forgetful struct {
	Replica
	lost *atomic.Bool
}

func (f forgetful) Read(ctx context.Context, key string) (Record, error) {
	r, err := f.Replica.Read(ctx, key)
	if f.lost.Load() {
		r = Record{}
	}
	return r, err
}

// A load notices when what it wrote goes away, and only then.
func TestLoad(t *testing.T) {
	for _, forget := range []bool{false, true} {
		t.Run(fmt.Sprintf("forgets %v", forget), func(t *testing.T) {
			var lost atomic.Bool
			var replicas []Replica
			for range 3 {
				replicas = append(replicas, forgetful{local{Store: open(t, t.TempDir())}, &lost})
			}
			var out bytes.Buffer
			l := Load{Client: client(t, replicas), Writers: 2, Keys: 3, Every: time.Hour, Out: &out}
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- l.Run(ctx) }()
			waitFor(t, func() bool { return l.Count().Acknowledged > 50 })
			lost.Store(forget)
			cancel()
			err := <-ended
			if count := l.Count(); forget != (err != nil) || forget != (count.Lost > 0) {
				t.Errorf("%v: %v\n%s", err, count, out.String())
			}
		})
	}
}

func waitFor(t *testing.T, what func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !what(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it does not happen")
		}
	}
}
