package discovery

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"

	apidiscoveryv2 "k8s.io/api/apidiscovery/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/miniorch/miniorch/apiserver/registry"
	"github.com/miniorch/miniorch/apiserver/resource"
	"github.com/miniorch/miniorch/pkg/api"
)

func service(ds []resource.Descriptor) *Service {
	return New(func() []resource.Descriptor { return ds }, "10.0.0.1:6443")
}

func ask[T any](t *testing.T, serve http.HandlerFunc, accept string) (T, http.Header) {
	t.Helper()
	r := httptest.NewRequest("GET", "/", nil)
	if accept != "" {
		r.Header.Set("Accept", accept)
	}
	w := httptest.NewRecorder()
	serve(w, r)
	var v T
	if err := json.Unmarshal(w.Body.Bytes(), &v); err != nil || w.Code != 200 {
		t.Fatalf("%d %v: %s", w.Code, err, w.Body)
	}
	return v, w.Header()
}

// preferred is the Accept header of a current client-go.
const preferred = mediaJSON + inOne + ",application/json"

// TestBothFormsAgree: what plain discovery says in many answers, aggregated discovery says in two.
func TestBothFormsAgree(t *testing.T) {
	s := service(registry.All(registry.Config{}))
	plain := map[string]metav1.APIResource{}
	served := map[schema.GroupVersion]bool{}
	for _, d := range registry.All(registry.Config{}) {
		served[d.GVK().GroupVersion()] = true
	}
	for gv := range served {
		list, _ := ask[metav1.APIResourceList](t, func(w http.ResponseWriter, r *http.Request) {
			if !s.Resources(w, r, gv) {
				t.Errorf("%s is not served", gv)
			}
		}, "")
		if list.GroupVersion != gv.String() || list.Kind != "APIResourceList" {
			t.Errorf("%s: %+v", gv, list.TypeMeta)
		}
		for _, r := range list.APIResources {
			plain[gv.String()+"/"+r.Name] = r
		}
	}
	count := 0
	for _, serve := range []http.HandlerFunc{s.Root, s.Groups} {
		all, header := ask[apidiscoveryv2.APIGroupDiscoveryList](t, serve, preferred)
		if header.Get("Content-Type") != mediaJSON+inOne || header.Get("ETag") == "" {
			t.Errorf("headers: %v", header)
		}
		for _, g := range all.Items {
			for _, v := range g.Versions {
				gv := schema.GroupVersion{Group: g.Name, Version: v.Version}
				for _, r := range v.Resources {
					p := plain[gv.String()+"/"+r.Resource]
					if p.Kind != r.ResponseKind.Kind || p.Namespaced != (r.Scope == apidiscoveryv2.ScopeNamespace) || p.SingularName != r.SingularResource ||
						!slices.Equal(p.ShortNames, r.ShortNames) || !slices.Equal(p.Categories, r.Categories) || !slices.Equal(p.Verbs, r.Verbs) {
						t.Errorf("%s %s: %+v\nand %+v", gv, r.Resource, p, r)
					}
					count++
					for _, sub := range r.Subresources {
						p := plain[gv.String()+"/"+r.Resource+"/"+sub.Subresource]
						if p.Kind != sub.ResponseKind.Kind || !slices.Equal(p.Verbs, sub.Verbs) {
							t.Errorf("%s %s/%s: %+v\nand %+v", gv, r.Resource, sub.Subresource, p, sub)
						}
						count++
					}
				}
			}
		}
	}
	if count != len(plain) {
		t.Errorf("aggregated discovery has %d resources, plain has %d", count, len(plain))
	}
	if len(api.Resources()) > count {
		t.Errorf("only %d resources of a roster of %d are served", count, len(api.Resources()))
	}
}

func TestRoots(t *testing.T) {
	s := service(registry.All(registry.Config{}))
	versions, _ := ask[metav1.APIVersions](t, s.Root, "application/json")
	if !slices.Equal(versions.Versions, []string{"v1"}) {
		t.Errorf("/api: %v", versions.Versions)
	}
	list, _ := ask[metav1.APIGroupList](t, s.Groups, "application/json, "+mediaJSON+inOne)
	i := slices.IndexFunc(list.Groups, func(g metav1.APIGroup) bool { return g.Name == "apps" })
	if i < 0 || list.Groups[i].PreferredVersion.GroupVersion != "apps/v1" {
		t.Errorf("/apis: %+v", list)
	}
	if slices.ContainsFunc(list.Groups, func(g metav1.APIGroup) bool { return g.Name == "" }) {
		t.Error("the core group stands in /apis")
	}
}

// TestStorageVersionHash: the values are those that clusters have shown for years; of a view it is the
// stored kind's.
func TestStorageVersionHash(t *testing.T) {
	want := map[string]string{"pods": "xPOwRZ+Yhw8=", "events": "r2yiGXH7wu8=", "tokenreviews": "", "horizontalpodautoscalers": "qwQve8ut294="}
	for _, d := range registry.All(registry.Config{}) {
		if w, ok := want[d.Name]; ok && d.Group != "metrics.k8s.io" && storageVersionHash(d) != w {
			t.Errorf("%s: %q, want %q", d.GVR(), storageVersionHash(d), w)
		}
	}
}

// TestVersionOrder: clients take the first version as the preferred one.
func TestVersionOrder(t *testing.T) {
	d := func(v string) resource.Descriptor {
		return resource.Descriptor{Resource: api.Resource{Group: "lab.io", Version: v, Name: "gadgets", Kind: "Gadget"}}
	}
	gs := groups([]resource.Descriptor{d("v1alpha1"), d("v1"), d("v2beta1"), d("v2")})
	var got []string
	for _, v := range gs[0].versions {
		got = append(got, v.version)
	}
	if want := []string{"v2", "v1", "v2beta1", "v1alpha1"}; !slices.Equal(got, want) {
		t.Errorf("order %v, want %v", got, want)
	}
}

func TestETag(t *testing.T) {
	s := service(registry.All(registry.Config{}))
	_, header := ask[apidiscoveryv2.APIGroupDiscoveryList](t, s.Groups, preferred)
	r := httptest.NewRequest("GET", "/apis", nil)
	r.Header.Set("Accept", preferred)
	r.Header.Set("If-None-Match", header.Get("ETag"))
	w := httptest.NewRecorder()
	s.Groups(w, r)
	if w.Code != http.StatusNotModified || w.Body.Len() != 0 {
		t.Errorf("%d with %d bytes", w.Code, w.Body.Len())
	}
}

// TestIndex: the root names every path at which clients begin.
func TestIndex(t *testing.T) {
	s := service(registry.All(registry.Config{}))
	index, _ := ask[metav1.RootPaths](t, s.Index("/version"), "")
	for _, want := range []string{"/api", "/api/v1", "/apis", "/apis/apps", "/apis/apps/v1", "/apis/autoscaling/v1", "/apis/autoscaling/v2", "/version"} {
		if !slices.Contains(index.Paths, want) {
			t.Errorf("%s is missing in %v", want, index.Paths)
		}
	}
	if !slices.IsSorted(index.Paths) {
		t.Errorf("not in order: %v", index.Paths)
	}
}

// TestForms: every document is there in JSON, YAML and protobuf, as it is asked for.
func TestForms(t *testing.T) {
	s := service(registry.All(registry.Config{}))
	tests := []struct {
		name, accept string
		serve        http.HandlerFunc
		want         string // Content-Type
		into         interface{ Unmarshal([]byte) error }
	}{
		{"groups", mediaProtobuf, s.Groups, mediaProtobuf, &metav1.APIGroupList{}},
		{"versions", mediaProtobuf, s.Root, mediaProtobuf, &metav1.APIVersions{}},
		{"all in one", mediaProtobuf + inOne + "," + mediaJSON, s.Groups, mediaProtobuf + inOne, &apidiscoveryv2.APIGroupDiscoveryList{}},
		{"YAML", mediaYAML, s.Groups, mediaYAML, nil},
		{"all in one is not for YAML", mediaYAML + inOne + "," + mediaYAML, s.Groups, mediaYAML, nil},
		{"an old version is not there", mediaJSON + ";g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList," + mediaJSON, s.Groups, mediaJSON, nil},
		{"anything", "text/html, */*;q=0.8", s.Groups, mediaJSON, nil},
		{"the version has no protobuf form", mediaProtobuf, s.ServeVersion, mediaJSON, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := httptest.NewRequest("GET", "/", nil)
			r.Header.Set("Accept", tt.accept)
			w := httptest.NewRecorder()
			tt.serve(w, r)
			if got := w.Header().Get("Content-Type"); w.Code != 200 || got != tt.want {
				t.Fatalf("%d %s, want %s", w.Code, got, tt.want)
			}
			if tt.into == nil {
				return
			}
			var unknown runtime.Unknown
			body, ok := bytes.CutPrefix(w.Body.Bytes(), []byte("k8s\x00"))
			if !ok || unknown.Unmarshal(body) != nil || unknown.Kind == "" || tt.into.Unmarshal(unknown.Raw) != nil {
				t.Errorf("%.100q is not what it says", w.Body)
			}
		})
	}
}
