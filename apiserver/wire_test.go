package apiserver_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/miniorch/miniorch/apiserver"
	"github.com/miniorch/miniorch/apiserver/auth"
	"github.com/miniorch/miniorch/pkg/pki"
)

// TestErrors: every refusal is a Status with the code and reason that clients act upon.
func TestErrors(t *testing.T) {
	c := startCluster(t)
	admin := c.raw(&c.security.Admin)
	maps := "/api/v1/namespaces/default/configmaps"
	good := `{"metadata":{"name":"m"}}`
	do(t, admin, "POST", c.url+maps, []byte(good))
	tests := []struct {
		name, method, path, body string
		headers                  []string
		code                     int
		reason                   metav1.StatusReason
		message                  string
	}{
		{name: "no such object", method: "GET", path: maps + "/none", code: 404, reason: metav1.StatusReasonNotFound, message: `configmaps "none" not found`},
		{name: "no such resource", method: "GET", path: "/api/v1/namespaces/default/gadgets", code: 404, reason: metav1.StatusReasonNotFound, message: "could not find the requested resource"},
		{name: "no such group", method: "GET", path: "/apis/gadgets.io/v1/gadgets", code: 404, reason: metav1.StatusReasonNotFound},
		{name: "no such subresource", method: "GET", path: maps + "/m/status", code: 404, reason: metav1.StatusReasonNotFound},
		{name: "no such path", method: "GET", path: "/nothing", code: 404, reason: metav1.StatusReasonNotFound},
		{name: "cluster resource in a namespace", method: "GET", path: "/api/v1/namespaces/default/nodes", code: 404, reason: metav1.StatusReasonNotFound},
		{name: "namespaced object without namespace", method: "GET", path: "/api/v1/configmaps/m", code: 404, reason: metav1.StatusReasonNotFound},
		{name: "create in all namespaces", method: "POST", path: "/api/v1/configmaps", body: good, code: 405, reason: metav1.StatusReasonMethodNotAllowed},
		{name: "create at an object", method: "POST", path: maps + "/m", body: good, code: 405, reason: metav1.StatusReasonMethodNotAllowed},
		{name: "replace a collection", method: "PUT", path: maps, body: good, code: 405, reason: metav1.StatusReasonMethodNotAllowed},
		{name: "a method nobody has", method: "BREW", path: maps, code: 405, reason: metav1.StatusReasonMethodNotAllowed},
		{name: "write to discovery", method: "POST", path: "/apis", code: 405, reason: metav1.StatusReasonMethodNotAllowed},
		{name: "exists", method: "POST", path: maps, body: good, code: 409, reason: metav1.StatusReasonAlreadyExists, message: `configmaps "m" already exists`},
		{name: "stale version", method: "PUT", path: maps + "/m", body: `{"metadata":{"name":"m","resourceVersion":"1"}}`, code: 409, reason: metav1.StatusReasonConflict, message: "the object has been modified"},
		{name: "another name", method: "PUT", path: maps + "/m", body: `{"metadata":{"name":"n"}}`, code: 400, reason: metav1.StatusReasonBadRequest},
		{name: "another namespace", method: "POST", path: maps, body: `{"metadata":{"name":"n","namespace":"kube-system"}}`, code: 400, reason: metav1.StatusReasonBadRequest, message: "does not match the namespace"},
		{name: "another kind", method: "POST", path: maps, body: `{"kind":"Secret","apiVersion":"v1","metadata":{"name":"n"}}`, code: 400, reason: metav1.StatusReasonBadRequest},
		{name: "another version", method: "POST", path: maps, body: `{"kind":"ConfigMap","apiVersion":"v2","metadata":{"name":"n"}}`, code: 400, reason: metav1.StatusReasonBadRequest},
		{name: "no JSON", method: "POST", path: maps, body: `{{{`, code: 400, reason: metav1.StatusReasonBadRequest},
		{name: "nothing", method: "POST", path: maps, code: 400, reason: metav1.StatusReasonBadRequest},
		{name: "null", method: "POST", path: maps, body: `null`, code: 422, reason: metav1.StatusReasonInvalid},
		{name: "an array", method: "POST", path: maps, body: `[]`, code: 400, reason: metav1.StatusReasonBadRequest},
		{name: "a wrong type", method: "POST", path: maps, body: `{"metadata":{"name":"n"},"data":{"a":1}}`, code: 400, reason: metav1.StatusReasonBadRequest},
		{name: "deep", method: "POST", path: maps, body: strings.Repeat(`{"a":`, 200_000) + "1" + strings.Repeat("}", 200_000), code: 400, reason: metav1.StatusReasonBadRequest},
		{name: "deep YAML", method: "POST", path: maps, body: strings.Repeat("[", 100_000), headers: []string{"Content-Type", "application/yaml"}, code: 400, reason: metav1.StatusReasonBadRequest},
		{name: "YAML bomb", method: "POST", path: maps, body: yamlBomb(), headers: []string{"Content-Type", "application/yaml"}, code: 400, reason: metav1.StatusReasonBadRequest},
		{name: "no protobuf", method: "POST", path: maps, body: "k8s\x00\xff\xff\xff", headers: []string{"Content-Type", "application/vnd.kubernetes.protobuf"}, code: 400, reason: metav1.StatusReasonBadRequest},
		{name: "huge", method: "POST", path: maps, body: `{"metadata":{"name":"n"},"data":{"a":"` + strings.Repeat("x", 3<<20) + `"}}`, code: 413, reason: metav1.StatusReasonRequestEntityTooLarge},
		{name: "huge patch", method: "PATCH", path: maps + "/m", body: strings.Repeat(" ", 3<<20+1), headers: []string{"Content-Type", "application/merge-patch+json"}, code: 413, reason: metav1.StatusReasonRequestEntityTooLarge},
		{name: "deep merge patch", method: "PATCH", path: maps + "/m", body: strings.Repeat(`{"a":`, 100_000) + "1" + strings.Repeat("}", 100_000), headers: []string{"Content-Type", "application/merge-patch+json"}, code: 400, reason: metav1.StatusReasonBadRequest},
		{name: "deep strategic patch", method: "PATCH", path: maps + "/m", body: strings.Repeat(`{"a":`, 100_000) + "1" + strings.Repeat("}", 100_000), headers: []string{"Content-Type", "application/strategic-merge-patch+json"}, code: 400, reason: metav1.StatusReasonBadRequest},
		{name: "deep JSON patch", method: "PATCH", path: maps + "/m", body: `[{"op":"add","path":"/data/a","value":` + strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000) + `}]`, headers: []string{"Content-Type", "application/json-patch+json"}, code: 400, reason: metav1.StatusReasonBadRequest},
		{name: "nearly too deep JSON patch", method: "PATCH", path: maps + "/m", body: `[{"op":"add","path":"/data/a","value":` + strings.Repeat("[", 9_000) + strings.Repeat("]", 9_000) + `}]`, headers: []string{"Content-Type", "application/json-patch+json"}, code: 422, reason: metav1.StatusReasonInvalid},
		{name: "JSON patch of a path that goes round", method: "PATCH", path: maps + "/m", body: `[{"op":"move","from":"/metadata","path":"/metadata/labels"}]`, headers: []string{"Content-Type", "application/json-patch+json"}, code: 422, reason: metav1.StatusReasonInvalid},
		{name: "patch without an object", method: "PATCH", path: maps + "/m", body: `[]`, headers: []string{"Content-Type", "application/merge-patch+json"}, code: 400, reason: metav1.StatusReasonBadRequest},
		{name: "deep apply", method: "PATCH", path: maps + "/m?fieldManager=x", body: strings.Repeat("[", 100_000), headers: []string{"Content-Type", "application/apply-patch+yaml"}, code: 400, reason: metav1.StatusReasonBadRequest},
		{name: "apply of a YAML bomb", method: "PATCH", path: maps + "/m?fieldManager=x", body: yamlBomb(), headers: []string{"Content-Type", "application/apply-patch+yaml"}, code: 400, reason: metav1.StatusReasonBadRequest},
		{name: "apply of YAML that contains itself", method: "PATCH", path: maps + "/m?fieldManager=x", body: "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: m}\ndata: &d {a: *d}\n", headers: []string{"Content-Type", "application/apply-patch+yaml"}, code: 400, reason: metav1.StatusReasonBadRequest},
		{name: "YAML that contains itself", method: "POST", path: maps, body: "metadata: {name: n}\ndata: &d {a: *d}\n", headers: []string{"Content-Type", "application/yaml"}, code: 400, reason: metav1.StatusReasonBadRequest},
		{name: "huge apply", method: "PATCH", path: maps + "/m?fieldManager=x", body: strings.Repeat(" ", 3<<20+1), headers: []string{"Content-Type", "application/apply-patch+yaml"}, code: 413, reason: metav1.StatusReasonRequestEntityTooLarge},
		{name: "huge delete options", method: "DELETE", path: maps + "/m", body: strings.Repeat(" ", 3<<20+1), code: 413, reason: metav1.StatusReasonRequestEntityTooLarge},
		{name: "bad name", method: "POST", path: maps, body: `{"metadata":{"name":"UPPER"}}`, code: 422, reason: metav1.StatusReasonInvalid, message: "metadata.name"},
		{name: "unknown field, strict", method: "POST", path: maps + "?fieldValidation=Strict", body: `{"metadata":{"name":"n"},"dada":{}}`, code: 400, reason: metav1.StatusReasonBadRequest, message: `unknown field "dada"`},
		{name: "no such validation", method: "POST", path: maps + "?fieldValidation=Maybe", body: good, code: 400, reason: metav1.StatusReasonBadRequest},
		{name: "no such dry run", method: "POST", path: maps + "?dryRun=Maybe", body: good, code: 422, reason: metav1.StatusReasonInvalid},
		{name: "media type of a body", method: "POST", path: maps, body: good, headers: []string{"Content-Type", "text/plain"}, code: 415, reason: metav1.StatusReasonUnsupportedMediaType},
		{name: "media type of a patch", method: "PATCH", path: maps + "/m", body: `{}`, headers: []string{"Content-Type", "application/json"}, code: 415, reason: metav1.StatusReasonUnsupportedMediaType, message: "application/merge-patch+json"},
		{name: "media type of an answer", method: "GET", path: maps, headers: []string{"Accept", "image/png"}, code: 406, reason: metav1.StatusReasonNotAcceptable},
		{name: "unknown table version", method: "GET", path: maps, headers: []string{"Accept", "application/json;as=Table;v=v9;g=meta.k8s.io"}, code: 406, reason: metav1.StatusReasonNotAcceptable},
		{name: "bad limit", method: "GET", path: maps + "?limit=ten", code: 400, reason: metav1.StatusReasonBadRequest},
		{name: "negative limit", method: "GET", path: maps + "?limit=-1", code: 400, reason: metav1.StatusReasonBadRequest},
		{name: "bad selector", method: "GET", path: maps + "?labelSelector=a%3D%3D%3Db%2C", code: 400, reason: metav1.StatusReasonBadRequest},
		{name: "unknown field selector", method: "GET", path: maps + "?fieldSelector=data.a%3Db", code: 400, reason: metav1.StatusReasonBadRequest},
		{name: "bad continue", method: "GET", path: maps + "?continue=nonsense", code: 400, reason: metav1.StatusReasonBadRequest},
		{name: "bad resourceVersion", method: "GET", path: maps + "?resourceVersion=abc", code: 400, reason: metav1.StatusReasonBadRequest},
		{name: "bad watch version", method: "GET", path: maps + "?watch=1&resourceVersion=abc", code: 400, reason: metav1.StatusReasonBadRequest},
		{name: "bad timeout", method: "GET", path: maps + "?timeout=soon", code: 400, reason: metav1.StatusReasonBadRequest, message: "invalid timeout"},
		{name: "bad query", method: "GET", path: maps + "?a=%zz", code: 400, reason: metav1.StatusReasonBadRequest},
		{name: "table of what has no columns", method: "POST", path: "/api/v1/namespaces/default/serviceaccounts/none/token", body: `{}`, headers: []string{"Accept", "application/json;as=Table;v=v1;g=meta.k8s.io"}, code: 406, reason: metav1.StatusReasonNotAcceptable},
		{name: "bad includeObject", method: "GET", path: maps + "?includeObject=Some", headers: []string{"Accept", "application/json;as=Table;v=v1;g=meta.k8s.io"}, code: 400, reason: metav1.StatusReasonBadRequest},
		{name: "bad delete options", method: "DELETE", path: maps + "/m", body: `{"kind":"DeleteOptions","apiVersion":"v1","propagationPolicy":"Sometimes"}`, code: 422, reason: metav1.StatusReasonInvalid},
		{name: "another kind of delete options", method: "DELETE", path: maps + "/m", body: `{"kind":"Pod","apiVersion":"v1"}`, code: 400, reason: metav1.StatusReasonBadRequest},
		{name: "delete precondition", method: "DELETE", path: maps + "/m", body: `{"preconditions":{"uid":"other"}}`, code: 409, reason: metav1.StatusReasonConflict},
		{name: "a quantity to compute for ever", method: "POST", path: "/api/v1/namespaces/default/pods", body: `{"metadata":{"name":"n"},"spec":{"containers":[{"name":"c","image":"i","resources":{"limits":{"cpu":"1e2147483648"}}}]}}`, code: 400, reason: metav1.StatusReasonBadRequest, message: "exponent is too large"},
		{name: "missing namespace", method: "POST", path: "/api/v1/namespaces/nowhere/configmaps", body: good, code: 404, reason: metav1.StatusReasonNotFound, message: `namespaces "nowhere" not found`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := do(t, admin, tt.method, c.url+tt.path, []byte(tt.body), tt.headers...)
			s := a.status(t)
			if a.StatusCode != tt.code || int(s.Code) != tt.code || s.Reason != tt.reason || s.Status != metav1.StatusFailure || !strings.Contains(s.Message, tt.message) {
				t.Errorf("got %d %q %q, want %d %q with %q", a.StatusCode, s.Reason, s.Message, tt.code, tt.reason, tt.message)
			}
		})
	}
	left := must(c.admin("").CoreV1().ConfigMaps("default").List(t.Context(), metav1.ListOptions{}))(t)
	if len(left.Items) != 1 {
		t.Errorf("refused requests left something behind: %d objects", len(left.Items))
	}
}

// yamlBomb is a short text that would expand to gigabytes.
func yamlBomb() string {
	var b strings.Builder
	b.WriteString("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n")
	for i := 1; i < 10; i++ {
		fmt.Fprintf(&b, "a%d: &a%d [*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d]\n", i, i, i-1, i-1, i-1, i-1, i-1, i-1, i-1, i-1)
	}
	return b.String()
}

// TestPathsStayWhereTheyAre: nothing in a URL can lead to another object than the one that
// the authorizer was asked about.
func TestPathsStayWhereTheyAre(t *testing.T) {
	c := startCluster(t)
	admin := c.raw(&c.security.Admin)
	must(c.admin("").CoreV1().Secrets("kube-system").Create(t.Context(), &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "treasure"}, StringData: map[string]string{"k": "gold"}}, metav1.CreateOptions{}))(t)
	for _, path := range []string{
		"/api/v1/namespaces/default/configmaps/..%2f..%2fkube-system%2fsecrets%2ftreasure",
		"/api/v1/namespaces/default/configmaps/%2e%2e/secrets/treasure",
		"/api/v1/namespaces/default/../kube-system/secrets/treasure",
		"/api/v1/namespaces/default%2f..%2fkube-system/secrets/treasure",
		"/api/v1//namespaces/kube-system/secrets/treasure",
		"/livez/../api/v1/namespaces/kube-system/secrets/treasure",
		"/livez/%2e%2e/api/v1/namespaces/kube-system/secrets/treasure",
		"/api/v1/namespaces/kube-system/secrets/treasure%00",
		"/api/v1/namespaces/default/configmaps/%252e%252e",
	} {
		for _, client := range []*http.Client{admin, c.raw(nil)} {
			a := do(t, client, "GET", c.url+path, nil)
			if a.StatusCode < 400 || bytes.Contains(a.body, []byte("Z29sZA")) {
				t.Errorf("%s: %d %s", path, a.StatusCode, a.body)
			}
		}
	}
}

// TestStrangers: nothing but health and version is served to who has not shown who they are,
// and nothing but discovery to who may do nothing.
func TestStrangers(t *testing.T) {
	c := startCluster(t, func(cfg *apiserver.Config) {
		cfg.StaticTokens = map[string]auth.User{"s3cret": {Name: "bob"}, "r00t": {Name: "root", Groups: []string{auth.GroupMasters}}}
		cfg.Profiling = true
	})
	other, err := pki.NewCA(realClock)
	if err != nil {
		t.Fatal(err)
	}
	forged := must(other.Issue(pki.Subject{Name: "kubernetes-admin", Groups: []string{auth.GroupMasters}, Client: true}))(t)
	serving := must(c.security.CA.Issue(pki.Subject{Name: "kubernetes-admin", Groups: []string{auth.GroupMasters}, Server: true}))(t)
	bob := must(c.security.CA.Issue(pki.Subject{Name: "bob", Client: true}))(t)
	liar := must(c.security.CA.Issue(pki.Subject{Name: "bob", Groups: []string{auth.GroupNodes}, Client: true}))(t)
	node := must(c.security.CA.Issue(pki.Subject{Name: "system:node:a", Groups: []string{auth.GroupNodes}, Client: true}))(t)
	secret := []string{"/api/v1/namespaces", "/api/v1/secrets", "/metrics", "/debug/decisions", "/debug/pprof/", "/debug/pprof/profile?seconds=1", "/nothing"}
	discovery := []string{"/api", "/api/", "/apis", "/apis/", "/api/v1", "/api/v1/", "/apis/apps/", "/apis/apps/v1/", "/apis/apps", "/apis/apps/v1", "/openapi/v2", "/openapi/v3", "/openapi/v3/api/v1"}
	open := []string{"/livez", "/readyz", "/healthz", "/version", "/version/", "/livez/ping", "/readyz?verbose"}
	tests := []struct {
		name   string
		pair   *pki.Pair
		token  string
		codes  [3]int // of open, discovery and secret paths
		reason string
	}{
		{"nobody", nil, "", [3]int{200, 401, 401}, "no credentials"},
		{"wrong token", nil, "guess", [3]int{401, 401, 401}, "credentials that are not good are never ignored"},
		{"another CA", &forged, "", [3]int{401, 401, 401}, "anybody can make a CA"},
		{"a serving certificate", &serving, "", [3]int{401, 401, 401}, "a server's key must not make an administrator"},
		{"somebody", &bob, "", [3]int{200, 200, 403}, "known, but may do nothing"},
		{"somebody's token", nil, "s3cret", [3]int{200, 200, 403}, "as above"},
		{"a node without a node's name", &liar, "", [3]int{200, 200, 403}, "the group alone is not enough"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			client := c.raw(tt.pair)
			var headers []string
			if tt.token != "" {
				headers = []string{"Authorization", "Bearer " + tt.token}
			}
			for i, paths := range [][]string{open, discovery, secret} {
				for _, path := range paths {
					a := do(t, client, "GET", c.url+path, nil, headers...)
					if a.StatusCode != tt.codes[i] {
						t.Errorf("%s: %d, want %d (%s)", path, a.StatusCode, tt.codes[i], tt.reason)
					}
				}
			}
			a := do(t, client, "POST", c.url+"/api/v1/namespaces", []byte(`{"metadata":{"name":"x"}}`), headers...)
			if a.StatusCode != tt.codes[2] {
				t.Errorf("creating: %d, want %d", a.StatusCode, tt.codes[2])
			}
			if s := a.status(t); s.Message == "" {
				t.Error("the refusal does not say why")
			}
		})
	}
	for name, client := range map[string]*http.Client{"administrator": c.raw(&c.security.Admin), "node": c.raw(&node)} {
		if a := do(t, client, "GET", c.url+"/api/v1/namespaces", nil); a.StatusCode != 200 {
			t.Errorf("%s: %d", name, a.StatusCode)
		}
	}
	if a := do(t, c.raw(nil), "GET", c.url+"/api/v1/namespaces", nil, "Authorization", "Bearer r00t"); a.StatusCode != 200 {
		t.Errorf("a static token: %d", a.StatusCode)
	}
}

// TestFormats: one object in every format and shape.
func TestFormats(t *testing.T) {
	c := startCluster(t)
	admin := c.raw(&c.security.Admin)
	path := c.url + "/api/v1/namespaces/kube-system"
	tests := []struct {
		name, accept, query string
		contentType, want   string
	}{
		{"default", "", "", "application/json", `{"kind":"Namespace","apiVersion":"v1","metadata":{"name":"kube-system"`},
		{"anything", "*/*", "", "application/json", `{"kind":"Namespace"`},
		{"YAML", "application/yaml", "", "application/yaml", "apiVersion: v1\nkind: Namespace\n"},
		{"protobuf", "application/vnd.kubernetes.protobuf", "", "application/vnd.kubernetes.protobuf", "k8s\x00"},
		{"pretty", "application/json", "?pretty=true", "application/json", "{\n  \"kind\": \"Namespace\""},
		{"first that can be done", "image/png, application/yaml;q=0.5, application/json;q=0.4", "", "application/yaml", "apiVersion"},
		{"table", "application/json;as=Table;v=v1;g=meta.k8s.io,application/json", "", "application/json", `{"kind":"Table","apiVersion":"meta.k8s.io/v1"`},
		{"no table in protobuf", "application/vnd.kubernetes.protobuf;as=Table;v=v1;g=meta.k8s.io,application/json", "", "application/json", `{"kind":"Namespace"`},
		{"metadata", "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io", "", "application/json", `{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1","metadata":{"name":"kube-system"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var headers []string
			if tt.accept != "" {
				headers = []string{"Accept", tt.accept}
			}
			a := do(t, admin, "GET", path+tt.query, nil, headers...)
			if a.StatusCode != 200 || a.Header.Get("Content-Type") != tt.contentType || !bytes.HasPrefix(a.body, []byte(tt.want)) {
				t.Errorf("%d %s %.120q, want %s %q", a.StatusCode, a.Header.Get("Content-Type"), a.body, tt.contentType, tt.want)
			}
		})
	}
	t.Run("YAML in", func(t *testing.T) {
		a := do(t, admin, "POST", c.url+"/api/v1/namespaces/default/configmaps", []byte("metadata: {name: from-yaml}\ndata: {a: b}\n"), "Content-Type", "application/yaml")
		if a.StatusCode != 201 || !bytes.Contains(a.body, []byte(`"data":{"a":"b"}`)) {
			t.Errorf("%d %s", a.StatusCode, a.body)
		}
	})
	t.Run("warning", func(t *testing.T) {
		a := do(t, admin, "POST", c.url+"/api/v1/namespaces/default/configmaps", []byte(`{"metadata":{"name":"w"},"dada":{}}`))
		if got := a.Header.Get("Warning"); a.StatusCode != 201 || got != `299 - "unknown field \"dada\""` {
			t.Errorf("%d, warning %q", a.StatusCode, got)
		}
	})
	t.Run("a review has no table", func(t *testing.T) {
		body := []byte(`{"kind":"SelfSubjectAccessReview","apiVersion":"authorization.k8s.io/v1","spec":{"nonResourceAttributes":{"path":"/","verb":"get"}}}`)
		for accept, code := range map[string]int{"application/json;as=Table;v=v1;g=meta.k8s.io": 406, "application/json;as=Table;v=v1;g=meta.k8s.io,application/json": 201} {
			a := do(t, admin, "POST", c.url+"/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", body, "Accept", accept)
			if a.StatusCode != code {
				t.Errorf("Accept: %s: %d %s, want %d", accept, a.StatusCode, a.body, code)
			}
		}
	})
	t.Run("HEAD", func(t *testing.T) {
		if a := do(t, admin, "HEAD", path, nil); a.StatusCode != 200 || len(a.body) != 0 {
			t.Errorf("%d with %d bytes", a.StatusCode, len(a.body))
		}
	})
	t.Run("audit ID", func(t *testing.T) {
		if a := do(t, admin, "GET", path, nil, "Audit-Id", "mine"); a.Header.Get("Audit-Id") != "mine" {
			t.Errorf("the client's ID became %q", a.Header.Get("Audit-Id"))
		}
		if a := do(t, admin, "GET", path, nil); len(a.Header.Get("Audit-Id")) != 36 {
			t.Errorf("no ID was made: %q", a.Header.Get("Audit-Id"))
		}
	})
}

// TestTable is what kubectl get reads.
func TestTable(t *testing.T) {
	c := startCluster(t)
	c.account("default")
	admin := c.raw(&c.security.Admin)
	must(c.admin("").CoreV1().Pods("default").Create(t.Context(), pod("p"), metav1.CreateOptions{}))(t)
	accept := []string{"Accept", "application/json;as=Table;v=v1;g=meta.k8s.io"}
	read := func(data []byte) metav1.Table {
		t.Helper()
		var table metav1.Table
		if err := json.Unmarshal(data, &table); err != nil {
			t.Fatalf("%v: %s", err, data)
		}
		return table
	}
	table := read(do(t, admin, "GET", c.url+"/api/v1/namespaces/default/pods", nil, accept...).body)
	var columns []string
	for _, col := range table.ColumnDefinitions {
		columns = append(columns, col.Name)
	}
	if got := strings.Join(columns, " "); !strings.HasPrefix(got, "Name Ready Status Restarts Age") {
		t.Errorf("columns: %s", got)
	}
	if len(table.Rows) != 1 || table.Rows[0].Cells[0] != "p" || table.Rows[0].Cells[1] != "0/1" || table.Rows[0].Cells[2] != "Pending" {
		t.Errorf("rows: %+v", table.Rows)
	}
	for include, want := range map[string]string{"None": "null", "Metadata": `"kind":"PartialObjectMetadata"`, "Object": `"kind":"Pod"`, "": `"kind":"PartialObjectMetadata"`} {
		a := do(t, admin, "GET", c.url+"/api/v1/namespaces/default/pods?includeObject="+include, nil, accept...)
		if row := read(a.body).Rows[0]; !strings.Contains(string(row.Object.Raw), want) && !(want == "null" && row.Object.Raw == nil) {
			t.Errorf("includeObject=%s: %s", include, row.Object.Raw)
		}
	}
	lines := bytes.Split(bytes.TrimSpace(do(t, admin, "GET", c.url+"/api/v1/namespaces?watch=1&timeoutSeconds=1", nil, accept...).body), []byte("\n"))
	if len(lines) != 4 {
		t.Fatalf("watched %d events, want one per namespace", len(lines))
	}
	for i, line := range lines {
		var e struct {
			Type   string
			Object metav1.Table
		}
		if err := json.Unmarshal(line, &e); err != nil || e.Type != "ADDED" || len(e.Object.Rows) != 1 {
			t.Errorf("event %d: %v %s", i, err, line)
		}
		if hasColumns := len(e.Object.ColumnDefinitions) > 0; hasColumns != (i == 0) {
			t.Errorf("event %d: columns %v; only the first event has them", i, hasColumns)
		}
	}
}

// TestLargeListIsWhole: a list that is streamed is complete, and is not compressed for a client
// on this host, where bytes travel faster than they can be compressed.
func TestLargeListIsWhole(t *testing.T) {
	c := startCluster(t)
	set := c.admin("")
	for i := range 40 {
		must(set.CoreV1().ConfigMaps("default").Create(t.Context(), &corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("m%d", i)}, Data: map[string]string{"a": strings.Repeat("x", 20_000)}}, metav1.CreateOptions{}))(t)
	}
	a := do(t, c.raw(&c.security.Admin), "GET", c.url+"/api/v1/configmaps", nil, "Accept-Encoding", "gzip")
	var list corev1.ConfigMapList
	if err := json.Unmarshal(a.body, &list); err != nil || len(list.Items) != 40 || a.Header.Get("Content-Encoding") != "" {
		t.Errorf("%v, %d items, encoding %q", err, len(list.Items), a.Header.Get("Content-Encoding"))
	}
	if list.Kind != "ConfigMapList" || list.Items[7].Kind != "ConfigMap" {
		t.Errorf("kinds %q %q", list.Kind, list.Items[7].Kind)
	}
}
