package apiserver_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/miniorch/miniorch/apiserver"
	"github.com/miniorch/miniorch/apiserver/apiservertest"
	"github.com/miniorch/miniorch/apiserver/storage"
	"github.com/miniorch/miniorch/apiserver/storage/memory"
	"github.com/miniorch/miniorch/pkg/decision"
)

func TestDecisionsAndMetrics(t *testing.T) {
	decisions := decision.NewLog(100)
	c := startCluster(t, func(cfg *apiserver.Config) { cfg.Decisions = decisions })
	decisions.Add(decision.Record{Component: "scheduler", Plan: "bind to n1"})
	admin := c.raw(&c.security.Admin)
	read := func(query string) []decision.Record {
		t.Helper()
		var out struct{ Records []decision.Record }
		a := do(t, admin, "GET", c.url+"/debug/decisions"+query, nil)
		if err := json.Unmarshal(a.body, &out); err != nil {
			t.Fatalf("%d %v %s", a.StatusCode, err, a.body)
		}
		return out.Records
	}
	all := read("")
	if !slices.ContainsFunc(all, func(r decision.Record) bool { return r.Plan == "bind to n1" }) || all[0].Seq != 1 {
		t.Errorf("all %d: %+v", len(all), all)
	}
	if got := read("?since=1&limit=2"); len(got) != 2 || got[0].Seq != 2 {
		t.Errorf("since 1, 2 at most: %+v", got)
	}
	if got := read("?since=999"); len(got) != 0 {
		t.Errorf("nothing has happened since: %+v", got)
	}
	if a := do(t, admin, "GET", c.url+"/debug/decisions?since=now", nil); a.StatusCode != 400 {
		t.Errorf("since=now: %d", a.StatusCode)
	}
	do(t, admin, "GET", c.url+"/api/v1/nodes", nil)
	do(t, admin, "GET", c.url+"/api/v1/"+strings.Repeat("x", 50), nil)
	text := string(do(t, admin, "GET", c.url+"/metrics", nil).body)
	for _, want := range []string{`apiserver_request_total{code="200",group="",resource="nodes",subresource="",verb="list",version="v1"} 1`, "apiserver_request_duration_seconds_bucket", "go_goroutines", "process_resident_memory_bytes"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in the metrics", want)
		}
	}
	if strings.Contains(text, "xxxx") {
		t.Error("a name that a client made up has become a label")
	}
}

// brokenStore stops answering when told to.
type brokenStore struct {
	storage.Store
	broken atomic.Bool
}

func (b *brokenStore) Revision(ctx context.Context) (int64, error) {
	if b.broken.Load() {
		return 0, errors.New("password of the store: hunter2")
	}
	return b.Store.Revision(ctx)
}

// TestHealth: a server without its store is alive but not ready, and tells strangers no more.
func TestHealth(t *testing.T) {
	store := &brokenStore{Store: memory.New(memory.Config{})}
	s := apiservertest.Start(t, apiservertest.WithStore(store))
	get := func(path string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		return w
	}
	for _, path := range []string{"/livez", "/readyz", "/healthz", "/readyz/etcd", "/livez/ping"} {
		if w := get(path); w.Code != 200 || w.Body.String() != "ok" {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
	store.broken.Store(true)
	for path, code := range map[string]int{"/livez": 200, "/readyz": 500, "/healthz": 500, "/readyz/etcd": 500, "/readyz/ping": 200, "/readyz?exclude=etcd": 200, "/readyz/nothing": 404} {
		w := get(path)
		if w.Code != code || strings.Contains(w.Body.String(), "hunter2") {
			t.Errorf("%s: %d %s, want %d", path, w.Code, w.Body, code)
		}
	}
	if w := get("/readyz"); !strings.Contains(w.Body.String(), "[-]etcd failed") || !strings.Contains(w.Body.String(), "[+]ping ok") {
		t.Errorf("the list of checks: %s", w.Body)
	}
}
