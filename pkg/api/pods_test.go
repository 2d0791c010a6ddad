package api

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

func podFrom(t *testing.T, text string) *corev1.Pod {
	t.Helper()
	p := &corev1.Pod{}
	if err := yaml.UnmarshalStrict([]byte(text), p); err != nil {
		t.Fatalf("reading YAML: %v", err)
	}
	return p
}

func TestPodRequests(t *testing.T) {
	for _, c := range []struct{ name, spec, cpu, reason string }{
		{"none", "containers: [{name: a}]", "0", "who asks for nothing gets nothing"},
		{"sum", "containers: [{name: a, resources: {requests: {cpu: 1}}}, {name: b, resources: {requests: {cpu: 500m}}}]", "1500m", "containers run together"},
		{"init below", "initContainers: [{name: i, resources: {requests: {cpu: 1}}}], containers: [{name: a, resources: {requests: {cpu: 2}}}]", "2", "it runs before them"},
		{"init above", "initContainers: [{name: i, resources: {requests: {cpu: 3}}}, {name: j, resources: {requests: {cpu: 1}}}], containers: [{name: a, resources: {requests: {cpu: 2}}}]", "3", "the most at any moment"},
		{"sidecar", "initContainers: [{name: i, restartPolicy: Always, resources: {requests: {cpu: 1}}}], containers: [{name: a, resources: {requests: {cpu: 2}}}]", "3", "it runs on beside them"},
		{"init after sidecar", "initContainers: [{name: i, restartPolicy: Always, resources: {requests: {cpu: 1}}}, {name: j, resources: {requests: {cpu: 5}}}], containers: [{name: a, resources: {requests: {cpu: 2}}}]",
			"6", "the sidecar runs already"},
		{"init before sidecar", "initContainers: [{name: j, resources: {requests: {cpu: 5}}}, {name: i, restartPolicy: Always, resources: {requests: {cpu: 1}}}], containers: [{name: a, resources: {requests: {cpu: 2}}}]",
			"5", "the sidecar does not run yet"},
		{"overhead", "overhead: {cpu: 250m}, containers: [{name: a, resources: {requests: {cpu: 1}}}]", "1250m", "on top"},
		{"pod level", "resources: {requests: {cpu: 4}}, overhead: {cpu: 1}, containers: [{name: a, resources: {requests: {cpu: 1}}}]", "5", "the pod's own word counts"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := podFrom(t, "spec: {"+c.spec+"}")
			requests := PodRequests(p)
			if got := requests.Cpu().String(); got != c.cpu {
				t.Errorf("it asks for %s, want %s: %s", got, c.cpu, c.reason)
			}
		})
	}
	p := podFrom(t, "spec: {containers: [{name: a, resources: {requests: {cpu: 1}, limits: {cpu: 2}}}]}")
	limits := PodLimits(p)
	if got := limits.Cpu().String(); got != "2" {
		t.Errorf("its limit is %s", got)
	}
}

func TestPodQOS(t *testing.T) {
	for _, c := range []struct {
		name, spec string
		want       corev1.PodQOSClass
	}{
		{"nothing", "containers: [{name: a}]", corev1.PodQOSBestEffort},
		{"other resources do not count", "containers: [{name: a, resources: {requests: {example.com/gpu: 1}}}]", corev1.PodQOSBestEffort},
		{"some", "containers: [{name: a, resources: {requests: {cpu: 1}}}]", corev1.PodQOSBurstable},
		{"cpu alone", "containers: [{name: a, resources: {requests: {cpu: 1}, limits: {cpu: 1}}}]", corev1.PodQOSBurstable},
		{"all", "containers: [{name: a, resources: {requests: {cpu: 1, memory: 1Gi}, limits: {cpu: 1, memory: 1Gi}}}]", corev1.PodQOSGuaranteed},
		{"same amount in other words", "containers: [{name: a, resources: {requests: {cpu: 1000m, memory: 1024Mi}, limits: {cpu: 1, memory: 1Gi}}}]", corev1.PodQOSGuaranteed},
		{"limits only", "containers: [{name: a, resources: {limits: {cpu: 1, memory: 1Gi}}}]", corev1.PodQOSGuaranteed},
		{"one of two", "containers: [{name: a, resources: {requests: {cpu: 1, memory: 1Gi}, limits: {cpu: 1, memory: 1Gi}}}, {name: b}]", corev1.PodQOSBurstable},
		{"init container too", "initContainers: [{name: i}], containers: [{name: a, resources: {limits: {cpu: 1, memory: 1Gi}}}]", corev1.PodQOSBurstable},
		{"less than the limit", "containers: [{name: a, resources: {requests: {cpu: 1, memory: 1Mi}, limits: {cpu: 1, memory: 1Gi}}}]", corev1.PodQOSBurstable},
		{"zero asked for", "containers: [{name: a, resources: {requests: {cpu: 0}, limits: {cpu: 1, memory: 1Gi}}}]", corev1.PodQOSBurstable},
		{"of the pod", "resources: {limits: {cpu: 1, memory: 1Gi}}, containers: [{name: a}]", corev1.PodQOSGuaranteed},
	} {
		if got := PodQOS(podFrom(t, "spec: {"+c.spec+"}")); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

func TestIsPodAvailable(t *testing.T) {
	now := time.Unix(1000, 0)
	ready := func(since int) *corev1.Pod {
		return &corev1.Pod{Status: corev1.PodStatus{Conditions: []corev1.PodCondition{
			{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: metav1.Time{Time: now.Add(-time.Duration(since) * time.Second)}}}}}
	}
	for _, c := range []struct {
		name      string
		pod       *corev1.Pod
		min       int32
		available bool
		wait      time.Duration
	}{
		{"not ready", &corev1.Pod{}, 0, false, 0},
		{"at once", ready(0), 0, true, 0},
		{"too early", ready(4), 10, false, 6 * time.Second},
		{"just in time", ready(10), 10, true, 0},
		{"long since", ready(100), 10, true, 0},
	} {
		available, wait := IsPodAvailable(c.pod, c.min, now)
		if available != c.available || wait != c.wait {
			t.Errorf("%s: %t, wait %s; want %t, %s", c.name, available, wait, c.available, c.wait)
		}
	}
}

func TestPodStates(t *testing.T) {
	p := &corev1.Pod{Status: corev1.PodStatus{Phase: corev1.PodRunning}}
	if IsPodTerminal(p) || !IsPodActive(p) || IsPodReady(p) || IsMirrorPod(p) {
		t.Error("a running pod is active, and neither ended, ready nor a mirror")
	}
	p.DeletionTimestamp = &metav1.Time{}
	if IsPodActive(p) {
		t.Error("a pod being deleted is no replica")
	}
	p.Status.Phase = corev1.PodFailed
	if !IsPodTerminal(p) {
		t.Error("a failed pod has ended")
	}
}
