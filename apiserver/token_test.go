package apiserver_test

import (
	"encoding/json"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

// TestServiceAccountToken: a token that the API issued says who its bearer is, until what it is
// bound to has gone.
func TestServiceAccountToken(t *testing.T) {
	c := startCluster(t)
	c.account("default")
	set, nobody := c.admin(""), c.raw(nil)
	bound := must(set.CoreV1().Pods("default").Create(t.Context(), pod("p"), metav1.CreateOptions{}))(t)
	issue := func(ref *authenticationv1.BoundObjectReference) string {
		t.Helper()
		out := must(set.CoreV1().ServiceAccounts("default").CreateToken(t.Context(), "default",
			&authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{BoundObjectRef: ref}}, metav1.CreateOptions{}))(t)
		return "Bearer " + out.Status.Token
	}
	free := issue(nil)
	forPod := issue(&authenticationv1.BoundObjectReference{Kind: "Pod", APIVersion: "v1", Name: "p", UID: bound.UID})
	expect := func(token, path string, code int) {
		t.Helper()
		if a := do(t, nobody, "GET", c.url+path, nil, "Authorization", token); a.StatusCode != code {
			t.Errorf("%s: %d, want %d: %s", path, a.StatusCode, code, a.body)
		}
	}
	refused := func(token string) { // as soon as the cache has seen the deletion
		t.Helper()
		for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
			a := do(t, nobody, "GET", c.url+"/api", nil, "Authorization", token)
			if a.StatusCode == 401 {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("the token still works: %d", a.StatusCode)
			}
		}
	}
	for _, token := range []string{free, forPod} {
		expect(token, "/api", 200)
		expect(token, "/api/v1/namespaces/default/pods", 403)
	}
	if err := set.CoreV1().Pods("default").Delete(t.Context(), "p", metav1.DeleteOptions{GracePeriodSeconds: ptr.To[int64](0)}); err != nil {
		t.Fatal(err)
	}
	refused(forPod)
	expect(free, "/api", 200)
	if err := set.CoreV1().ServiceAccounts("default").Delete(t.Context(), "default", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	refused(free)

	var keys struct{ Keys []struct{ Kty, Crv string } }
	a := do(t, c.raw(&c.security.Admin), "GET", c.url+"/openid/v1/jwks", nil)
	if err := json.Unmarshal(a.body, &keys); err != nil || len(keys.Keys) != 1 || keys.Keys[0].Crv != "P-256" {
		t.Errorf("%v %s", err, a.body)
	}
}
