package codec

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/miniorch/miniorch/pkg/api"
)

var (
	pods    = api.ResourceFor[*corev1.Pod]()
	widgets = api.Resource{Group: "example.com", Version: "v1", Name: "widgets", Kind: "Widget", Namespaced: true}
)

func pod() *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "a", Namespace: "n", UID: "u", ResourceVersion: "41", Labels: map[string]string{"x": "y"}},
		Spec:       corev1.PodSpec{NodeName: "node-1", Containers: []corev1.Container{{Name: "c", Image: "i"}}},
	}
}

func widget() *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "example.com/v1", "kind": "Widget",
		"metadata": map[string]any{"name": "w", "namespace": "n", "resourceVersion": "41"},
		"spec":     map[string]any{"count": int64(1) << 60, "on": true},
	}}
}

func TestRoundTrip(t *testing.T) {
	tests := []struct {
		name   string
		res    api.Resource
		obj    api.Object
		prefix string // of the stored value
	}{
		{"a built-in kind is a protobuf envelope", pods, pod(), "k8s\x00"},
		{"a kind without a Go type is JSON", widgets, widget(), "{"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := New(tt.res, nil)
			want := tt.obj.DeepCopyObject().(api.Object)
			value, err := c.Encode("k", tt.obj)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(string(value), tt.prefix) {
				t.Errorf("value begins %q, want %q", value[:4], tt.prefix)
			}
			if diff := cmp.Diff(want, tt.obj); diff != "" {
				t.Errorf("Encode changed the object:\n%s", diff)
			}
			got, err := c.Decode("k", value, 7)
			if err != nil {
				t.Fatal(err)
			}
			want.SetResourceVersion("7")
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("decoded differs:\n%s", diff)
			}
			got.SetResourceVersion("8")
			again, err := c.Encode("k", got)
			if err != nil || !bytes.Equal(value, again) {
				t.Errorf("the value depends on the resourceVersion (err %v)", err)
			}
		})
	}
}

// The library's own decoder is the judge of whether the envelope is Kubernetes'.
func TestEnvelopeIsKubernetes(t *testing.T) {
	value, err := New(pods, nil).Encode("k", pod())
	if err != nil {
		t.Fatal(err)
	}
	obj, gvk, err := api.Codecs.UniversalDeserializer().Decode(value, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if *gvk != pods.GVK() || obj.(*corev1.Pod).Spec.NodeName != "node-1" {
		t.Errorf("got %v %v", gvk, obj)
	}
}

func TestDecodeRefuses(t *testing.T) {
	node, err := New(api.ResourceFor[*corev1.Node](), nil).Encode("k", &corev1.Node{})
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := (&runtime.Unknown{TypeMeta: runtime.TypeMeta{APIVersion: "example.com/v1", Kind: "Widget"}}).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name  string
		res   api.Resource
		value []byte
	}{
		{"nothing", pods, nil},
		{"no format of ours", pods, []byte("hello")},
		{"an envelope cut short", pods, []byte("k8s\x00\x0a\xff")},
		{"another kind in protobuf", pods, node},
		{"another kind in JSON", pods, []byte(`{"apiVersion":"v1","kind":"Node"}`)},
		{"another kind of a custom resource", widgets, []byte(`{"apiVersion":"example.com/v1","kind":"Gadget"}`)},
		{"protobuf of a kind that has none", widgets, append([]byte("k8s\x00"), foreign...)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if obj, err := New(tt.res, nil).Decode("/the/key", tt.value, 1); err == nil {
				t.Errorf("decoded %v", obj)
			} else if !strings.Contains(err.Error(), "/the/key") {
				t.Errorf("the error does not name the key: %v", err)
			}
		})
	}
}

func TestJSONOfBuiltInKind(t *testing.T) {
	got, err := New(pods, nil).Decode("k", []byte(`{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a"}}`), 3)
	if err != nil {
		t.Fatal(err)
	}
	want := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "a", ResourceVersion: "3"}}
	if diff := cmp.Diff(api.Object(want), got); diff != "" {
		t.Error(diff)
	}
}

// keyed is a transformer that shows that key and value belong together.
type keyed struct{}

func (keyed) Seal(key string, plain []byte) ([]byte, error) {
	return append([]byte(key+":"), plain...), nil
}
func (keyed) Open(key string, stored []byte) ([]byte, error) {
	plain, ok := bytes.CutPrefix(stored, []byte(key+":"))
	if !ok {
		return nil, errors.New("not this key's")
	}
	return plain, nil
}

func TestTransformer(t *testing.T) {
	c := New(pods, keyed{})
	value, err := c.Encode("k", pod())
	if err != nil {
		t.Fatal(err)
	}
	if obj, err := c.Decode("k", value, 1); err != nil || obj.GetName() != "a" {
		t.Errorf("got %v, %v", obj, err)
	}
	if _, err := c.Decode("other", value, 1); err == nil {
		t.Error("a value was opened under another key")
	}
}

func FuzzDecode(f *testing.F) {
	for _, obj := range []api.Object{pod(), &corev1.Pod{}} {
		value, err := New(pods, nil).Encode("k", obj)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(value)
	}
	f.Add([]byte(`{"apiVersion":"example.com/v1","kind":"Widget","metadata":{"labels":null}}`))
	f.Add([]byte(`{"apiVersion":"v1","kind":"Pod","metadata":{"labels":{"a":"b"}}}`))
	codecs := []*Codec{New(pods, nil), New(widgets, nil)}
	f.Fuzz(func(t *testing.T, value []byte) {
		for _, c := range codecs {
			obj, err := c.Decode("k", value, 5)
			if err != nil {
				continue
			}
			stored, err := c.Encode("k", obj)
			if err != nil {
				t.Fatalf("decoded but not encodable: %v", err)
			}
			again, err := c.Decode("k", stored, 5)
			if err != nil {
				t.Fatalf("encoded but not decodable: %v", err)
			}
			twice, err := c.Encode("k", again)
			if err != nil || !bytes.Equal(stored, twice) {
				t.Fatalf("%q and %q are the same object (%v)", stored, twice, err)
			}
		}
	})
}
