package controllers

import (
	"fmt"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

// left prints what there is of Deployments, sets and pods of the app.
func (w *world) left() string {
	return fmt.Sprintf("%d deployments, %d sets, %d pods", len(list[*appsv1.Deployment](w, "default", "")),
		len(list[*appsv1.ReplicaSet](w, "default", "app=web")), len(list[*corev1.Pod](w, "default", "app=web")))
}

// Conformance "Garbage Collector, delete deployment, propagation policy background/orphan" and
// "keep the rc around until all its pods are deleted".
func TestDeletionPropagates(t *testing.T) {
	cases := []struct {
		how         metav1.DeletionPropagation
		soon, later string
	}{
		{"Background", "0 deployments, 0 sets, 3 pods", "0 deployments, 0 sets, 0 pods"},
		{"Foreground", "1 deployments, 1 sets, 3 pods", "0 deployments, 0 sets, 0 pods"},
		{"Orphan", "0 deployments, 1 sets, 3 pods", "0 deployments, 1 sets, 3 pods"},
	}
	for _, tc := range cases {
		t.Run(string(tc.how), func(t *testing.T) {
			inWorld(t, 2, nil, func(w *world) {
				create(w, webDeployment(3, "v1"))
				w.Tick(5 * time.Second)
				remove[*appsv1.Deployment](w, "default", "web", tc.how)
				w.Tick(500 * time.Millisecond) // pods take a second to go
				if got := w.left(); got != tc.soon {
					t.Errorf("soon there are %s, want %s", got, tc.soon)
				}
				w.Tick(time.Minute)
				if got := w.left(); got != tc.later {
					t.Errorf("later there are %s, want %s", got, tc.later)
				}
				for _, rs := range list[*appsv1.ReplicaSet](w, "default", "app=web") {
					if len(rs.OwnerReferences) != 0 {
						t.Errorf("the orphan has owners: %v", rs.OwnerReferences)
					}
				}
			})
		})
	}
}

// configmap makes a ConfigMap with owners; "name!" blocks its owner's deletion.
func configmap(w *world, ns, name string, owners ...*corev1.ConfigMap) *corev1.ConfigMap {
	m := &corev1.ConfigMap{ObjectMeta: meta(ns, name)}
	m.OwnerReferences = refsTo(owners...)
	return create(w, m)
}

func refsTo(owners ...*corev1.ConfigMap) []metav1.OwnerReference {
	var refs []metav1.OwnerReference
	for _, o := range owners {
		refs = append(refs, metav1.OwnerReference{APIVersion: "v1", Kind: "ConfigMap", Name: o.Name, UID: o.UID, BlockOwnerDeletion: ptr.To(true)})
	}
	return refs
}

func (w *world) configmaps(ns string) string {
	var names []string
	for _, m := range list[*corev1.ConfigMap](w, ns, "") {
		if m.Name != "kube-root-ca.crt" {
			names = append(names, m.Name)
		}
	}
	return strings.Join(names, " ")
}

func TestGarbage(t *testing.T) {
	ghost := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "ghost", UID: "00000000-dead"}}
	cases := []struct {
		reason string
		do     func(w *world)
		want   string
	}{
		{"an owner that never was", func(w *world) { configmap(w, "default", "child", ghost) }, ""},
		{"an owner in another namespace is none", func(w *world) {
			create(w, &corev1.Namespace{ObjectMeta: meta("", "far")})
			owner := configmap(w, "far", "owner")
			w.Tick(time.Second)
			configmap(w, "default", "child", owner)
			w.Tick(time.Second)
			if said := strings.Join(w.Events("OwnerRefInvalidNamespace"), ""); !strings.Contains(said, `does not exist in namespace "default"`) {
				w.Errorf("events say %q of a reference into another namespace", said)
			}
		}, ""},
		{"a namesake of the owner is none", func(w *world) {
			owner := configmap(w, "default", "owner")
			forged := owner.DeepCopy()
			forged.UID = "00000000-beef"
			configmap(w, "default", "child", forged)
		}, "owner"},
		{"one owner of two lives", func(w *world) {
			a, b := configmap(w, "default", "a"), configmap(w, "default", "b")
			configmap(w, "default", "child", a, b)
			w.Tick(time.Second)
			remove[*corev1.ConfigMap](w, "default", "a", "Background")
		}, "b child"},
		// Conformance "Garbage Collector, multiple owners".
		{"one owner of two waits in the foreground, the other lives", func(w *world) {
			a, b := configmap(w, "default", "a"), configmap(w, "default", "b")
			configmap(w, "default", "both", a, b)
			configmap(w, "default", "only", a)
			w.Tick(time.Second)
			remove[*corev1.ConfigMap](w, "default", "a", "Foreground")
		}, "b both"},
		// Conformance "Garbage Collector, dependency cycle".
		{"a cycle, background", func(w *world) { cycle(w, "Background") }, ""},
		{"a cycle, foreground", func(w *world) { cycle(w, "Foreground") }, ""},
		{"a chain, foreground", func(w *world) {
			a := configmap(w, "default", "a")
			b := configmap(w, "default", "b", a)
			c := configmap(w, "default", "c", b)
			configmap(w, "default", "d", c)
			w.Tick(time.Second)
			remove[*corev1.ConfigMap](w, "default", "a", "Foreground")
		}, ""},
		{"orphaning releases the direct dependents only", func(w *world) {
			a := configmap(w, "default", "a")
			b := configmap(w, "default", "b", a)
			configmap(w, "default", "c", b)
			w.Tick(time.Second)
			remove[*corev1.ConfigMap](w, "default", "a", "Orphan")
		}, "b c"},
		{"an owner of a kind that is not served may live", func(w *world) {
			m := &corev1.ConfigMap{ObjectMeta: meta("default", "child")}
			m.OwnerReferences = []metav1.OwnerReference{{APIVersion: "example.com/v1", Kind: "Unknown", Name: "x", UID: "00000000-cafe"}}
			create(w, m)
		}, "child"},
	}
	for _, tc := range cases {
		t.Run(tc.reason, func(t *testing.T) {
			inWorld(t, 0, nil, func(w *world) {
				tc.do(w)
				w.Tick(10 * time.Second)
				if got := w.configmaps("default"); got != tc.want {
					t.Errorf("left are %q, want %q", got, tc.want)
				}
			})
		})
	}
}

func cycle(w *world, how metav1.DeletionPropagation) {
	a := configmap(w, "default", "a")
	b := configmap(w, "default", "b", a)
	c := configmap(w, "default", "c", b)
	edit(w, "default", "a", func(m *corev1.ConfigMap) { m.OwnerReferences = refsTo(c) })
	w.Tick(time.Second)
	remove[*corev1.ConfigMap](w, "default", "a", how)
}

// Conformance "namespace-deletion-removes-pods", "-services" and "Ordered Namespace Deletion".
func TestNamespaceDeletion(t *testing.T) {
	inWorld(t, 1, nil, func(w *world) {
		create(w, &corev1.Namespace{ObjectMeta: meta("", "team")})
		w.Tick(time.Second)
		create(w, &corev1.Pod{ObjectMeta: meta("team", "pod"), Spec: template("v1").Spec})
		s := webService()
		s.Namespace = "team"
		create(w, s)
		held := &corev1.ConfigMap{ObjectMeta: meta("team", "held")}
		held.Finalizers = []string{"example.com/hold"}
		create(w, held)
		w.Tick(3 * time.Second)
		remove[*corev1.Namespace](w, "", "team", "Background")
		w.Tick(500 * time.Millisecond)
		if !exists[*corev1.Service](w, "team", "web") || get[*corev1.Pod](w, "team", "pod").DeletionTimestamp == nil {
			t.Error("pods do not go first")
		}
		w.Tick(5 * time.Second)
		if exists[*corev1.Service](w, "team", "web") || exists[*corev1.Pod](w, "team", "pod") {
			t.Error("the service or the pod is still there")
		}
		said := ""
		for _, c := range get[*corev1.Namespace](w, "", "team").Status.Conditions {
			if c.Status == corev1.ConditionTrue {
				said += c.Message + "; "
			}
		}
		if want := "Some resources are remaining: configmaps. has 1 resource instances; Some content in the namespace has finalizers remaining: example.com/hold in 1 resource instances; "; said != want {
			t.Errorf("the conditions say %q, want %q", said, want)
		}
		edit(w, "team", "held", func(m *corev1.ConfigMap) { m.Finalizers = nil })
		w.Tick(100 * time.Millisecond)
		if exists[*corev1.Namespace](w, "", "team") {
			t.Error("the namespace is still there")
		}
	})
}
