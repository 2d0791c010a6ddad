package model

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/miniorch/miniorch/apiserver"
	"github.com/miniorch/miniorch/apiserver/storage"
	"github.com/miniorch/miniorch/apiserver/storage/etcd"
	"github.com/miniorch/miniorch/apiserver/storage/memory"
	"github.com/miniorch/miniorch/pkg/api"
)

// kind is one of the two kinds that are played with: one without and one with a spec, a status
// and a scale.
type kind struct{ api.Resource }

var (
	configMaps  = kind{api.ResourceFor[*corev1.ConfigMap]()}
	deployments = kind{api.ResourceFor[*appsv1.Deployment]()}
	kinds       = []kind{configMaps, deployments}
	namespaces  = []string{"default", "other"}
)

func (k kind) newList() runtime.Object {
	if k == configMaps {
		return &corev1.ConfigMapList{}
	}
	return &appsv1.DeploymentList{}
}

// itemsOf returns the items of a list.
func itemsOf(list runtime.Object) (items []api.Object) {
	switch l := list.(type) {
	case *corev1.ConfigMapList:
		for i := range l.Items {
			items = append(items, &l.Items[i])
		}
	case *appsv1.DeploymentList:
		for i := range l.Items {
			items = append(items, &l.Items[i])
		}
	}
	return items
}

// rawOf is a whole object in a form that can be compared, whatever wire it came over.
func rawOf(obj api.Object) string {
	obj = obj.DeepCopyObject().(api.Object)
	obj.GetObjectKind().SetGroupVersionKind(obj.GetObjectKind().GroupVersionKind().GroupVersion().WithKind(""))
	switch o := obj.(type) {
	case *corev1.ConfigMap:
		o.TypeMeta = metav1.TypeMeta{}
	case *appsv1.Deployment:
		o.TypeMeta = metav1.TypeMeta{}
	}
	text, err := json.Marshal(obj)
	if err != nil {
		panic(err) // built-in kinds can be encoded
	}
	return string(text)
}

// world is a store, the server in front of it, and the truth of what was written.
type world struct {
	*testing.T
	seed     uint64
	ctx      context.Context
	store    storage.Store
	truth    *truth
	security *apiserver.Security
	address  string
	history  int  // events that the server keeps per resource
	calm     bool // nobody disturbs the server
	stop     func()

	mu      sync.Mutex
	number  int64       // guarded by mu; of the last op
	ops     []*op       // guarded by mu
	reads   []*read     // guarded by mu
	watches []*watching // guarded by mu
}

func newWorld(t *testing.T, seed uint64, onEtcd bool) *world {
	security, err := apiserver.OpenSecurity(apiserver.SecurityConfig{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{T: t, seed: seed, ctx: t.Context(), security: security, store: memory.New(memory.Config{})}
	if seed%2 == 0 {
		w.history = 40 // so few that the server often has to ask the store, or to give up
	}
	if onEtcd {
		w.store = embedded(t)
	}
	w.truth = w.observe()
	w.start()
	t.Cleanup(func() { w.stop() })
	set := w.clients(runtime.ContentTypeJSON)
	other := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "other"}}
	if _, err := set.CoreV1().Namespaces().Create(w.ctx, other, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	return w
}

func embedded(t *testing.T) storage.Store {
	member, err := etcd.StartEmbedded(t.Context(), etcd.EmbeddedConfig{DataDir: t.TempDir(), NoSync: true, Logger: slog.New(slog.DiscardHandler)})
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

// start runs a server, at the address of the one before it if there was one.
func (w *world) start() {
	if w.address == "" {
		w.address = "127.0.0.1:0"
	}
	listener, err := net.Listen("tcp", w.address)
	if err != nil {
		w.Fatal(err)
	}
	if address := listener.Addr().String(); address != w.address { // the clients know it from then on
		w.address = address
	}
	cfg := apiserver.Config{Listener: listener, Logger: slog.New(slog.DiscardHandler), ShutdownGrace: 20 * time.Millisecond}
	cfg.Rest.CacheHistory = w.history
	w.security.Apply(&cfg)
	server, err := apiserver.New(w.store, cfg)
	if err != nil {
		w.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(w.ctx))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := server.Run(ctx); err != nil {
			w.Errorf("the server ended with: %v", err)
		}
	}()
	w.stop = func() { cancel(); <-ended }
	select {
	case <-server.Ready():
	case <-ended:
		w.Fatal("the server did not become ready")
	}
}

// answered counts what the clients have been told.
func (w *world) answered() (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, o := range w.ops {
		if !o.Lost {
			n++
		}
	}
	return n + len(w.reads)
}

// disturb restarts the server and compacts the store, at random, until stop is closed. In between
// the clients get something done, however slow the machine is.
func (w *world) disturb(stop <-chan struct{}) {
	r := rand.New(rand.NewPCG(w.seed, 77))
	for {
		for enough := w.answered() + 20 + r.IntN(40); w.answered() < enough; {
			select {
			case <-stop:
				return
			case <-time.After(5 * time.Millisecond):
			}
		}
		if r.IntN(2) == 0 {
			// Never ahead of the truth, whose own watch would end.
			if err := w.store.Compact(w.ctx, max(1, w.truth.progress()-int64(r.IntN(60)))); err != nil {
				w.Logf("compacting: %v", err) // it has been compacted further already
			}
			continue
		}
		w.stop()
		w.start()
	}
}

// clients speak a media type, over connections of their own.
func (w *world) clients(media string) *kubernetes.Clientset {
	pair, err := w.security.Admin.TLS()
	if err != nil {
		w.Fatal(err)
	}
	transport := &http.Transport{
		TLSClientConfig:   &tls.Config{RootCAs: w.security.CA.Pool(), Certificates: []tls.Certificate{pair}},
		ForceAttemptHTTP2: true,
	}
	w.Cleanup(transport.CloseIdleConnections)
	cfg := &rest.Config{Host: "https://" + w.address, QPS: -1, ContentConfig: rest.ContentConfig{ContentType: media, AcceptContentTypes: media}}
	set, err := kubernetes.NewForConfigAndClient(cfg, &http.Client{Transport: transport})
	if err != nil {
		w.Fatal(err)
	}
	return set
}
