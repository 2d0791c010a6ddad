package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/miniorch/miniorch/pkg/api"
	"github.com/miniorch/miniorch/pkg/client/clienttest"
)

// TestWhyElsewhere asks a master for an explanation while its scheduler does not run.
func TestWhyElsewhere(t *testing.T) {
	lease := func(holder string) api.Object {
		return &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "kube-scheduler"}, Spec: coordinationv1.LeaseSpec{HolderIdentity: &holder}}
	}
	for _, c := range []struct {
		name, reason string
		objs         []api.Object
		want         string
	}{
		{"another leads", "it is named", []api.Object{lease("m2")}, "but in master m2: ask there"},
		{"given up", "nobody has taken the lease yet", []api.Object{lease("")}, "no other holds the Lease kube-system/kube-scheduler now"},
		{"no lease", "the only master, without a scheduler", nil, "no other holds the Lease kube-system/kube-scheduler now"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := httptest.NewRecorder()
			(&explainer{leases: clienttest.NewServer(t, c.objs...)}).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
			if got := w.Body.String(); w.Code != http.StatusServiceUnavailable || !strings.Contains(got, c.want) {
				t.Errorf("%s: %d %s", c.reason, w.Code, got)
			}
		})
	}
}
