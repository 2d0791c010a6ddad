package controllers

//lint:file-ignore SA1019 Endpoints are served, so they are tested.

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/miniorch/miniorch/controllers/clusterroleaggregation"
	"github.com/miniorch/miniorch/controllers/control"
	"github.com/miniorch/miniorch/controllers/controllertest"
	"github.com/miniorch/miniorch/controllers/endpoints"
	"github.com/miniorch/miniorch/controllers/rootca"
	"github.com/miniorch/miniorch/controllers/serviceaccount"
	"github.com/miniorch/miniorch/controllers/servicecidr"
	"github.com/miniorch/miniorch/pkg/client"
)

// Every namespace has its account and the CA bundle, again when somebody takes or forges them.
func TestNamespacesAreFurnishedUnderFaults(t *testing.T) {
	names := []string{"default", "team"}
	furniture := func(w *world) string {
		var out []string
		for _, ns := range names {
			word := ns + ":"
			for _, a := range list[*corev1.ServiceAccount](w, ns, "") {
				word += a.Name
			}
			for _, m := range list[*corev1.ConfigMap](w, ns, "") {
				word += "," + m.Name + "=" + m.Data["ca.crt"]
			}
			out = append(out, word)
		}
		return strings.Join(out, " ")
	}
	want := "default:default,kube-root-ca.crt=pem team:default,kube-root-ca.crt=pem"
	controllertest.Faults(t, controllertest.Trial{
		Name: "made, taken, forged", Leaders: 2, Want: want,
		Controllers: []controllertest.Make{
			func(t client.Transport, i *client.Informers, cfg control.Config) controllertest.Runner {
				return serviceaccount.New(t, i, cfg)
			},
			func(t client.Transport, i *client.Informers, cfg control.Config) controllertest.Runner {
				return rootca.New(t, i, []byte("pem"), cfg)
			},
		},
		Begin: func(stage *controllertest.World) {
			create(&world{stage}, &corev1.Namespace{ObjectMeta: meta("", "team")})
		},
		Acts: acts(
			func(w *world) {
				remove[*corev1.ServiceAccount](w, "team", "default", metav1.DeletePropagationBackground)
				remove[*corev1.ConfigMap](w, "default", rootca.Name, metav1.DeletePropagationBackground)
				edit(w, "team", rootca.Name, func(m *corev1.ConfigMap) { m.Data["ca.crt"] = "forged" })
			},
		),
		AtRest: func(stage *controllertest.World) bool { return furniture(&world{stage}) == want },
		State:  func(stage *controllertest.World) string { return furniture(&world{stage}) },
	})
}

// A range of addresses is there as long as a Service has one of it, and not longer.
func TestServiceCIDRsUnderFaults(t *testing.T) {
	ranges := func(w *world) string {
		var out []string
		for _, c := range list[*networkingv1.ServiceCIDR](w, "", "") {
			if c.Name == "kubernetes" {
				continue
			}
			word := c.Name
			if !apimeta.IsStatusConditionTrue(c.Status.Conditions, networkingv1.ServiceCIDRConditionReady) {
				word += "?"
			}
			out = append(out, fmt.Sprint(word, len(c.Finalizers)))
		}
		return strings.Join(out, " ")
	}
	service := func(w *world, name, ip string) {
		create(w, &corev1.Service{ObjectMeta: meta("default", name), Spec: corev1.ServiceSpec{ClusterIP: ip, Ports: []corev1.ServicePort{{Port: 80}}}})
	}
	rests := []string{"a1 b1", "a1 b?1", "a1"}
	act := 0
	controllertest.Faults(t, controllertest.Trial{
		Name: "used, deleted, free", Leaders: 2, Want: rests[2], Lag: 20 * time.Second,
		Controllers: []controllertest.Make{func(t client.Transport, i *client.Informers, cfg control.Config) controllertest.Runner {
			return servicecidr.New(t, i, cfg)
		}},
		Begin: func(stage *controllertest.World) {
			act = 0
			for name, cidr := range map[string]string{"a": "10.98.0.0/24", "b": "10.99.0.0/24"} {
				create(&world{stage}, &networkingv1.ServiceCIDR{ObjectMeta: meta("", name), Spec: networkingv1.ServiceCIDRSpec{CIDRs: []string{cidr}}})
			}
		},
		Acts: acts(
			func(w *world) {
				act = 1
				service(w, "in-a", "10.98.0.7")
				service(w, "in-b", "10.99.0.7")
				remove[*networkingv1.ServiceCIDR](w, "", "b", metav1.DeletePropagationBackground)
			},
			func(w *world) {
				act = 2
				remove[*corev1.Service](w, "default", "in-b", metav1.DeletePropagationBackground)
			},
		),
		Always: func(stage *controllertest.World, _ int) {
			if is := ranges(&world{stage}); act < 2 && !strings.Contains(is, "b") {
				w := &world{stage}
				w.Errorf("a range is gone of which a Service has an address: %s", is)
			}
		},
		AtRest: func(stage *controllertest.World) bool { return ranges(&world{stage}) == rests[act] },
		State:  func(stage *controllertest.World) string { return ranges(&world{stage}) },
	})
}

// Endpoints list the ready pods behind a Service, each once, whatever becomes of who writes them.
func TestEndpointsUnderFaults(t *testing.T) {
	var want []string
	listed := func(w *world) string {
		var names []string
		for _, e := range list[*corev1.Endpoints](w, "default", "") {
			if e.Name != "web" {
				continue
			}
			for _, s := range e.Subsets {
				for _, a := range s.Addresses {
					names = append(names, a.TargetRef.Name)
				}
				for _, a := range s.NotReadyAddresses {
					names = append(names, "("+a.TargetRef.Name+")")
				}
			}
		}
		slices.Sort(names)
		return strings.Join(names, " ")
	}
	add := func(w *world, names ...string) {
		for _, name := range names {
			p := &corev1.Pod{ObjectMeta: meta("default", name), Spec: template("v1").Spec}
			p.Labels = map[string]string{"app": "web"}
			create(w, p)
			want = append(want, name)
		}
	}
	controllertest.Faults(t, controllertest.Trial{
		Name: "pods come and go", Nodes: 2, Leaders: 2, Want: "",
		Controllers: []controllertest.Make{func(t client.Transport, i *client.Informers, cfg control.Config) controllertest.Runner {
			return endpoints.New(t, i, cfg)
		}},
		Begin: func(stage *controllertest.World) {
			w := &world{stage}
			want = nil
			create(w, webService())
			add(w, "a", "b", "c", "d")
		},
		Acts: acts(
			func(w *world) { add(w, "e", "f") },
			func(w *world) {
				for _, name := range []string{"a", "c", "e"} {
					remove[*corev1.Pod](w, "default", name, metav1.DeletePropagationBackground)
				}
				want = []string{"b", "d", "f"}
			},
		),
		AtRest: func(stage *controllertest.World) bool { return listed(&world{stage}) == strings.Join(want, " ") },
		State:  func(stage *controllertest.World) string { return listed(&world{stage}) },
	})
}

// A role that aggregates others has their rules, also by way of one that does so too.
func TestRolesAreAggregatedUnderFaults(t *testing.T) {
	role := func(w *world, name, verb, label, of string) {
		r := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"to": label}}}
		if verb != "" {
			r.Rules = []rbacv1.PolicyRule{{Verbs: []string{verb}, APIGroups: []string{""}, Resources: []string{"pods"}}}
		}
		if of != "" {
			r.AggregationRule = &rbacv1.AggregationRule{ClusterRoleSelectors: []metav1.LabelSelector{{MatchLabels: map[string]string{"to": of}}}}
		}
		create(w, r)
	}
	verbs := func(w *world, name string) string {
		var out []string
		for _, r := range get[*rbacv1.ClusterRole](w, "", name).Rules {
			out = append(out, r.Verbs...)
		}
		return strings.Join(out, " ")
	}
	rests := []string{"get list, get list watch", "get, get watch"}
	act := 0
	state := func(stage *controllertest.World) string {
		w := &world{stage}
		return verbs(w, "some") + ", " + verbs(w, "all")
	}
	controllertest.Faults(t, controllertest.Trial{
		Name: "some and all", Leaders: 2, Want: rests[1],
		Controllers: []controllertest.Make{func(t client.Transport, i *client.Informers, cfg control.Config) controllertest.Runner {
			return clusterroleaggregation.New(t, i, cfg)
		}},
		Begin: func(stage *controllertest.World) {
			w := &world{stage}
			act = 0
			role(w, "one", "get", "some", "")
			role(w, "two", "list", "some", "")
			role(w, "some", "", "all", "some")
			role(w, "three", "watch", "all", "")
			role(w, "all", "delete", "", "all")
		},
		Acts: acts(func(w *world) {
			act = 1
			remove[*rbacv1.ClusterRole](w, "", "two", metav1.DeletePropagationBackground)
		}),
		AtRest: func(stage *controllertest.World) bool { return state(stage) == rests[act] },
		State:  state,
	})
}
