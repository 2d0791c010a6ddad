package quota

import (
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/miniorch/miniorch/pkg/api"
)

var (
	now      = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	pods     = api.Resource{Version: "v1", Name: "pods", Kind: "Pod", Namespaced: true}
	services = api.Resource{Version: "v1", Name: "services", Kind: "Service", Namespaced: true}
	claims   = api.Resource{Version: "v1", Name: "persistentvolumeclaims", Kind: "PersistentVolumeClaim", Namespaced: true}
	devs     = api.Resource{Group: "resource.k8s.io", Version: "v1", Name: "resourceclaims", Kind: "ResourceClaim", Namespaced: true}
	sets     = api.Resource{Group: "apps", Version: "v1", Name: "replicasets", Kind: "ReplicaSet", Namespaced: true}
)

// amounts makes a list from pairs of name and value.
func amounts(pairs ...string) corev1.ResourceList {
	l := corev1.ResourceList{}
	for i := 0; i < len(pairs); i += 2 {
		l[corev1.ResourceName(pairs[i])] = resource.MustParse(pairs[i+1])
	}
	return l
}

func pod(edits ...func(*corev1.Pod)) *corev1.Pod {
	p := &corev1.Pod{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c"}}}}
	for _, e := range edits {
		e(p)
	}
	return p
}

func asks(pairs ...string) func(*corev1.Pod) {
	return func(p *corev1.Pod) { p.Spec.Containers[0].Resources.Requests = amounts(pairs...) }
}

func limits(pairs ...string) func(*corev1.Pod) {
	return func(p *corev1.Pod) { p.Spec.Containers[0].Resources.Limits = amounts(pairs...) }
}

func TestUsage(t *testing.T) {
	service := func(kind corev1.ServiceType, ports ...int32) *corev1.Service {
		s := &corev1.Service{Spec: corev1.ServiceSpec{Type: kind}}
		for _, p := range ports {
			s.Spec.Ports = append(s.Spec.Ports, corev1.ServicePort{NodePort: p})
		}
		return s
	}
	noPorts := service(corev1.ServiceTypeLoadBalancer, 0, 30000)
	noPorts.Spec.AllocateLoadBalancerNodePorts = ptr.To(false)
	for _, tc := range []struct {
		reason string
		r      api.Resource
		obj    api.Object
		want   string
	}{
		{"any object counts as one of its kind", sets, &appsv1.ReplicaSet{}, "count/replicasets.apps=1"},
		{"a pod counts what it asks for, under two names", pods, pod(asks("cpu", "500m", "memory", "252Mi"), limits("cpu", "1")),
			"count/pods=1,cpu=500m,limits.cpu=1,memory=252Mi,pods=1,requests.cpu=500m,requests.memory=252Mi"},
		{"storage of a node and what a vendor added", pods, pod(asks("ephemeral-storage", "1Gi", "example.com/dongle", "2")),
			"count/pods=1,ephemeral-storage=1Gi,pods=1,requests.ephemeral-storage=1Gi,requests.example.com/dongle=2"},
		{"a finished pod is only an object", pods, pod(asks("cpu", "1"), func(p *corev1.Pod) { p.Status.Phase = corev1.PodFailed }), "count/pods=1"},
		{"so is one that should be gone by now", pods, pod(asks("cpu", "1"), func(p *corev1.Pod) {
			p.DeletionTimestamp, p.DeletionGracePeriodSeconds = ptr.To(metav1.NewTime(now.Add(-time.Minute))), ptr.To(int64(30))
		}), "count/pods=1"},
		{"one that has time left counts", pods, pod(func(p *corev1.Pod) {
			p.DeletionTimestamp, p.DeletionGracePeriodSeconds = ptr.To(metav1.NewTime(now)), ptr.To(int64(30))
		}), "count/pods=1,pods=1"},
		{"an inner service", services, service(corev1.ServiceTypeClusterIP, 0), "count/services=1,services=1"},
		{"node ports count each", services, service(corev1.ServiceTypeNodePort, 0, 0), "count/services=1,services=1,services.nodeports=2"},
		{"a load balancer has node ports as well", services, service(corev1.ServiceTypeLoadBalancer, 0), "count/services=1,services=1,services.loadbalancers=1,services.nodeports=1"},
		{"unless it does without, but for those it names", services, noPorts, "count/services=1,services=1,services.loadbalancers=1,services.nodeports=1"},
		{"a claim counts by size and by class", claims, &corev1.PersistentVolumeClaim{Spec: corev1.PersistentVolumeClaimSpec{
			StorageClassName: ptr.To("gold"), Resources: corev1.VolumeResourceRequirements{Requests: amounts("storage", "5Gi")},
		}}, "count/persistentvolumeclaims=1,gold.storageclass.storage.k8s.io/persistentvolumeclaims=1,gold.storageclass.storage.k8s.io/requests.storage=5Gi,persistentvolumeclaims=1,requests.storage=5Gi"},
		{"devices by class, the most of alternatives", devs, &resourcev1.ResourceClaim{Spec: resourcev1.ResourceClaimSpec{Devices: resourcev1.DeviceClaim{Requests: []resourcev1.DeviceRequest{
			{Exactly: &resourcev1.ExactDeviceRequest{DeviceClassName: "gpu", AllocationMode: "ExactCount", Count: 2}},
			{FirstAvailable: []resourcev1.DeviceSubRequest{{DeviceClassName: "gpu", Count: 1}, {DeviceClassName: "gpu", Count: 3}}},
		}}}}, "count/resourceclaims.resource.k8s.io=1,gpu.deviceclass.resource.k8s.io/devices=5"},
	} {
		t.Run(tc.reason, func(t *testing.T) {
			if got := Text(Usage(tc.r, tc.obj, now)); got != tc.want {
				t.Errorf("Usage = %s\nwant    %s", got, tc.want)
			}
		})
	}
}

func TestMatches(t *testing.T) {
	scopes := func(s ...corev1.ResourceQuotaScope) corev1.ResourceQuotaSpec {
		return corev1.ResourceQuotaSpec{Scopes: s}
	}
	class := func(op corev1.ScopeSelectorOperator, values ...string) corev1.ResourceQuotaSpec {
		return corev1.ResourceQuotaSpec{ScopeSelector: &corev1.ScopeSelector{MatchExpressions: []corev1.ScopedResourceSelectorRequirement{{ScopeName: corev1.ResourceQuotaScopePriorityClass, Operator: op, Values: values}}}}
	}
	deadline := func(p *corev1.Pod) { p.Spec.ActiveDeadlineSeconds = ptr.To(int64(5)) }
	high := func(p *corev1.Pod) { p.Spec.PriorityClassName = "high" }
	abroad := func(p *corev1.Pod) {
		p.Spec.Affinity = &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{PreferredDuringSchedulingIgnoredDuringExecution: []corev1.WeightedPodAffinityTerm{{PodAffinityTerm: corev1.PodAffinityTerm{Namespaces: []string{"other"}}}}}}
	}
	for _, tc := range []struct {
		reason string
		spec   corev1.ResourceQuotaSpec
		obj    api.Object
		want   bool
	}{
		{"no scope tracks everything", scopes(), &corev1.Service{}, true},
		{"a pod scope tracks no services", scopes(corev1.ResourceQuotaScopeNotTerminating), &corev1.Service{}, false},
		{"a deadline makes a pod terminating", scopes(corev1.ResourceQuotaScopeTerminating), pod(deadline), true},
		{"without one it is not", scopes(corev1.ResourceQuotaScopeTerminating), pod(), false},
		{"the opposite", scopes(corev1.ResourceQuotaScopeNotTerminating), pod(), true},
		{"asking for nothing is best effort", scopes(corev1.ResourceQuotaScopeBestEffort), pod(), true},
		{"asking for something is not", scopes(corev1.ResourceQuotaScopeNotBestEffort), pod(asks("cpu", "1")), true},
		{"all scopes must hold", scopes(corev1.ResourceQuotaScopeBestEffort, corev1.ResourceQuotaScopeTerminating), pod(), false},
		{"a class among the values", class(corev1.ScopeSelectorOpIn, "low", "high"), pod(high), true},
		{"not among them", class(corev1.ScopeSelectorOpNotIn, "high"), pod(high), false},
		{"no class is not among them either", class(corev1.ScopeSelectorOpNotIn, "high"), pod(), true},
		{"any class", class(corev1.ScopeSelectorOpExists), pod(high), true},
		{"no class", class(corev1.ScopeSelectorOpDoesNotExist), pod(), true},
		{"affinity to pods elsewhere", scopes(corev1.ResourceQuotaScopeCrossNamespacePodAffinity), pod(abroad), true},
		{"none", scopes(corev1.ResourceQuotaScopeCrossNamespacePodAffinity), pod(), false},
		{"the class of a claim's volume", scopes(corev1.ResourceQuotaScopeVolumeAttributesClass), &corev1.PersistentVolumeClaim{Spec: corev1.PersistentVolumeClaimSpec{VolumeAttributesClassName: ptr.To("fast")}}, true},
	} {
		t.Run(tc.reason, func(t *testing.T) {
			if got := Matches(&tc.spec, tc.obj); got != tc.want {
				t.Errorf("Matches = %v, want %v", got, tc.want)
			}
		})
	}
}

func TestUnspecified(t *testing.T) {
	two := func(p *corev1.Pod) { p.Spec.InitContainers = []corev1.Container{{Name: "a"}} }
	whole := func(p *corev1.Pod) {
		p.Spec.Resources = &corev1.ResourceRequirements{Requests: amounts("cpu", "1", "memory", "1Gi")}
	}
	hard := amounts("cpu", "5", "requests.memory", "5Gi", "pods", "3")
	for _, tc := range []struct {
		reason string
		pod    *corev1.Pod
		want   string
	}{
		{"all is said", pod(asks("cpu", "1", "memory", "1Gi")), ""},
		{"one container says nothing of memory", pod(asks("cpu", "1")), "must specify requests.memory for: c"},
		{"two say nothing at all", pod(two), "must specify cpu for: a,c; requests.memory for: a,c"},
		{"the pod says it for all", pod(two, whole), ""},
	} {
		if got := Unspecified(hard, tc.pod); got != tc.want {
			t.Errorf("%s: %q, want %q", tc.reason, got, tc.want)
		}
	}
}

func TestConcerns(t *testing.T) {
	for _, tc := range []struct {
		name string
		r    api.Resource
		want bool
	}{
		{"count/pods", pods, true}, {"pods", pods, true}, {"limits.cpu", pods, true}, {"requests.example.com/dongle", pods, true},
		{"requests.storage", pods, false}, {"requests.storage", claims, true}, {"gold.storageclass.storage.k8s.io/requests.storage", claims, true},
		{"services.nodeports", services, true}, {"services", pods, false}, {"count/replicasets.apps", sets, true}, {"count/deployments.apps", sets, false},
		{"gpu.deviceclass.resource.k8s.io/devices", devs, true},
	} {
		if got := Concerns(amounts(tc.name, "1"), tc.r); got != tc.want {
			t.Errorf("%s concerns %s: %v, want %v", tc.name, tc.r, got, tc.want)
		}
	}
}

func TestArithmetic(t *testing.T) {
	a, b := amounts("cpu", "2", "pods", "1"), amounts("cpu", "500m")
	if got := Text(Subtract(Add(a, b), amounts("cpu", "1"))); got != "cpu=1500m,pods=1" {
		t.Errorf("2+0.5-1: %s", got)
	}
	if Text(a) != "cpu=2,pods=1" {
		t.Errorf("adding changed its operand: %s", Text(a))
	}
	if !Equal(amounts("cpu", "1000m"), amounts("cpu", "1")) || Equal(a, b) {
		t.Error("Equal compares values, not spelling, and names")
	}
	if got := Text(Zero(a)); got != "cpu=0,pods=0" {
		t.Errorf("Zero: %s", got)
	}
}
