package registry

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
)

// fullPod uses much of what a pod can say. It is valid, and a seed of the fuzz test.
const fullPod = `
metadata: {name: full, namespace: default, labels: {app: full}}
spec:
  initContainers:
  - {name: setup, image: busybox:1.36}
  - {name: proxy, image: busybox:1.36, restartPolicy: Always, readinessProbe: {tcpSocket: {port: 80}}}
  containers:
  - name: web
    image: miniorch/demo
    ports: [{name: http, containerPort: 80, hostPort: 8080}]
    env:
    - {name: A, value: b}
    - {name: IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}}
    - {name: APP, valueFrom: {fieldRef: {fieldPath: "metadata.labels['app']"}}}
    - {name: CPU, valueFrom: {resourceFieldRef: {resource: limits.cpu, divisor: 1m}}}
    - {name: KEY, valueFrom: {secretKeyRef: {name: s, key: k}}}
    envFrom: [{prefix: C_, configMapRef: {name: c}}]
    resources: {limits: {cpu: 500m, memory: 64Mi}, requests: {cpu: 100m}}
    volumeMounts:
    - {name: tmp, mountPath: /tmp, subPath: a/b}
    - {name: token, mountPath: /var/run/secrets}
    livenessProbe: {httpGet: {port: http}}
    startupProbe: {exec: {command: ["true"]}}
    readinessProbe: {grpc: {port: 80}}
    lifecycle: {preStop: {sleep: {seconds: 5}}, postStart: {httpGet: {port: 80}}}
    securityContext: {runAsUser: 1000, allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
  volumes:
  - {name: tmp}
  - {name: cm, configMap: {name: c, items: [{key: a, path: dir/a}]}}
  - name: token
    projected:
      sources:
      - serviceAccountToken: {path: token}
      - configMap: {name: kube-root-ca.crt, items: [{key: ca.crt, path: ca.crt}]}
      - downwardAPI: {items: [{path: namespace, fieldRef: {fieldPath: metadata.namespace}}]}
  - {name: host, hostPath: {path: /etc}}
  serviceAccountName: web
  nodeSelector: {kubernetes.io/os: linux}
  tolerations:
  - {key: node.kubernetes.io/not-ready, operator: Exists, effect: NoExecute, tolerationSeconds: 300}
  - {operator: Exists}
  affinity:
    nodeAffinity:
      requiredDuringSchedulingIgnoredDuringExecution:
        nodeSelectorTerms: [{matchExpressions: [{key: zone, operator: In, values: [a, b]}]}]
      preferredDuringSchedulingIgnoredDuringExecution:
      - {weight: 1, preference: {matchFields: [{key: metadata.name, operator: In, values: [n1]}]}}
  topologySpreadConstraints:
  - {maxSkew: 1, topologyKey: kubernetes.io/hostname, whenUnsatisfiable: DoNotSchedule, labelSelector: {matchLabels: {app: full}}}
  hostAliases: [{ip: 10.0.0.1, hostnames: [db]}]
  dnsConfig: {nameservers: [10.0.0.2], searches: [a.b.], options: [{name: ndots, value: "2"}]}
  securityContext: {fsGroup: 2000, sysctls: [{name: net.ipv4.tcp_syncookies, value: "1"}]}
`

func TestDefaultPod(t *testing.T) {
	pod := from[corev1.Pod](t, fullPod)
	defaultPod(pod)
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
		{"spread affinity", *s.TopologySpreadConstraints[0].NodeAffinityPolicy, corev1.NodeInclusionPolicyHonor},
		{"spread taints", *s.TopologySpreadConstraints[0].NodeTaintsPolicy, corev1.NodeInclusionPolicyIgnore},
	} {
		if diff := cmp.Diff(c.want, c.got); diff != "" {
			t.Errorf("%s: %s", c.name, diff)
		}
	}
}

func TestDefaultPullPolicy(t *testing.T) {
	for _, c := range []struct {
		image string
		want  corev1.PullPolicy
	}{
		{"demo", corev1.PullAlways},
		{"demo:latest", corev1.PullAlways},
		{"demo:v1", corev1.PullIfNotPresent},
		{"localhost:5000/demo", corev1.PullAlways},
		{"localhost:5000/demo:v1", corev1.PullIfNotPresent},
		{"demo@sha256:0123", corev1.PullIfNotPresent},
		{"demo:latest@sha256:0123", corev1.PullAlways},
		{"", corev1.PullAlways},
	} {
		if got := defaultPullPolicy(c.image); got != c.want {
			t.Errorf("%q is pulled %s, want %s", c.image, got, c.want)
		}
	}
}

func TestDefaultHostNetworkPorts(t *testing.T) {
	const text = "spec: {hostNetwork: true, containers: [{name: a, image: a:1, ports: [{containerPort: 80}]}]}"
	pod := from[corev1.Pod](t, text)
	defaultPod(pod)
	if got := pod.Spec.Containers[0].Ports[0].HostPort; got != 80 {
		t.Errorf("a pod on the host network has host port %d, want 80", got)
	}
	template := from[corev1.PodTemplateSpec](t, text)
	defaultPodSpec(&template.Spec)
	if got := template.Spec.Containers[0].Ports[0].HostPort; got != 0 {
		t.Errorf("a template got host port %d: it stays as its author wrote it", got)
	}
}

func TestDefaultPodLevelRequests(t *testing.T) {
	pod := from[corev1.Pod](t, `
spec:
  resources: {limits: {cpu: 2, memory: 1Gi}}
  containers: [{name: a, image: a:1, resources: {requests: {cpu: 500m}}}]`)
	defaultPod(pod)
	got := pod.Spec.Resources.Requests
	if got.Cpu().String() != "500m" || got.Memory().String() != "1Gi" {
		t.Errorf("the pod asks for %v, want what its containers ask for, else its limit", got)
	}
}
