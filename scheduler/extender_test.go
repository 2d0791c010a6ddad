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
	preempt func(extenderPreemptionArgs) map[string]*extenderMetaVictims
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
	if r.URL.Path == "/x/preempt" {
		var args extenderPreemptionArgs
		if json.NewDecoder(r.Body).Decode(&args) == nil {
			_ = json.NewEncoder(w).Encode(extenderPreemptionResult{s.preempt(args)})
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

// TestExtenderBindingMayFail binds without an extender that may be ignored.
func TestExtenderBindingMayFail(t *testing.T) {
	for _, ignorable := range []bool{false, true} {
		inWorld(t, func(w *world) {
			s := &service{bound: func(extenderBindingArgs) string { return "no" }}
			w.extend(s, config.Extender{BindVerb: "bind", Ignorable: ignorable})
			w.node(sample.Node("n1"))
			w.pod(sample.Pod("p"))
			w.expectOn("p", map[bool]string{true: "n1"}[ignorable])
		})
	}
}

func metaVictims(uids ...string) *extenderMetaVictims {
	out := &extenderMetaVictims{}
	for _, uid := range uids {
		out.Pods = append(out.Pods, extenderMetaPod{uid})
	}
	return out
}

// TestExtenderPreempts asks about two nodes with two victims to choose from on each.
func TestExtenderPreempts(t *testing.T) {
	tests := []struct {
		name, reason string
		extender     config.Extender
		answer       func(uids map[string]string, asked map[string][]string) map[string]*extenderMetaVictims
		going        string // who has to go
		says         string
	}{
		{"another victim", "the plugin would have taken the least important ones", config.Extender{}, func(uids map[string]string, _ map[string][]string) map[string]*extenderMetaVictims {
			return map[string]*extenderMetaVictims{"n2": metaVictims(uids["n2-b"])}
		}, "n2-b", ""},
		{"by uid", "it keeps track of pods itself", config.Extender{NodeCacheCapable: true}, func(_ map[string]string, asked map[string][]string) map[string]*extenderMetaVictims {
			return map[string]*extenderMetaVictims{"n1": metaVictims(asked["n1"]...)}
		}, "n1-a", ""},
		{"nowhere", "it leaves no place", config.Extender{}, func(map[string]string, map[string][]string) map[string]*extenderMetaVictims { return nil },
			"", "preemption: no candidate node for preemption."},
		{"a stranger", "nobody knows such a pod", config.Extender{}, func(map[string]string, map[string][]string) map[string]*extenderMetaVictims {
			return map[string]*extenderMetaVictims{"n1": metaVictims("who")}
		}, "", `there is no pod "who" on node "n1"`},
		{"nobody", "room is made by somebody's going", config.Extender{}, func(map[string]string, map[string][]string) map[string]*extenderMetaVictims {
			return map[string]*extenderMetaVictims{"n1": metaVictims()}
		}, "", `it names no victim on node "n1"`},
		{"another node", "it was not asked about it", config.Extender{}, func(map[string]string, map[string][]string) map[string]*extenderMetaVictims {
			return map[string]*extenderMetaVictims{"n7": metaVictims("who")}
		}, "", `it was not asked about node "n7"`},
		{"ignored", "what it says cannot be, and need not", config.Extender{Ignorable: true}, func(_ map[string]string, asked map[string][]string) map[string]*extenderMetaVictims {
			return map[string]*extenderMetaVictims{"n1": metaVictims("who"), "n2": metaVictims(asked["n2"]...)}
		}, "n2-a", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				w.classes()
				uids := map[string]string{}
				for _, n := range []string{"n1", "n2"} {
					w.node(sample.Node(n, "cpu", "1"))
					for _, who := range [][2]string{{"a", "low"}, {"b", "middle"}} {
						w.pod(classed(sample.With(sample.Pod(n+"-"+who[0], "cpu", "500m"), func(p *corev1.Pod) {
							p.Spec.NodeSelector = map[string]string{corev1.LabelHostname: n}
						}), who[1]))
						w.expectOn(n+"-"+who[0], n)
						uids[n+"-"+who[0]] = string(w.get(n + "-" + who[0]).UID)
					}
				}
				s := &service{}
				s.preempt = func(args extenderPreemptionArgs) map[string]*extenderMetaVictims {
					asked := map[string][]string{}
					for n, v := range args.NodeNameToMetaVictims {
						for _, p := range v.Pods {
							asked[n] = append(asked[n], p.UID)
						}
					}
					for n, v := range args.NodeNameToVictims {
						for _, p := range v.Pods {
							asked[n] = append(asked[n], string(p.UID))
						}
					}
					return tt.answer(uids, asked)
				}
				tt.extender.PreemptVerb = "preempt"
				w.extend(s, tt.extender)
				w.pod(classed(sample.Pod("p", "cpu", "500m"), "high"))
				synctest.Wait()
				for _, name := range []string{"n1-a", "n1-b", "n2-a", "n2-b"} {
					if w.going(name) != (name == tt.going) {
						t.Errorf("%s: is %s going: %t", tt.reason, name, w.going(name))
					}
				}
				if got := w.events("FailedScheduling"); len(got) == 0 || !strings.Contains(got[0], tt.says) {
					t.Errorf("events: %q", got)
				}
				if tt.going == "" {
					return
				}
				w.delete(tt.going)
				time.Sleep(20 * time.Second)
				w.expectOn("p", tt.going[:2])
			})
		})
	}
}

// TestPodGoesWhileExtenderIsAsked deletes a pod before the extender has answered about its victims.
func TestPodGoesWhileExtenderIsAsked(t *testing.T) {
	inWorld(t, func(w *world) {
		w.classes()
		w.node(sample.Node("n1", "cpu", "1"))
		w.pod(classed(sample.Pod("low", "cpu", "1"), "low"))
		w.expectOn("low", "n1")
		asked, answer := make(chan struct{}), make(chan struct{})
		w.extend(&service{preempt: func(args extenderPreemptionArgs) map[string]*extenderMetaVictims {
			close(asked)
			<-answer
			return map[string]*extenderMetaVictims{"n1": metaVictims(string(args.NodeNameToVictims["n1"].Pods[0].UID))}
		}}, config.Extender{PreemptVerb: "preempt"})
		w.pod(classed(sample.Pod("p", "cpu", "1"), "high"))
		<-asked
		w.delete("p")
		synctest.Wait()
		close(answer)
		synctest.Wait()
		if w.going("low") {
			t.Error("room is made for a pod that is gone")
		}
	})
}
