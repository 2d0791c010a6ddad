package handlers

import (
	"bytes"
	"io"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/google/go-cmp/cmp"
	"github.com/miniorch/miniorch/apiserver/resource"
	"github.com/miniorch/miniorch/apiserver/rest"
	"github.com/miniorch/miniorch/apiserver/storage/watchcache"
	"github.com/miniorch/miniorch/pkg/api"
)

func configMap() *corev1.ConfigMap {
	return &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "m", ResourceVersion: "7", Labels: map[string]string{"a": "b"}},
		Data:       map[string]string{"k": "v"},
	}
}

// TestEnvelope: what is put together by hand is what apimachinery's serializer would have written.
func TestEnvelope(t *testing.T) {
	obj := configMap()
	message, err := protobufOf(obj)
	if err != nil {
		t.Fatal(err)
	}
	gvk, err := kindOf(obj)
	if err != nil {
		t.Fatal(err)
	}
	data := append(envelope(gvk, len(message)), message...)
	decoded, kind, err := protobuf.NewSerializer(api.Scheme, api.Scheme).Decode(data, nil, nil)
	if err != nil || *kind != gvk {
		t.Fatal(kind, err)
	}
	obj.TypeMeta = metav1.TypeMeta{} // as it was in the message
	decoded.GetObjectKind().SetGroupVersionKind(obj.GroupVersionKind())
	if diff := cmp.Diff(obj, decoded); diff != "" {
		t.Error(diff)
	}
}

// TestEncodingLeavesSharedObjectsAlone: cached objects are read by many at once.
func TestEncodingLeavesSharedObjectsAlone(t *testing.T) {
	obj := configMap()
	before := obj.DeepCopy()
	for _, encode := range []func(runtime.Object) ([]byte, error){jsonOf, protobufOf} {
		if _, err := encode(obj); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := jsonOf(partial(obj)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, obj); diff != "" {
		t.Error(diff)
	}
}

// TestEncodeOnce: the bytes of an item are made once for all who read it.
func TestEncodeOnce(t *testing.T) {
	it := watchcache.NewItem("k", configMap(), 7)
	for name, encode := range map[string]encodeFunc{"JSON": itemJSON, "protobuf": itemProtobuf, "metadata": metadataJSON, "metadata, protobuf": metadataProtobuf} {
		a, err := encode(it)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := encode(it)
		if &a[0] != &b[0] {
			t.Errorf("%s was encoded twice", name)
		}
	}
}

func TestProtobufFrame(t *testing.T) {
	message, err := protobufOf(configMap())
	if err != nil {
		t.Fatal(err)
	}
	gvk := corev1.SchemeGroupVersion.WithKind("ConfigMap")
	two := appendProtobufFrame(appendProtobufFrame(nil, watch.Added, gvk, message), watch.Deleted, gvk, message)
	reader := protobuf.LengthDelimitedFramer.NewFrameReader(io.NopCloser(bytes.NewReader(two)))
	for _, want := range []watch.EventType{watch.Added, watch.Deleted} {
		buf := make([]byte, 64<<10)
		n, err := reader.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		var event metav1.WatchEvent
		if err := event.Unmarshal(buf[:n]); err != nil || event.Type != string(want) {
			t.Fatalf("%v %+v", err, event)
		}
		obj, _, err := protobuf.NewSerializer(api.Scheme, api.Scheme).Decode(event.Object.Raw, nil, nil)
		if err != nil || obj.(*corev1.ConfigMap).Data["k"] != "v" {
			t.Fatal(obj, err)
		}
	}
}

func TestHeaderSize(t *testing.T) {
	for _, size := range []int{0, 1, 127, 128, 16383, 16384, 1 << 21, 1 << 28, 1 << 35} {
		if got, want := headerSize(size), len(appendHeader(nil, tag1, size)); got != want {
			t.Errorf("%d: %d, want %d", size, got, want)
		}
	}
}

// TestFramesAllocateLittle: a watch of encoded items copies bytes and makes nothing.
func TestFramesAllocateLittle(t *testing.T) {
	it := watchcache.NewItem("k", configMap(), 7)
	desc := &resource.Descriptor{Resource: api.ResourceFor[*corev1.ConfigMap]()}
	for media, limit := range map[string]float64{mediaJSON: 3, mediaProtobuf: 12} {
		fr := &frames{h: &Handler{}, t: &served{desc: desc}, f: format{media: media}}
		event := rest.Event{Type: watch.Modified, Item: it}
		if got := testing.AllocsPerRun(100, func() {
			if _, err := fr.frame(event); err != nil {
				t.Fatal(err)
			}
		}); got > limit {
			t.Errorf("%s: %v allocations per event", media, got)
		}
	}
}
