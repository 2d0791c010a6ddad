package alike

import (
	"encoding/json"
	"reflect"
	"testing"
	"unsafe"

	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// replica is a pod as it is decoded from the store: all of its memory is its own.
func replica(t testing.TB, name string) *corev1.Pod {
	t.Helper()
	list := corev1.ResourceList{"cpu": resource.MustParse("100m"), "memory": resource.MustParse("64Mi")}
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: name, Labels: map[string]string{"app": "web"}, CreationTimestamp: metav1.Unix(1_000_000, 0),
			OwnerReferences: []metav1.OwnerReference{{Name: "web", Controller: new(bool)}},
			ManagedFields:   []metav1.ManagedFieldsEntry{{Manager: "m", FieldsV1: metav1.NewFieldsV1(`{"f:spec":{}}`)}},
		},
		Spec: corev1.PodSpec{
			Volumes:     []corev1.Volume{{Name: "v", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}}},
			Tolerations: []corev1.Toleration{{Key: "a"}, {Key: "b"}},
			Containers: []corev1.Container{{
				Name: "web", Image: "image", Env: []corev1.EnvVar{{Name: "A", Value: "some value"}},
				Resources: corev1.ResourceRequirements{Requests: list, Limits: list},
			}},
		},
		Status: corev1.PodStatus{Conditions: []corev1.PodCondition{{Type: "Ready", Status: "True"}}},
	}
	data, err := pod.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	pod = &corev1.Pod{}
	if err := pod.Unmarshal(data); err != nil {
		t.Fatal(err)
	}
	return pod
}

var changes = map[string]func(*corev1.Pod){
	"nothing":       func(*corev1.Pod) {},
	"a text":        func(p *corev1.Pod) { p.Spec.NodeName = "elsewhere" },
	"a longer list": func(p *corev1.Pod) { p.Spec.Containers = append(p.Spec.Containers, corev1.Container{Name: "b"}) },
	"a shorter list": func(p *corev1.Pod) {
		p.Spec.Tolerations = p.Spec.Tolerations[:1]
		p.Status.Conditions = nil
	},
	"another order":     func(p *corev1.Pod) { t := p.Spec.Tolerations; t[0], t[1] = t[1], t[0] },
	"empty, not nil":    func(p *corev1.Pod) { p.Finalizers, p.Annotations = []string{}, map[string]string{} },
	"nothing left":      func(p *corev1.Pod) { p.Spec.Volumes, p.Labels = nil, nil },
	"a label's value":   func(p *corev1.Pod) { p.Labels["app"] = "other" },
	"a label's name":    func(p *corev1.Pod) { delete(p.Labels, "app"); p.Labels["b"] = "web" },
	"a quantity":        func(p *corev1.Pod) { p.Spec.Containers[0].Resources.Requests["cpu"] = resource.MustParse("2") },
	"a quantity's form": func(p *corev1.Pod) { p.Spec.Containers[0].Resources.Requests["cpu"] = resource.MustParse("0.1") },
	"a pointer's end":   func(p *corev1.Pod) { p.OwnerReferences[0].Controller = new(true) },
	"no pointer":        func(p *corev1.Pod) { p.Spec.Volumes[0].EmptyDir = nil },
	"a time":            func(p *corev1.Pod) { p.CreationTimestamp.Time = p.CreationTimestamp.Add(1e9) },
	"a time's zone":     func(p *corev1.Pod) { p.CreationTimestamp.Time = p.CreationTimestamp.UTC() },
	"bytes":             func(p *corev1.Pod) { p.ManagedFields[0].FieldsV1.SetRawBytes([]byte("{}")) },
}

// What shares is equal to what it was, whatever differs, and the other is left alone.
func TestShareChangesNothing(t *testing.T) {
	for name, change := range changes {
		t.Run(name, func(t *testing.T) {
			like, obj := replica(t, "a"), replica(t, "a")
			change(obj)
			before, likeBefore := obj.DeepCopy(), like.DeepCopy()
			Share(obj, like)
			if !reflect.DeepEqual(obj, before) {
				t.Errorf("the object changed")
			}
			if !reflect.DeepEqual(like, likeBefore) {
				t.Errorf("what it was compared with changed")
			}
		})
	}
}

func TestEqual(t *testing.T) {
	for name, change := range changes {
		t.Run(name, func(t *testing.T) {
			a, b := replica(t, "a"), replica(t, "a")
			change(b)
			want := apiequality.Semantic.DeepEqual(a, b)
			if Equal(a, b) != want || Equal(b, a) != want {
				t.Errorf("want %t", want)
			}
		})
	}
}

// A replica has nothing of its own but what tells it from the others.
func TestReplicasShare(t *testing.T) {
	a, b := replica(t, "a"), replica(t, "b")
	Share(b, a)
	if a.Name == b.Name {
		t.Fatal("they have become the same")
	}
	if unsafe.SliceData(a.Spec.Containers) != unsafe.SliceData(b.Spec.Containers) {
		t.Error("they have containers of their own")
	}
	if reflect.ValueOf(a.Labels).UnsafePointer() != reflect.ValueOf(b.Labels).UnsafePointer() {
		t.Error("they have labels of their own")
	}
	b = replica(t, "b")
	b.Spec.Containers[0].Name = "other"
	Share(b, a)
	if reflect.ValueOf(a.Spec.Containers[0].Resources.Limits).UnsafePointer() != reflect.ValueOf(b.Spec.Containers[0].Resources.Limits).UnsafePointer() {
		t.Error("a container that differs shares nothing of what does not")
	}
}

// What has no Go type of its own shares nothing and is copied whole.
func TestUnstructured(t *testing.T) {
	obj := &unstructured.Unstructured{Object: map[string]any{"metadata": map[string]any{"name": "a"}, "spec": []any{"x"}}}
	copied := CopyTop(obj)
	Share(copied, obj)
	copied.SetResourceVersion("7")
	if obj.GetResourceVersion() != "" {
		t.Error("the original changed")
	}
}

func FuzzPods(f *testing.F) {
	f.Add([]byte(`{"spec":{"containers":[{"name":"a"}]}}`), []byte(`{"spec":{"containers":[{"name":"a"},{"name":"b"}]}}`))
	f.Add([]byte(`{"metadata":{"labels":{"a":"b"}}}`), []byte(`{"metadata":{"labels":{}}}`))
	f.Add([]byte(`{"spec":{"overhead":{"cpu":"1"}}}`), []byte(`{"spec":{"overhead":{"cpu":"1000m"}}}`))
	f.Fuzz(func(t *testing.T, left, right []byte) {
		obj, like := &corev1.Pod{}, &corev1.Pod{}
		if json.Unmarshal(left, obj) != nil || json.Unmarshal(right, like) != nil {
			return
		}
		if got, want := Equal(obj, like), apiequality.Semantic.DeepEqual(obj, like); got != want {
			t.Errorf("%s and %s: equal %t", left, right, got)
		}
		before, likeBefore := obj.DeepCopy(), like.DeepCopy()
		Share(obj, like)
		if !reflect.DeepEqual(obj, before) || !reflect.DeepEqual(like, likeBefore) {
			t.Errorf("%s and %s changed", left, right)
		}
	})
}

// BenchmarkEqual compares two versions with nothing in common in memory.
func BenchmarkEqual(b *testing.B) {
	x, y := replica(b, "a"), replica(b, "a")
	b.Run("alike", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if !Equal(x, y) {
				b.Fatal("they are equal")
			}
		}
	})
	b.Run("semantic", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if !apiequality.Semantic.DeepEqual(x, y) {
				b.Fatal("they are equal")
			}
		}
	})
}
