package garbagecollector

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"github.com/miniorch/miniorch/pkg/api"
)

// own makes owners from words: "solid", "waiting!" (it blocks), "absent", …
func own(words ...string) []owner {
	states := map[string]state{"unknown": unknown, "solid": solid, "waiting": waiting, "absent": absent, "unreachable": unreachable}
	var out []owner
	for i, w := range words {
		w, blocks := strings.CutSuffix(w, "!")
		out = append(out, owner{Ref: metav1.OwnerReference{UID: types.UID(rune('a' + i)), BlockOwnerDeletion: &blocks}, State: states[w]})
	}
	return out
}

func TestDecide(t *testing.T) {
	plain, blocking, foreground := dependent{}, dependent{Blocking: true}, dependent{Blocking: true, Foreground: true}
	cases := []struct {
		reason string
		it     item
		want   string
	}{
		{"nobody owns it", item{}, "keep"},
		{"its owner lives", item{Owners: own("solid")}, "keep"},
		{"its owner is gone", item{Owners: own("absent")}, "delete Background"},
		{"all its owners are gone", item{Owners: own("absent", "absent")}, "delete Background"},
		{"one of its owners lives: the others are dropped", item{Owners: own("solid", "absent", "waiting")}, "remove 2 owners"},
		{"an owner whose kind is not served may live", item{Owners: own("absent", "unreachable")}, "wait for owner's kind"},
		{"its owner waits for it", item{Owners: own("waiting!")}, "delete Background"},
		{"its owner waits, and it has dependents itself", item{Owners: own("waiting!"), Dependents: []dependent{plain}}, "delete Foreground"},
		{"its owner waits for it, and its dependent waits too: a cycle", item{Owners: own("waiting!"), Dependents: []dependent{foreground}}, "unblock owners, delete Foreground"},
		{"a living owner outweighs a waiting one", item{Owners: own("waiting!", "solid"), Dependents: []dependent{plain}}, "remove 1 owners"},
		{"it is being deleted already", item{Deleting: true, Owners: own("absent")}, "keep"},
		{"what an earlier request asked for is kept", item{Owners: own("absent"), Finalizers: []string{"orphan"}}, "delete Orphan"},
		{"the same for foreground", item{Owners: own("absent"), Finalizers: []string{"foregroundDeletion"}}, "delete Foreground"},
		{"foreground: dependents first", item{Deleting: true, Foreground: true, Dependents: []dependent{blocking, plain}}, "wait for 2 dependents"},
		{"foreground: only blocking ones are waited for", item{Deleting: true, Foreground: true, Dependents: []dependent{plain}}, "remove finalizer foregroundDeletion"},
		{"foreground: none left", item{Deleting: true, Foreground: true}, "remove finalizer foregroundDeletion"},
		{"orphan: dependents are released", item{Deleting: true, Orphaning: true, Dependents: []dependent{plain, blocking}}, "release 2 dependents, remove finalizer orphan"},
	}
	for _, tc := range cases {
		t.Run(tc.reason, func(t *testing.T) {
			if got := decide(tc.it).String(); got != tc.want {
				t.Errorf("decide = %s, want %s", got, tc.want)
			}
		})
	}
}

// obj makes a ConfigMap "ns/name" with the UID of its name, and owners "ns/name" or "name!" (blocking).
func obj(name string, owners ...string) *corev1.ConfigMap {
	ns, name, _ := strings.Cut(name, "/")
	m := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name, UID: types.UID(name)}}
	for _, o := range owners {
		o, blocks := strings.CutSuffix(o, "!")
		m.OwnerReferences = append(m.OwnerReferences, metav1.OwnerReference{APIVersion: "v1", Kind: "ConfigMap", Name: o, UID: types.UID(o), BlockOwnerDeletion: &blocks})
	}
	return m
}

func going(m *corev1.ConfigMap, finalizers ...string) *corev1.ConfigMap {
	m.DeletionTimestamp, m.Finalizers = ptr.To(metav1.Now()), finalizers
	return m
}

func words(uids []types.UID) string {
	var out []string
	for _, uid := range uids {
		out = append(out, string(uid))
	}
	return strings.Join(out, " ")
}

var configmaps = api.ResourceFor[*corev1.ConfigMap]()

func TestGraphWakesWhomItConcerns(t *testing.T) {
	g := newGraph()
	steps := []struct {
		reason string
		do     func() []types.UID
		want   string
	}{
		{"an owner alone concerns nobody", func() []types.UID { return g.set(configmaps, obj("n/owner")) }, ""},
		{"a dependent is looked at", func() []types.UID { return g.set(configmaps, obj("n/child", "owner!")) }, "child"},
		{"the same again is not", func() []types.UID { return g.set(configmaps, obj("n/child", "owner!")) }, ""},
		{"an owner that starts to wait wakes its dependents", func() []types.UID {
			return g.set(configmaps, going(obj("n/owner"), metav1.FinalizerDeleteDependents))
		}, "owner child"},
		{"a dependent that blocks no longer wakes the owner", func() []types.UID { return g.set(configmaps, obj("n/child", "owner")) }, "child owner"},
		{"a dependent that goes wakes the owner", func() []types.UID { return g.remove("child") }, "owner"},
		{"an owner that goes wakes nobody", func() []types.UID { return g.remove("owner") }, ""},
		{"a dependent of nobody", func() []types.UID { return g.set(configmaps, obj("n/child", "owner")) }, "child"},
		{"its owner appears late", func() []types.UID { return g.set(configmaps, obj("n/owner")) }, ""},
		{"and goes", func() []types.UID { return g.remove("owner") }, "child"},
		{"so does the dependent", func() []types.UID { return g.remove("child") }, ""},
	}
	for _, s := range steps {
		if got := words(s.do()); got != s.want {
			t.Errorf("%s: wakes %q, want %q", s.reason, got, s.want)
		}
	}
	if len(g.vertices) != 0 {
		t.Errorf("%d vertices are left of nothing", len(g.vertices))
	}
}

func TestGraphTrustsOnlyRightReferences(t *testing.T) {
	g := newGraph()
	g.set(configmaps, obj("n/owner"))
	right, otherNamespace, otherName, otherKind := obj("n/right", "owner"), obj("m/otherNamespace", "owner"), obj("n/otherName", "owner"), obj("n/otherKind", "owner")
	otherName.OwnerReferences[0].Name = "forged"
	otherKind.OwnerReferences[0].Kind = "Secret"
	for m, want := range map[*corev1.ConfigMap]state{right: solid, otherNamespace: unknown, otherName: unknown, otherKind: unknown} {
		g.set(configmaps, m)
		if it, _ := g.item(m.UID); it.Owners[0].State != want {
			t.Errorf("%s: the owner's state is %d, want %d", m.Name, it.Owners[0].State, want)
		}
	}
}
