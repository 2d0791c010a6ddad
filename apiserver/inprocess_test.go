package apiserver_test

import (
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/miniorch/miniorch/apiserver/apiservertest"
	"github.com/miniorch/miniorch/apiserver/auth"
)

// What is no resource is read in process as by HTTP: with the user's rights, and the same errors.
func TestRawInProcess(t *testing.T) {
	server := apiservertest.Start(t)
	body, err := server.Client(auth.Admin()).Raw(t.Context(), "/version", nil)
	if err != nil || !strings.Contains(string(body), "gitVersion") {
		t.Errorf("/version: %s, %v", body, err)
	}
	if body, err := server.Client(auth.Admin()).Raw(t.Context(), "/apis/custom.metrics.k8s.io/v1beta2/namespaces/a/pods/*/m", nil); !apierrors.IsNotFound(err) {
		t.Errorf("a group that nobody serves: %s, %v", body, err)
	}
	if body, err := server.Client(auth.User{Name: "nobody", Groups: []string{auth.GroupAuthenticated}}).Raw(t.Context(), "/metrics", nil); !apierrors.IsForbidden(err) {
		t.Errorf("what one may not read: %s, %v", body, err)
	}
}
