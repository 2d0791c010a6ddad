package managedfields

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/miniorch/miniorch/pkg/api"
)

func benchPod() *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "p", Namespace: "n", Labels: map[string]string{"app": "web", "pod-template-hash": "x"},
			OwnerReferences: []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "rs", UID: "0b1c"}}},
		Spec: corev1.PodSpec{
			RestartPolicy: corev1.RestartPolicyAlways, DNSPolicy: corev1.DNSClusterFirst, SchedulerName: "default-scheduler",
			SecurityContext: &corev1.PodSecurityContext{},
			Containers: []corev1.Container{{
				Name: "c", Image: "i", ImagePullPolicy: corev1.PullAlways, TerminationMessagePath: "/dev/termination-log", TerminationMessagePolicy: "File",
				Ports:     []corev1.ContainerPort{{ContainerPort: 80, Protocol: "TCP"}},
				Env:       []corev1.EnvVar{{Name: "A", Value: "1"}, {Name: "B", Value: "2"}},
				Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{"cpu": resource.MustParse("100m")}},
			}},
		},
	}
}

// running returns the pod as its kubelet reports it.
func running(p *corev1.Pod, restarts int32) *corev1.Pod {
	p = p.DeepCopy()
	p.Status = corev1.PodStatus{Phase: corev1.PodRunning, PodIP: "10.244.0.7", PodIPs: []corev1.PodIP{{IP: "10.244.0.7"}}, HostIP: "10.89.0.2",
		Conditions: []corev1.PodCondition{{Type: "Initialized", Status: "True", LastTransitionTime: at(1)}, {Type: "Ready", Status: "True", LastTransitionTime: at(2)}},
		ContainerStatuses: []corev1.ContainerStatus{{Name: "c", Ready: true, Image: "i", RestartCount: restarts,
			State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: at(3)}}}}}
	return p
}

// BenchmarkTrack compares what tracking costs with what the library would take.
func BenchmarkTrack(b *testing.B) {
	kind := Kind{GroupVersionKind: corev1.SchemeGroupVersion.WithKind("Pod"), New: func() api.Object { return &corev1.Pod{} }, Ignore: []string{"status"}}
	status := kind
	status.Subresource, status.Ignore = "status", []string{"spec"}
	main, door := New(kind), New(status)
	must := func(err error) {
		if err != nil {
			b.Fatal(err)
		}
	}
	run := func(name string, do func() error) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				must(do())
			}
		})
	}
	pod := benchPod()
	run("create", func() error { pod.ManagedFields = nil; return main.Created(pod, "m", at(0)) })
	run("create by the library", func() error { pod.ManagedFields = nil; return main.byLibrary(&corev1.Pod{}, pod, "m", at(0)) })
	pod.UID = "u"
	first := running(pod, 0)
	must(door.Updated(pod, first, "kubelet", at(1)))
	again := running(first, 1)
	again.Spec = first.Spec
	run("status", func() error {
		again.ManagedFields = first.ManagedFields
		return door.Updated(first, again, "kubelet", at(2))
	})
	run("status by the library", func() error {
		again.ManagedFields = first.ManagedFields
		return door.byLibrary(first, again, "kubelet", at(2))
	})
}
