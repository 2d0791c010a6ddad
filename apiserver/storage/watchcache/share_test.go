package watchcache

import (
	"encoding/json"
	"reflect"
	"testing"
	"unsafe"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// decoded is a pod as the cache decodes it.
func decoded(t testing.TB, pod *corev1.Pod) *corev1.Pod {
	t.Helper()
	v, err := podCodec.Encode("k", pod)
	if err != nil {
		t.Fatal(err)
	}
	obj, err := podCodec.Decode("k", v, 1)
	if err != nil {
		t.Fatal(err)
	}
	return obj.(*corev1.Pod)
}

// What shares is equal to what it was, whatever differs from what it is compared with, and
// the other is left alone.
func TestShareChangesNothing(t *testing.T) {
	for name, change := range map[string]func(*corev1.Pod){
		"nothing":       func(*corev1.Pod) {},
		"a text":        func(p *corev1.Pod) { p.Spec.NodeName = "elsewhere" },
		"a longer list": func(p *corev1.Pod) { p.Spec.Containers = append(p.Spec.Containers, corev1.Container{Name: "b"}) },
		"a shorter list": func(p *corev1.Pod) {
			p.Spec.Tolerations = p.Spec.Tolerations[:1]
			p.Status.Conditions = nil
		},
		"empty, not nil":   func(p *corev1.Pod) { p.Spec.Volumes, p.Labels = []corev1.Volume{}, map[string]string{} },
		"a label's value":  func(p *corev1.Pod) { p.Labels["app"] = "other" },
		"a label's name":   func(p *corev1.Pod) { delete(p.Labels, "app"); p.Labels["b"] = "web" },
		"a quantity":       func(p *corev1.Pod) { p.Spec.Containers[0].Resources.Requests["cpu"] = resource.MustParse("2") },
		"a pointer's end":  func(p *corev1.Pod) { p.OwnerReferences[0].Controller = new(true) },
		"a pointer to nil": func(p *corev1.Pod) { p.Spec.Volumes[0].EmptyDir = nil },
		"a time":           func(p *corev1.Pod) { p.CreationTimestamp.Time = p.CreationTimestamp.Add(1e9) },
		"bytes":            func(p *corev1.Pod) { p.ManagedFields[0].FieldsV1.SetRawBytes([]byte("{}")) },
	} {
		t.Run(name, func(t *testing.T) {
			like, obj := decoded(t, realPod(1)), decoded(t, realPod(1))
			change(obj)
			before, likeBefore := obj.DeepCopy(), like.DeepCopy()
			newSharer(obj).share(obj, like)
			if !reflect.DeepEqual(obj, before) {
				t.Errorf("the object changed")
			}
			if !reflect.DeepEqual(like, likeBefore) {
				t.Errorf("what it was compared with changed")
			}
		})
	}
}

// A replica has nothing of its own but what tells it from the others.
func TestReplicasShare(t *testing.T) {
	a, b := decoded(t, realPod(1)), decoded(t, realPod(2))
	newSharer(b).share(b, a)
	if a.Name == b.Name || a.Spec.NodeName == b.Spec.NodeName {
		t.Fatal("they have become the same")
	}
	if unsafe.SliceData(a.Spec.Containers) != unsafe.SliceData(b.Spec.Containers) {
		t.Error("they have containers of their own")
	}
	if reflect.ValueOf(a.Labels).UnsafePointer() != reflect.ValueOf(b.Labels).UnsafePointer() {
		t.Error("they have labels of their own")
	}
	b = decoded(t, realPod(2))
	b.Spec.Containers[0].Name = "other"
	newSharer(b).share(b, a)
	if reflect.ValueOf(a.Spec.Containers[0].Resources.Limits).UnsafePointer() != reflect.ValueOf(b.Spec.Containers[0].Resources.Limits).UnsafePointer() {
		t.Error("a container that differs shares nothing of what does not")
	}
}

// The cache's items share with what they were before, and with their neighbours.
func TestItemsShare(t *testing.T) {
	f := withMemory(t)
	labels := func(name string) unsafe.Pointer {
		it, _ := f.cache.Get(prefix + name)
		return reflect.ValueOf(it.Object.(*corev1.Pod).Spec.Containers).UnsafePointer()
	}
	write := func(name, node string) {
		pod := realPod(1)
		pod.Name, pod.Spec.NodeName = name, node
		v, err := podCodec.Encode(prefix+name, pod)
		if err != nil {
			t.Fatal(err)
		}
		f.waitFor(force(t, f.store, prefix+name, v))
	}
	write("a", "")
	first := labels("a")
	write("a", "n")
	write("b", "")
	if labels("a") != first || labels("b") != first {
		t.Error("equal containers are kept more than once")
	}
}

// What has no Go type of its own shares nothing and is copied whole.
func TestSharingUnstructured(t *testing.T) {
	obj := &unstructured.Unstructured{Object: map[string]any{"metadata": map[string]any{"name": "a"}, "spec": []any{"x"}}}
	copied := copyTop(obj)
	newSharer(obj).share(copied, obj)
	copied.SetResourceVersion("7")
	if obj.GetResourceVersion() != "" {
		t.Error("the original changed")
	}
}

// FuzzShare compares two pods of arbitrary JSON.
func FuzzShare(f *testing.F) {
	f.Add([]byte(`{"spec":{"containers":[{"name":"a"}]}}`), []byte(`{"spec":{"containers":[{"name":"a"},{"name":"b"}]}}`))
	f.Add([]byte(`{"metadata":{"labels":{"a":"b"}}}`), []byte(`{"metadata":{"labels":{}}}`))
	s := newSharer(&corev1.Pod{})
	f.Fuzz(func(t *testing.T, left, right []byte) {
		obj, like := &corev1.Pod{}, &corev1.Pod{}
		if json.Unmarshal(left, obj) != nil || json.Unmarshal(right, like) != nil {
			return
		}
		before, likeBefore := obj.DeepCopy(), like.DeepCopy()
		s.share(obj, like)
		if !reflect.DeepEqual(obj, before) || !reflect.DeepEqual(like, likeBefore) {
			t.Errorf("%s and %s changed", left, right)
		}
	})
}

func BenchmarkShare(b *testing.B) {
	like, s := decoded(b, realPod(1)), newSharer(&corev1.Pod{})
	pods := make([]*corev1.Pod, 10_000)
	v, _ := podCodec.Encode("k", realPod(2))
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if i%len(pods) == 0 {
			b.StopTimer()
			for j := range pods {
				obj, _ := podCodec.Decode("k", v, 1)
				pods[j] = obj.(*corev1.Pod)
			}
			b.StartTimer()
		}
		s.share(pods[i%len(pods)], like)
	}
}

func BenchmarkDecode(b *testing.B) {
	v, _ := podCodec.Encode("k", realPod(2))
	b.ReportAllocs()
	for b.Loop() {
		podCodec.Decode("k", v, 1)
	}
}
