package controllers

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/miniorch/miniorch/pkg/client"
	"github.com/miniorch/miniorch/pkg/client/clienttest"
)

func TestNamespacesAreFurnished(t *testing.T) {
	inWorld(t, 1, nil, func(w *world) {
		create(w, &corev1.Namespace{ObjectMeta: meta("", "team")})
		w.Tick(time.Second)
		for _, ns := range []string{"default", "kube-system", "team"} {
			if !exists[*corev1.ServiceAccount](w, ns, "default") {
				t.Errorf("namespace %s has no default service account", ns)
			}
			if got := get[*corev1.ConfigMap](w, ns, "kube-root-ca.crt").Data["ca.crt"]; got != "pem" {
				t.Errorf("namespace %s has the CA bundle %q", ns, got)
			}
		}
		// https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/: both come back.
		remove[*corev1.ServiceAccount](w, "team", "default", "Background")
		edit(w, "team", "kube-root-ca.crt", func(m *corev1.ConfigMap) { m.Data["ca.crt"] = "forged" })
		w.Tick(time.Second)
		if !exists[*corev1.ServiceAccount](w, "team", "default") || get[*corev1.ConfigMap](w, "team", "kube-root-ca.crt").Data["ca.crt"] != "pem" {
			t.Error("the account and the bundle do not come back")
		}
	})
}

func TestNamesAreTheRoster(t *testing.T) {
	transport := clienttest.NewServer(t)
	m := New(transport, client.NewInformers(transport, client.Config{}), Config{
		ClusterCIDR: netip.MustParsePrefix("10.244.0.0/16"), RootCA: []byte("pem"),
	})
	var got []string
	for _, e := range m.roster {
		got = append(got, e.name)
	}
	if diff := cmp.Diff(Names, got); diff != "" {
		t.Error(diff)
	}
	for _, name := range Names {
		m := New(transport, client.NewInformers(transport, client.Config{}), Config{
			ClusterCIDR: netip.MustParsePrefix("10.244.0.0/16"), RootCA: []byte("pem"), Disable: []string{name},
		})
		if len(m.roster) != len(Names)-1 {
			t.Errorf("%s disabled leaves %d controllers, want %d", name, len(m.roster), len(Names)-1)
		}
	}
}

func TestNodesGetRanges(t *testing.T) {
	inWorld(t, 3, nil, func(w *world) {
		w.Tick(time.Second)
		seen := map[string]string{}
		for _, n := range list[*corev1.Node](w, "", "") {
			if other := seen[n.Spec.PodCIDR]; n.Spec.PodCIDR == "" || other != "" || len(n.Spec.PodCIDRs) != 1 {
				t.Errorf("node %s has the range %q (%v), like %q", n.Name, n.Spec.PodCIDR, n.Spec.PodCIDRs, other)
			}
			seen[n.Spec.PodCIDR] = n.Name
		}
	})
}
