package apiserver_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// unchanged fails a test that has changed a ConfigMap.
func (c *cluster) unchanged(t *testing.T, refused func()) {
	t.Helper()
	versions := func() map[string]int64 {
		out := map[string]int64{}
		kvs, _, err := c.store.List(t.Context(), "/registry/core/configmaps/", 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, kv := range kvs {
			out[kv.Key] = kv.Revision
		}
		return out
	}
	before := versions()
	refused()
	if after := versions(); !maps.Equal(before, after) {
		t.Errorf("what was refused has left something behind: %v became %v", before, after)
	}
}

// TestListOptions: what cannot be meant is refused, by lists, watches and deletions of many alike
// (https://kubernetes.io/docs/reference/using-api/api-concepts/#semantics-for-get-and-list).
func TestListOptions(t *testing.T) {
	c := startCluster(t)
	admin := c.raw(&c.security.Admin)
	const place = "/api/v1/namespaces/default/configmaps"
	for i := range 3 {
		do(t, admin, "POST", c.url+place, fmt.Appendf(nil, `{"metadata":{"name":"m%d"}}`, i))
	}
	var page metav1.PartialObjectMetadataList
	if err := json.Unmarshal(do(t, admin, "GET", c.url+place+"?limit=1", nil).body, &page); err != nil || page.Continue == "" {
		t.Fatal(err, page)
	}
	more := "continue=" + page.Continue
	c.unchanged(t, func() {
		for _, tt := range []struct {
			query string
			code  int
			says  string
		}{
			{more + "&limit=1", 200, "m1"},
			{more + "&resourceVersion=0", 200, "m1"},
			{more + "&resourceVersion=1", 400, "specifying resource version is not allowed when using continue"},
			{more + "&resourceVersionMatch=Exact", 422, "resourceVersionMatch is forbidden"},
			{"continue=" + page.Continue[:len(page.Continue)-4], 400, "continue key is not valid"},
			{"continue=eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6LTcsInN0YXJ0IjoiYSJ9", 400, "continue key is not valid"},
			{"resourceVersionMatch=Exact", 422, "resourceVersionMatch is forbidden unless resourceVersion is provided"},
			{"resourceVersionMatch=Exact&resourceVersion=0", 422, `resourceVersionMatch "exact" is forbidden for resourceVersion "0"`},
			{"resourceVersionMatch=Sometimes&resourceVersion=1", 422, "supported values"},
			{"resourceVersion=-1", 400, "Invalid value"},
			{"resourceVersion=1&resourceVersionMatch=NotOlderThan", 200, "m0"},
			{"resourceVersion=99999999", 504, "Too large resource version"},
			{"sendInitialEvents=true", 422, "sendInitialEvents is forbidden"},
			{"watch=1&sendInitialEvents=true", 422, "sendInitialEvents requires setting resourceVersionMatch"},
			{"watch=1&sendInitialEvents=true&resourceVersionMatch=Exact", 422, "supported values"},
			{"watch=1&resourceVersionMatch=NotOlderThan", 422, "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"},
			{"timeoutSeconds=soon", 400, ""},
			{"labelSelector=a%20in%20(b", 400, "unable to parse requirement"},
			{"labelSelector=-a", 400, "unable to parse requirement"},
			{"labelSelector=a%3D%C3%A9", 400, "unable to parse requirement"},
			{"fieldSelector=metadata.name", 400, "invalid selector"},
			{"fieldSelector=metadata.name%20in%20(a)", 400, "invalid selector"},
			{"fieldSelector=metadata.labels%3Da", 400, "not a known field selector"},
		} {
			a := do(t, admin, "GET", c.url+place+"?"+tt.query, nil)
			if a.StatusCode != tt.code || !strings.Contains(string(a.body), tt.says) && !strings.Contains(a.text(t), tt.says) {
				t.Errorf("%s: %d %s, want %d with %q", tt.query, a.StatusCode, a.body, tt.code, tt.says)
			}
			if strings.Contains(tt.query, "watch=") || a.StatusCode == 200 || a.StatusCode == 504 {
				continue
			}
			if a := do(t, admin, "DELETE", c.url+place+"?"+tt.query, nil); a.StatusCode != tt.code {
				t.Errorf("deleting %s: %d %s, want %d", tt.query, a.StatusCode, a.body, tt.code)
			}
		}
	})
}

// text is the message of a refusal.
func (a answer) text(t testing.TB) string {
	if a.StatusCode < 400 {
		return ""
	}
	return a.status(t).Message
}

// TestBodies: what is too large, compressed, ambiguous or no text at all is refused or told of, in every form.
func TestBodies(t *testing.T) {
	c := startCluster(t)
	admin := c.raw(&c.security.Admin)
	const place = "/api/v1/namespaces/default/configmaps"
	do(t, admin, "POST", c.url+place, []byte(`{"metadata":{"name":"m","finalizers":["example.com/stay"]},"data":{"a":"b"}}`))
	var bomb bytes.Buffer
	zip := gzip.NewWriter(&bomb)
	_, _ = zip.Write(bytes.Repeat([]byte(" "), 50<<20))
	_ = zip.Close()
	const yaml, proto, merge, strategic, jsonPatch, apply = "application/yaml", "application/vnd.kubernetes.protobuf",
		"application/merge-patch+json", "application/strategic-merge-patch+json", "application/json-patch+json", "application/apply-patch+yaml"
	// Thousands of operations, each of which doubles what is there.
	doubling := `[{"op":"add","path":"/data/x0","value":"` + strings.Repeat("x", 1000) + `"}`
	for i := range 30 {
		doubling += fmt.Sprintf(`,{"op":"copy","from":"/data","path":"/data/x%d"}`, i+1)
	}
	for _, tt := range []struct {
		name, method, path, media, body string
		code                            int
		says                            string
	}{
		{"a compressed bomb", "POST", place, "", bomb.String(), 400, ""},
		{"NaN", "POST", place, "", `{"metadata":{"name":"n","generation":NaN}}`, 400, ""},
		{"a number that is too large", "POST", place, "", `{"metadata":{"name":"n","generation":1e400}}`, 400, ""},
		{"NaN in YAML", "POST", place, yaml, "metadata: {name: n1, generation: .nan}", 400, ""},
		{"invalid UTF-8 in a name", "POST", place, "", "{\"metadata\":{\"name\":\"a\xff\"}}", 422, "metadata.name"},
		{"invalid UTF-8 in a label", "POST", place, "", "{\"metadata\":{\"name\":\"n\",\"labels\":{\"a\":\"\xff\"}}}", 422, "metadata.labels"},
		{"invalid UTF-8 in YAML", "POST", place, yaml, "metadata: {name: \"a\xff\"}", 400, ""},
		{"invalid UTF-8 in a key", "POST", place, "", "{\"metadata\":{\"name\":\"n\"},\"data\":{\"\xff\":\"x\"}}", 422, "data"},
		{"a field twice", "POST", place + "?fieldValidation=Strict", "", `{"metadata":{"name":"n"},"data":{"a":"b"},"data":{"c":"d"}}`, 400, `duplicate field \"data\"`},
		{"a field twice, deeper", "POST", place + "?fieldValidation=Strict", "", `{"metadata":{"name":"n","name":"o"}}`, 400, `duplicate field \"metadata.name\"`},
		{"a field twice in YAML", "POST", place + "?fieldValidation=Strict", yaml, "metadata: {name: n1}\ndata: {a: b}\ndata: {c: d}\n", 400, "already set in map"},
		{"two documents in JSON", "POST", place, "", `{"metadata":{"name":"n"}}{"metadata":{"name":"o"}}`, 400, ""},
		{"a list", "POST", place, "", `{"kind":"ConfigMapList","apiVersion":"v1","items":[]}`, 400, "cannot be handled as a ConfigMap"},
		{"protobuf called JSON", "POST", place, "", "k8s\x00\x0a\x0f\x0a\x02v1\x12\x09ConfigMap", 400, ""},
		{"JSON called protobuf", "POST", place, proto, `{"metadata":{"name":"n"}}`, 400, ""},
		{"a huge field of protobuf", "POST", place, proto, "k8s\x00\x0a\x0f\x0a\x02v1\x12\x09ConfigMap\x12\xff\xff\xff\xff\x07", 400, ""},
		{"a name that is not the object's", "PUT", place + "/m", "", `{"metadata":{"name":"other"}}`, 400, "the name of the object (other) does not match the name on the URL (m)"},
		{"a namespace that is not the object's", "PUT", place + "/m", "", `{"metadata":{"name":"m","namespace":"kube-system"}}`, 400, "does not match the namespace"},
		{"a UID that is not the object's", "PUT", place + "/m", "", `{"metadata":{"name":"m","uid":"x"}}`, 409, "Precondition failed: UID in precondition: x"},
		{"a version that never was", "PUT", place + "/m", "", `{"metadata":{"name":"m","resourceVersion":"99999999"}}`, 409, "the object has been modified"},
		{"a version that is none", "PUT", place + "/m", "", `{"metadata":{"name":"m","resourceVersion":"soon"}}`, 409, "the object has been modified"},
		{"a version for what is new", "POST", place, "", `{"metadata":{"name":"n","resourceVersion":"5"}}`, 400, "resourceVersion should not be set"},
		{"a patch to another name", "PATCH", place + "/m", merge, `{"metadata":{"name":"n"}}`, 400, ""},
		{"a patch to another kind", "PATCH", place + "/m", merge, `{"kind":"Secret"}`, 422, "cannot be handled as a ConfigMap"},
		{"a patch of a stale version", "PATCH", place + "/m", merge, `{"metadata":{"resourceVersion":"1"}}`, 409, "the object has been modified"},
		{"a patch with a field twice", "PATCH", place + "/m?fieldValidation=Strict", merge, `{"data":{"a":"x"},"data":{"a":"y"}}`, 422, `duplicate field`},
		{"too many operations", "PATCH", place + "/m", jsonPatch, "[" + strings.Repeat(`{"op":"test","path":"/data/a","value":"b"},`, 10_000) + `{"op":"remove","path":"/data/a"}]`, 413, "The allowed maximum operations in a JSON patch is 10000, got 10001"},
		{"operations that double", "PATCH", place + "/m", jsonPatch, doubling + "]", 413, ""},
		{"an operation nobody knows", "PATCH", place + "/m", jsonPatch, `[{"op":"burn","path":"/data"}]`, 422, ""},
		{"a path that is not there", "PATCH", place + "/m", jsonPatch, `[{"op":"remove","path":"/data/none"}]`, 422, ""},
		{"a test that fails", "PATCH", place + "/m", jsonPatch, `[{"op":"test","path":"/data/a","value":"c"}]`, 422, ""},
		{"an index far away", "PATCH", place + "/m", jsonPatch, `[{"op":"add","path":"/metadata/finalizers/999999999","value":"example.com/x"}]`, 422, ""},
		{"a strategic patch of another type", "PATCH", place + "/m", strategic, `{"metadata":{"ownerReferences":"x"}}`, 422, ""},
		{"apply without a manager", "PATCH", place + "/m", apply, "apiVersion: v1\nkind: ConfigMap\n", 422, "fieldManager: Required value"},
		{"apply by a manager with too long a name", "PATCH", place + "/m?fieldManager=" + strings.Repeat("x", 129), apply, "apiVersion: v1\nkind: ConfigMap\n", 422, "fieldManager"},
		{"apply of another kind", "PATCH", place + "/m?fieldManager=x", apply, "apiVersion: v1\nkind: Secret\n", 400, ""},
		{"apply without a kind", "PATCH", place + "/m?fieldManager=x", apply, "data: {a: b}\n", 400, ""},
		{"apply of what others own", "PATCH", place + "/m?fieldManager=x", apply, "apiVersion: v1\nkind: ConfigMap\ndata: {a: c}\n", 409, "conflict with"},
		{"apply of managedFields", "PATCH", place + "/m?fieldManager=x", apply, "apiVersion: v1\nkind: ConfigMap\nmetadata: {managedFields: [{manager: z}]}\n", 400, "managedFields"},
		{"force without apply", "PATCH", place + "/m?force=true", merge, `{}`, 422, "force"},
		{"some dry run", "PATCH", place + "/m?dryRun=Some", merge, `{}`, 422, "dryRun"},
		{"two dry runs", "PUT", place + "/m?dryRun=All&dryRun=Some", "", `{"metadata":{"name":"m"}}`, 422, "dryRun"},
		{"deleting another version", "DELETE", place + "/m", "", `{"preconditions":{"resourceVersion":"1"}}`, 409, "ResourceVersion in precondition: 1"},
		{"deleting in two ways", "DELETE", place + "/m", "", `{"orphanDependents":true,"propagationPolicy":"Orphan"}`, 422, "cannot be both set"},
		{"deleting with a negative grace", "DELETE", "/api/v1/namespaces/default/configmaps/m?gracePeriodSeconds=soon", "", "", 400, ""},
		{"a media type with a twist", "POST", place, "application/json; charset=\"", `{"metadata":{"name":"n"}}`, 415, ""},
		{"a media type that is none", "POST", place, "json", `{"metadata":{"name":"n"}}`, 415, ""},
		{"a patch called YAML", "PATCH", place + "/m", yaml, "data: {}", 415, "application/apply-patch+yaml"},
		{"TRACE", "TRACE", place + "/m", "", "", 405, ""},
		{"OPTIONS", "OPTIONS", place, "", "", 405, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c.unchanged(t, func() {
				var headers []string
				if tt.media != "" {
					headers = []string{"Content-Type", tt.media}
				}
				if tt.name == "a compressed bomb" {
					headers = append(headers, "Content-Encoding", "gzip")
				}
				a := do(t, admin, tt.method, c.url+tt.path, []byte(tt.body), headers...)
				if s := a.status(t); a.StatusCode != tt.code || int(s.Code) != tt.code || s.Reason == "" || !strings.Contains(string(a.body), tt.says) && !strings.Contains(s.Message, tt.says) {
					t.Errorf("got %d %s, want %d with %q", a.StatusCode, a.body, tt.code, tt.says)
				}
			})
		})
	}
	t.Run("a body without end", func(t *testing.T) {
		req, err := http.NewRequestWithContext(t.Context(), "POST", c.url+place, io.LimitReader(endless{}, 100<<20))
		if err != nil {
			t.Fatal(err)
		}
		c.unchanged(t, func() {
			resp := must(admin.Do(req))(t)
			defer resp.Body.Close()
			if resp.StatusCode != http.StatusRequestEntityTooLarge {
				t.Error(resp.Status)
			}
		})
	})
}

// endless is a body of spaces.
type endless struct{}

// Read implements io.Reader.
func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

// TestProxiesLeadNowhereElse: no path behind a proxy leads upwards, and no name in front of one to somewhere else.
func TestProxiesLeadNowhereElse(t *testing.T) {
	c := startCluster(t)
	admin := c.raw(&c.security.Admin)
	const ns = "/api/v1/namespaces/default/"
	var paths []string
	for _, proxy := range []string{ns + "pods/p/proxy", ns + "services/s/proxy", "/api/v1/nodes/n/proxy"} {
		for _, behind := range []string{"/..", "/../x", "/a/../../x", "/%2e%2e/x", "/.%2e/x", "/a/%2e%2e%2fx", "/%2E%2E%2F%2E%2E/x", "/..%5cx", "/%5c..%5c..", "/./x", "/%2e/x", "/x%00", "/x%0d%0aHost:%20y", "/x%7f"} {
			paths = append(paths, proxy+behind)
		}
	}
	for _, front := range []string{
		"pods/..%2f..%2fnodes%2fn/proxy/x", "pods/%2e%2e/proxy/x", "services/a%2f..%2fb/proxy/x", "pods/a%5cb/proxy/x", "pods/a%2525b/proxy/x",
		"pods/a%2fb/log", "pods/%2e%2e/exec?command=x&stdout=1", "pods/a%2f..%2fb/attach?stdout=1", "pods/a%00/portforward",
	} {
		paths = append(paths, ns+front)
	}
	paths = append(paths, "/api/v1/namespaces/%2e%2e/pods/p/proxy/x", "/api/v1/namespaces/a%2fb/pods/p/log", "/api/v1/nodes/%2e%2e/proxy/x", "/api/v1/nodes/a%2fb/proxy/x")
	for _, path := range paths {
		for _, method := range []string{"GET", "POST"} {
			a := do(t, admin, method, c.url+path, nil)
			if s := a.status(t); a.StatusCode != 400 || s.Reason != metav1.StatusReasonBadRequest || !strings.Contains(s.Message, "malformed path") {
				t.Errorf("%s %s: %d %s", method, path, a.StatusCode, a.body)
			}
		}
	}
}

// TestWatchPaths: clients of long ago ask for a watch by the path (/watch/), and of nobody else's object
// (https://kubernetes.io/docs/reference/generated/kubernetes-api/v1.32/#watch-pod-v1-core).
func TestWatchPaths(t *testing.T) {
	c := startCluster(t)
	admin := c.raw(&c.security.Admin)
	configMaps := c.admin("").CoreV1().ConfigMaps("default")
	for _, name := range []string{"m", "n"} {
		must(configMaps.Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{}))(t)
	}
	for path, want := range map[string]string{
		"watch/configmaps":                       "m n",
		"watch/namespaces/default/configmaps":    "m n",
		"watch/namespaces/default/configmaps/m":  "m",
		"watch/namespaces/kube-public":           "kube-public",
		"watch/namespaces":                       "default kube-node-lease kube-public kube-system",
		"namespaces/default/configmaps?watch":    "m n",
		"namespaces/default/configmaps?watch=1":  "m n",
		"namespaces/default/configmaps?watch=so": "m n",
		"watch/namespaces/default/configmaps/no": "",
	} {
		sep := "?"
		if strings.Contains(path, "?") {
			sep = "&"
		}
		a := do(t, admin, "GET", c.url+"/api/v1/"+path+sep+"timeoutSeconds=1", nil)
		var names []string
		for line := range strings.Lines(string(a.body)) {
			var e struct {
				Type   string
				Object metav1.PartialObjectMetadata
			}
			if err := json.Unmarshal([]byte(line), &e); err != nil || e.Type != "ADDED" {
				t.Errorf("%s: %v %s", path, err, line)
			}
			names = append(names, e.Object.Name)
		}
		if got := strings.Join(names, " "); a.StatusCode != 200 || got != want {
			t.Errorf("%s: %d, watched %q, want %q", path, a.StatusCode, got, want)
		}
	}
	c.unchanged(t, func() {
		for _, tt := range []struct {
			method, path string
			code         int
		}{
			{"POST", "watch/namespaces/default/configmaps", 405},
			{"DELETE", "watch/namespaces/default/configmaps/m", 405},
			{"GET", "watch/namespaces/default/configmaps/m/status", 404},
			{"GET", "watch/gadgets", 404},
			{"GET", "watch/configmaps/m", 404},
			{"GET", "watch", 404},
		} {
			if a := do(t, admin, tt.method, c.url+"/api/v1/"+tt.path, []byte(`{}`)); a.StatusCode != tt.code || a.status(t).Reason == "" {
				t.Errorf("%s %s: %d %s, want %d", tt.method, tt.path, a.StatusCode, a.body, tt.code)
			}
		}
	})
	if a := do(t, admin, "GET", c.url+"/api/v1/namespaces/default/configmaps/m?watch=1", nil); !bytes.HasPrefix(a.body, []byte(`{"kind":"ConfigMap"`)) {
		t.Errorf("one object is not watched by a query: %d %s", a.StatusCode, a.body)
	}
}

// TestDeprecations: who uses a kind whose time is over is told so, whatever he does with it.
func TestDeprecations(t *testing.T) {
	c := startCluster(t)
	admin := c.raw(&c.security.Admin)
	const eps = "/api/v1/namespaces/default/endpoints"
	endpoints := `299 - "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice"`
	for _, tt := range []struct{ method, path, body, want string }{
		{"POST", eps, `{"metadata":{"name":"e"}}`, endpoints},
		{"GET", eps + "/e", "", endpoints},
		{"GET", eps + "/none", "", endpoints},
		{"GET", eps, "", endpoints},
		{"GET", "/api/v1/endpoints?watch=1&timeoutSeconds=1", "", endpoints},
		{"GET", "/api/v1/watch/endpoints?timeoutSeconds=1", "", endpoints},
		{"PUT", eps + "/e", `{"metadata":{"name":"e"}}`, endpoints},
		{"PATCH", eps + "/e", `{"metadata":{"labels":{"a":"b"}}}`, endpoints},
		{"DELETE", eps + "/e", "", endpoints},
		{"DELETE", eps + "?labelSelector=a%3Db", "", endpoints},
		{"GET", "/api/v1/componentstatuses", "", `299 - "v1 ComponentStatus is deprecated in v1.19+"`},
		{"GET", "/apis/discovery.k8s.io/v1/endpointslices", "", ""},
		{"GET", "/api/v1/pods", "", ""},
	} {
		a := do(t, admin, tt.method, c.url+tt.path, []byte(tt.body), "Content-Type", map[bool]string{true: "application/merge-patch+json", false: "application/json"}[tt.method == "PATCH"])
		if got := strings.Join(a.Header.Values("Warning"), "; "); got != tt.want {
			t.Errorf("%s %s: %d, warned %q, want %q", tt.method, tt.path, a.StatusCode, got, tt.want)
		}
	}
}
