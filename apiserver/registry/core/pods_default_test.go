package core

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/miniorch/miniorch/apiserver/registry/kindtest"
	"github.com/miniorch/miniorch/apiserver/registry/podspec"
)

func TestDefaultPod(t *testing.T) {
	pod := kindtest.From[corev1.Pod](t, kindtest.FullPod)
	podspec.DefaultPod(pod)
	s, web := &pod.Spec, &pod.Spec.Containers[0]
	for _, c := range []struct {
		name      string
		got, want any
	}{
		{"restartPolicy", s.RestartPolicy, corev1.RestartPolicyAlways},
		{"dnsPolicy", s.DNSPolicy, corev1.DNSClusterFirst},
		{"schedulerName", s.SchedulerName, "default-scheduler"},
		{"terminationGracePeriodSeconds", *s.TerminationGracePeriodSeconds, int64(30)},
		{"enableServiceLinks", *s.EnableServiceLinks, true},
		{"the old name of the service account", s.DeprecatedServiceAccount, "web"},
		{"no tag means latest, which may change", web.ImagePullPolicy, corev1.PullAlways},
		{"a tag is taken to stay", s.InitContainers[0].ImagePullPolicy, corev1.PullIfNotPresent},
		{"terminationMessagePath", web.TerminationMessagePath, "/dev/termination-log"},
		{"terminationMessagePolicy", web.TerminationMessagePolicy, corev1.TerminationMessageReadFile},
		{"port protocol", web.Ports[0].Protocol, corev1.ProtocolTCP},
		{"host port is left alone off the host network", web.Ports[0].HostPort, int32(8080)},
		{"fieldRef apiVersion", web.Env[1].ValueFrom.FieldRef.APIVersion, "v1"},
		{"request given", web.Resources.Requests.Cpu().String(), "100m"},
		{"request from limit", web.Resources.Requests.Memory().String(), "64Mi"},
		{"probe timeout", web.LivenessProbe.TimeoutSeconds, int32(1)},
		{"probe period", web.LivenessProbe.PeriodSeconds, int32(10)},
		{"probe success", web.LivenessProbe.SuccessThreshold, int32(1)},
		{"probe failure", web.LivenessProbe.FailureThreshold, int32(3)},
		{"probe path", web.LivenessProbe.HTTPGet.Path, "/"},
		{"probe scheme", web.LivenessProbe.HTTPGet.Scheme, corev1.URISchemeHTTP},
		{"handler path", web.Lifecycle.PostStart.HTTPGet.Path, "/"},
		{"grpc service", *web.ReadinessProbe.GRPC.Service, ""},
		{"sidecar probe", s.InitContainers[1].ReadinessProbe.PeriodSeconds, int32(10)},
		{"volume without a source", s.Volumes[0].EmptyDir != nil, true},
		{"configMap mode", *s.Volumes[1].ConfigMap.DefaultMode, int32(0o644)},
		{"projected mode", *s.Volumes[2].Projected.DefaultMode, int32(0o644)},
		{"token life", *s.Volumes[2].Projected.Sources[0].ServiceAccountToken.ExpirationSeconds, int64(3600)},
		{"downward apiVersion", s.Volumes[2].Projected.Sources[2].DownwardAPI.Items[0].FieldRef.APIVersion, "v1"},
		{"hostPath type", *s.Volumes[3].HostPath.Type, corev1.HostPathUnset},
		{"which nodes a spread counts", s.TopologySpreadConstraints[0].NodeAffinityPolicy == nil, true},
	} {
		if diff := cmp.Diff(c.want, c.got); diff != "" {
			t.Errorf("%s: %s", c.name, diff)
		}
	}
}

func TestDefaultPodLevelRequests(t *testing.T) {
	pod := kindtest.From[corev1.Pod](t, `
spec:
  resources: {limits: {cpu: 2, memory: 1Gi}}
  containers: [{name: a, image: a:1, resources: {requests: {cpu: 500m}}}]`)
	podspec.DefaultPod(pod)
	got := pod.Spec.Resources.Requests
	if got.Cpu().String() != "500m" || got.Memory().String() != "1Gi" {
		t.Errorf("the pod asks for %v, want what its containers ask for, else its limit", got)
	}
}
