package apiserver_test

import (
	"context"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	"github.com/miniorch/miniorch/apiserver"
	"github.com/miniorch/miniorch/apiserver/storage"
)

// asked notes what a client asks for ConfigMaps.
type asked struct {
	http.RoundTripper
	mu      sync.Mutex
	queries []url.Values // guarded by mu
}

// RoundTrip implements http.RoundTripper.
func (a *asked) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, "/configmaps") {
		a.mu.Lock()
		a.queries = append(a.queries, r.URL.Query())
		a.mu.Unlock()
	}
	return a.RoundTripper.RoundTrip(r)
}

// count tells how often there was a question of each sort.
func (a *asked) count() (lists, streamed, resumed int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, q := range a.queries {
		switch {
		case q.Get("watch") == "":
			lists++
		case q.Get("sendInitialEvents") == "true":
			streamed++
		default:
			resumed++
		}
	}
	return
}

// restart runs another server at the same address over the same store.
func (c *cluster) restart() *cluster {
	c.t.Helper()
	return startWith(c.t, c.store, c.security, func(cfg *apiserver.Config) {
		_ = cfg.Listener.Close()
		cfg.Listener = must(net.Listen("tcp", strings.TrimPrefix(c.url, "https://")))(c.t)
	})
}

// TestInformerStreamsLists: client-go's informer fills itself from a streaming list alone (KEP-3157), goes on
// from where it was when the server comes back, and streams the list anew when what it has seen last is
// forgotten. It never falls back to an ordinary list.
func TestInformerStreamsLists(t *testing.T) {
	onBothStores(t, func(t *testing.T, store storage.Store) {
		for _, media := range mediaTypes {
			t.Run(media, func(t *testing.T) { testStreamedLists(t, store, media, strings.ToLower(media[len(media)-4:])) })
		}
	})
}

func testStreamedLists(t *testing.T, store storage.Store, media, prefix string) {
	c := startOver(t, store)
	other := startWith(t, store, c.security) // stays, and changes what the informer cannot see
	maps := other.admin("").CoreV1().ConfigMaps("default")
	add := func(name string) {
		t.Helper()
		must(maps.Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: prefix + name}}, metav1.CreateOptions{}))(t)
	}
	add("-a")
	add("-b")

	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	log := &asked{}
	cfg := c.as(apiserver.AdminUser, "system:masters")
	cfg.ContentType = media
	cfg.Wrap(func(next http.RoundTripper) http.RoundTripper { log.RoundTripper = next; return log })
	factory := informers.NewSharedInformerFactoryWithOptions(must(kubernetes.NewForConfig(cfg))(t), time.Second, informers.WithNamespace("default"))
	informer := factory.Core().V1().ConfigMaps().Informer()
	changes := make(chan string, 1000)
	must(informer.AddEventHandler(cache.ResourceEventHandlerDetailedFuncs{
		AddFunc: func(obj any, initial bool) { changes <- "add " + obj.(*corev1.ConfigMap).Name },
		UpdateFunc: func(old, now any) {
			if old.(*corev1.ConfigMap).ResourceVersion == now.(*corev1.ConfigMap).ResourceVersion {
				changes <- "same " + now.(*corev1.ConfigMap).Name
			}
		},
		DeleteFunc: func(obj any) {
			if gone, was := obj.(cache.DeletedFinalStateUnknown); was {
				obj = gone.Obj
			}
			changes <- "delete " + obj.(*corev1.ConfigMap).Name
		},
	}))(t)
	factory.Start(ctx.Done())
	defer factory.Shutdown()
	defer cancel()
	// expect waits for changes in any order. Resyncs come whenever they like.
	expect := func(wanted ...string) {
		t.Helper()
		for i := range wanted {
			verb, name, _ := strings.Cut(wanted[i], " ")
			wanted[i] = verb + " " + prefix + name
		}
		for len(wanted) > 0 {
			select {
			case got := <-changes:
				if i := slices.Index(wanted, got); i >= 0 {
					wanted = slices.Delete(wanted, i, i+1)
				} else if !strings.HasPrefix(got, "same ") {
					t.Fatalf("%s, while waiting for %q", got, wanted)
				}
			case <-ctx.Done():
				t.Fatalf("%q did not happen", wanted)
			}
		}
	}
	// A connection that ends in an unusual way makes the client stream the list again.
	check := func(when string, wantStreamed int) {
		t.Helper()
		if lists, streamed, resumed := log.count(); lists > 0 || streamed < wantStreamed {
			t.Errorf("%s: %d lists, %d streamed ones, %d watches, want no list and %d streamed ones", when, lists, streamed, resumed, wantStreamed)
		}
	}
	expect("add -a", "add -b")
	expect("same -a", "same -b") // a resync
	add("-x")                    // a watch that saw nothing and ended at once would be thought broken
	expect("add -x")
	check("at first", 1)

	c.stop()
	c = c.restart()
	add("-c")
	expect("add -c")
	check("after a restart", 1)

	c.stop()
	add("-d")
	if err := maps.Delete(t.Context(), prefix+"-a", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := store.Compact(t.Context(), must(store.Revision(t.Context()))(t)); err != nil {
		t.Fatal(err)
	}
	c.restart()
	expect("add -d", "delete -a")
	check("after its past was forgotten", 2)
	for _, name := range []string{"-b", "-c", "-d", "-x"} {
		if err := maps.Delete(t.Context(), prefix+name, metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	expect("delete -b", "delete -c", "delete -d", "delete -x")
}
