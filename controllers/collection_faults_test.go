package controllers

import (
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/miniorch/miniorch/controllers/control"
	"github.com/miniorch/miniorch/controllers/controllertest"
	"github.com/miniorch/miniorch/controllers/endpointslice"
	"github.com/miniorch/miniorch/controllers/garbagecollector"
	"github.com/miniorch/miniorch/controllers/namespace"
	"github.com/miniorch/miniorch/pkg/api"
	"github.com/miniorch/miniorch/pkg/client"
)

// family makes a ConfigMap owned by others, which it names; "name!" is blocked by it.
func (w *world) family(name string, owners ...string) {
	m := &corev1.ConfigMap{ObjectMeta: meta("default", name)}
	for _, o := range owners {
		o, blocks := strings.CutSuffix(o, "!")
		m.OwnerReferences = append(m.OwnerReferences, metav1.OwnerReference{
			APIVersion: "v1", Kind: "ConfigMap", Name: o, UID: get[*corev1.ConfigMap](w, "default", o).UID, BlockOwnerDeletion: ptr.To(blocks),
		})
	}
	create(w, m)
}

// members tells who is there, with whom each is owned by: "a b:a c:a,b".
func (w *world) members() string {
	var out []string
	for _, m := range list[*corev1.ConfigMap](w, "default", "") {
		var owners []string
		for _, ref := range m.OwnerReferences {
			owners = append(owners, ref.Name)
		}
		word := m.Name
		if len(owners) > 0 {
			word += ":" + strings.Join(owners, ",")
		}
		if m.DeletionTimestamp != nil {
			word += "!"
		}
		out = append(out, word)
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

// The collector comes to the same end whatever becomes of it: nothing goes that has an owner left,
// and nothing stays that has none.
func TestCollectorUnderFaults(t *testing.T) {
	rests := []string{
		"a b:a,f c:a d:b,c e:a,x f:a x y z:y",
		"e:x x y z:y", // all of a's but what x owns too
		"e:x x z",     // what y owned is nobody's
		"z",
	}
	act := 0
	then := func(do func(w *world)) func(*controllertest.World) {
		return func(stage *controllertest.World) { act++; do(&world{stage}) }
	}
	controllertest.Faults(t, controllertest.Trial{
		Name: "a family", Leaders: 2, Seeds: 6, Want: rests[3],
		Controllers: []controllertest.Make{func(t client.Transport, i *client.Informers, cfg control.Config) controllertest.Runner {
			return garbagecollector.New(t, i, cfg)
		}},
		Begin: func(stage *controllertest.World) {
			w := &world{stage}
			act = 0
			w.family("a")
			w.family("x")
			w.family("y")
			w.family("b", "a!")
			w.family("c", "a")
			w.family("d", "b!", "c!")
			w.family("e", "a!", "x")
			w.family("f", "a!")
			w.family("z", "y")
			edit(w, "default", "b", func(b *corev1.ConfigMap) { // a circle: f owns b, whose owner a owns f
				b.OwnerReferences = append(b.OwnerReferences, metav1.OwnerReference{APIVersion: "v1", Kind: "ConfigMap", Name: "f", UID: get[*corev1.ConfigMap](w, "default", "f").UID})
			})
		},
		Acts: []func(*controllertest.World){
			then(func(w *world) { remove[*corev1.ConfigMap](w, "default", "a", metav1.DeletePropagationForeground) }),
			then(func(w *world) { remove[*corev1.ConfigMap](w, "default", "y", metav1.DeletePropagationOrphan) }),
			then(func(w *world) { remove[*corev1.ConfigMap](w, "default", "x", metav1.DeletePropagationBackground) }),
		},
		AtRest: func(stage *controllertest.World) bool { return (&world{stage}).members() == rests[act] },
		State:  func(stage *controllertest.World) string { return (&world{stage}).members() },
	})
}

// A namespace is emptied, pods first, whatever becomes of who does it.
func TestNamespaceUnderFaults(t *testing.T) {
	gone := false
	controllertest.Faults(t, controllertest.Trial{
		Name: "pods and what they read", Nodes: 1, Leaders: 2, Seeds: 6, Want: "gone",
		Controllers: []controllertest.Make{func(t client.Transport, i *client.Informers, cfg control.Config) controllertest.Runner {
			return namespace.New(t, i, cfg)
		}},
		Begin: func(stage *controllertest.World) {
			w := &world{stage}
			gone = false
			create(w, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "full"}})
			create(w, &corev1.ServiceAccount{ObjectMeta: meta("full", "default")})
			create(w, &corev1.ConfigMap{ObjectMeta: meta("full", "read")})
			for _, name := range []string{"p", "q"} {
				create(w, &corev1.Pod{ObjectMeta: meta("full", name), Spec: template("v1").Spec})
			}
			w.Tick(5 * time.Second)
		},
		Acts: []func(*controllertest.World){func(stage *controllertest.World) {
			gone = true
			remove[*corev1.Namespace](&world{stage}, "", "full", metav1.DeletePropagationBackground)
		}},
		Always: func(stage *controllertest.World, _ int) {
			w := &world{stage}
			if pods := list[*corev1.Pod](w, "full", ""); len(pods) > 0 && !exists[*corev1.ConfigMap](w, "full", "read") {
				w.Errorf("%d pods are there, and what they read is not", len(pods))
			}
		},
		AtRest: func(stage *controllertest.World) bool {
			return exists[*corev1.Namespace](&world{stage}, "", "full") != gone
		},
		State: func(stage *controllertest.World) string {
			if exists[*corev1.Namespace](&world{stage}, "", "full") {
				return "there"
			}
			return "gone"
		},
	})
}

// Slices list the pods behind a Service, each once, whatever becomes of who writes them.
func TestSlicesUnderFaults(t *testing.T) {
	want := 0
	served := func(w *world) (addresses []string, ready int) {
		for _, s := range list[*discoveryv1.EndpointSlice](w, "default", discoveryv1.LabelServiceName+"=web") {
			for _, e := range s.Endpoints {
				addresses = append(addresses, e.Addresses[0])
				if *e.Conditions.Ready {
					ready++
				}
			}
		}
		return addresses, ready
	}
	pods := func(w *world, from, to int) {
		for i := from; i < to; i++ {
			p := &corev1.Pod{ObjectMeta: meta("default", "p"+string(rune('a'+i))), Spec: template("v1").Spec}
			p.Labels = map[string]string{"app": "web"}
			create(w, p)
		}
		want = to
	}
	controllertest.Faults(t, controllertest.Trial{
		Name: "pods come and go", Nodes: 2, Leaders: 2, Seeds: 6,
		Controllers: []controllertest.Make{func(t client.Transport, i *client.Informers, cfg control.Config) controllertest.Runner {
			return endpointslice.New(t, i, cfg)
		}},
		Begin: func(stage *controllertest.World) {
			w := &world{stage}
			create(w, &corev1.Service{ObjectMeta: meta("default", "web"), Spec: corev1.ServiceSpec{Selector: map[string]string{"app": "web"}, Ports: []corev1.ServicePort{{Port: 80}}}})
			pods(w, 0, 4)
		},
		Acts: []func(*controllertest.World){
			func(stage *controllertest.World) { pods(&world{stage}, 4, 9) },
			func(stage *controllertest.World) {
				w := &world{stage}
				for _, name := range []string{"pa", "pc", "pe"} {
					remove[*corev1.Pod](w, "default", name, metav1.DeletePropagationBackground)
				}
				want = 6
			},
		},
		AtRest: func(stage *controllertest.World) bool {
			w := &world{stage}
			addresses, ready := served(w)
			slices.Sort(addresses)
			return ready == want && len(slices.Compact(addresses)) == want
		},
		State: func(stage *controllertest.World) string {
			w := &world{stage}
			var now []string
			addresses, _ := served(w)
			for _, p := range list[*corev1.Pod](w, "default", "app=web") {
				if api.IsPodReady(p) && slices.Contains(addresses, p.Status.PodIP) {
					now = append(now, p.Name)
				}
			}
			if len(addresses) != len(now) {
				return "addresses without pods"
			}
			return strings.Join(now, " ")
		},
	})
}
