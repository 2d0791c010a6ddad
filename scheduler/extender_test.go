package scheduler

import (
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/miniorch/miniorch/pkg/client"
	"github.com/miniorch/miniorch/scheduler/config"
	"github.com/miniorch/miniorch/scheduler/framework"
	"github.com/miniorch/miniorch/scheduler/framework/sample"
)

// direct calls a handler without a network, as tests in virtual time need it.
type direct struct{ http.Handler }

func (d direct) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	d.ServeHTTP(w, r)
	return w.Result(), nil
}

// service plays an extender: it refuses the nodes in refuses, and gives best 10 points.
type service struct {
	refuses map[string]string
	best    string
	broken  atomic.Bool
	bound   func(extenderBindingArgs) string
}

func (s *service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if s.broken.Load() {
		http.Error(w, "out of order", http.StatusInternalServerError)
		return
	}
	if r.URL.Path == "/x/bind" {
		var args extenderBindingArgs
		if json.NewDecoder(r.Body).Decode(&args) == nil {
			_ = json.NewEncoder(w).Encode(extenderBindingResult{s.bound(args)})
		}
		return
	}
	var args extenderArgs
	if err := json.NewDecoder(r.Body).Decode(&args); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	var names []string
	if args.NodeNames != nil {
		names = *args.NodeNames
	} else {
		for i := range args.Nodes.Items {
			names = append(names, args.Nodes.Items[i].Name)
		}
	}
	if r.URL.Path == "/x/prioritize" {
		var out []hostPriority
		for _, n := range names {
			if n == s.best {
				out = append(out, hostPriority{n, 10})
			}
		}
		_ = json.NewEncoder(w).Encode(out)
		return
	}
	out := extenderFilterResult{FailedNodes: s.refuses}
	var passed []string
	for _, n := range names {
		if s.refuses[n] == "" {
			passed = append(passed, n)
		}
	}
	if args.NodeNames != nil {
		out.NodeNames = &passed
	} else {
		out.Nodes = &corev1.NodeList{}
		for _, n := range passed {
			out.Nodes.Items = append(out.Nodes.Items, corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: n}})
		}
	}
	_ = json.NewEncoder(w).Encode(out)
}

// extend gives the scheduler of a test an extender.
func (w *world) extend(s *service, c config.Extender) {
	c.URLPrefix, c.FilterVerb, c.PrioritizeVerb, c.Weight = "http://extender/x", "filter", "prioritize", 5
	e, err := newExtender(c)
	if err != nil {
		w.Fatal(err)
	}
	e.client.Transport = direct{s}
	synctest.Wait()
	w.scheduler.mu.Lock()
	defer w.scheduler.mu.Unlock()
	w.scheduler.extenders = extenders{e}
}

func TestExtenders(t *testing.T) {
	for _, cached := range []bool{false, true} {
		inWorld(t, func(w *world) {
			s := &service{refuses: map[string]string{"n1": "no licence here"}, best: "n3"}
			w.extend(s, config.Extender{NodeCacheCapable: cached})
			for _, n := range []string{"n1", "n2", "n3"} {
				w.node(sample.Node(n))
			}
			w.pod(sample.Pod("p"))
			w.expectOn("p", "n3")
			s.refuses = map[string]string{"n1": "no licence", "n2": "no licence", "n3": "broken"}
			w.pod(sample.Pod("q"))
			w.expectOn("q", "")
			if got := w.events("FailedScheduling"); len(got) != 1 || !strings.HasPrefix(got[0], "q: 0/3 nodes are available: 1 broken, 2 no licence.") {
				t.Errorf("events: %q", got)
			}
		})
	}
}

func TestExtenderFails(t *testing.T) {
	inWorld(t, func(w *world) {
		s := &service{best: "n2"}
		w.extend(s, config.Extender{})
		w.node(sample.Node("n1"))
		w.node(sample.Node("n2"))
		s.broken.Store(true)
		w.pod(sample.Pod("p"))
		w.expectOn("p", "")
		if got := w.events("FailedScheduling"); len(got) == 0 || !strings.Contains(got[0], "500") {
			t.Errorf("events: %q", got)
		}
		s.broken.Store(false)
		time.Sleep(10 * time.Second)
		w.expectOn("p", "n2")
		s.broken.Store(true)
		w.scheduler.extenders[0].Ignorable = true
		w.pod(sample.Pod("q"))
		if w.get("q").Spec.NodeName == "" {
			t.Error("an extender that may be ignored stops the pod")
		}
	})
}

func TestExtenderManages(t *testing.T) {
	inWorld(t, func(w *world) {
		s := &service{refuses: map[string]string{"n1": "taken"}}
		s.bound = func(args extenderBindingArgs) string {
			_, err := w.admin.Create(w.Context(), client.Request{Resource: client.Of[*corev1.Pod](w.admin).Resource(), Namespace: args.PodNamespace, Name: args.PodName, Subresource: "binding"},
				&corev1.Binding{ObjectMeta: metav1.ObjectMeta{Name: args.PodName}, Target: corev1.ObjectReference{Kind: "Node", Name: args.Node}}, metav1.CreateOptions{})
			if err != nil {
				return err.Error()
			}
			return ""
		}
		w.extend(s, config.Extender{BindVerb: "bind", ManagedResources: []config.ManagedResource{{Name: "example.com/gpu"}}})
		w.node(sample.Node("n1", "example.com/gpu", "4"))
		w.pod(sample.Pod("plain"))
		w.expectOn("plain", "n1")
		gpu := func(name string) *corev1.Pod {
			p := sample.Pod(name, "example.com/gpu", "1")
			p.Spec.Containers[0].Resources.Limits = sample.Requests("example.com/gpu", "1")
			return p
		}
		w.pod(gpu("gpu"))
		w.expectOn("gpu", "")
		s.refuses = nil
		w.pod(gpu("gpu2"))
		w.expectOn("gpu2", "n1")
	})
}

func TestExtenderOverTLS(t *testing.T) {
	server := httptest.NewTLSServer(&service{refuses: map[string]string{"a": "full"}})
	defer server.Close()
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	trusting, err := newExtender(config.Extender{URLPrefix: server.URL + "/x", FilterVerb: "filter", EnableHTTPS: true, TLSConfig: &config.ExtenderTLS{CAData: ca}})
	if err != nil {
		t.Fatal(err)
	}
	defer trusting.client.CloseIdleConnections()
	nodes := []*framework.NodeInfo{sample.Info(sample.Node("a")), sample.Info(sample.Node("b"))}
	refused, err := trusting.filter(t.Context(), sample.Pod("p"), nodes)
	if err != nil || len(refused) != 1 || refused["a"] == nil {
		t.Errorf("refused %v, %v", refused, err)
	}
	stranger, err := newExtender(config.Extender{URLPrefix: server.URL + "/x", FilterVerb: "filter", EnableHTTPS: true})
	if err != nil {
		t.Fatal(err)
	}
	defer stranger.client.CloseIdleConnections()
	if _, err := stranger.filter(t.Context(), sample.Pod("p"), nodes); err == nil {
		t.Error("a server that nobody vouches for is believed")
	}
}
