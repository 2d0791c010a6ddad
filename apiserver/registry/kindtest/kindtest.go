// Package kindtest helps the tests of the kinds: objects from YAML, wanted errors, rows as kubectl prints them.
package kindtest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/yaml"

	"github.com/miniorch/miniorch/apiserver/registry/kind"
	"github.com/miniorch/miniorch/pkg/api"
)

// From reads an object from YAML, refusing fields that the type does not have.
func From[T any](t testing.TB, text string) *T {
	t.Helper()
	obj := new(T)
	if err := yaml.UnmarshalStrict([]byte(text), obj); err != nil {
		t.Fatalf("reading YAML: %v\n%s", err, text)
	}
	return obj
}

// WantErrors compares field errors with the words that are wanted, in any order: each
// error must contain one of them, and each must be found once.
func WantErrors(t testing.TB, errs field.ErrorList, want ...string) {
	t.Helper()
	var got []string
	for _, err := range errs {
		got = append(got, err.Error())
	}
	left := slices.Clone(got)
	for _, w := range want {
		i := slices.IndexFunc(left, func(s string) bool { return strings.Contains(s, w) })
		if i < 0 {
			t.Errorf("no error says %q; there are:\n  %s", w, strings.Join(got, "\n  "))
			continue
		}
		left = slices.Delete(left, i, i+1)
	}
	if len(left) > 0 {
		t.Errorf("unwanted errors:\n  %s", strings.Join(left, "\n  "))
	}
}

// Row prints an object as `kubectl get` would, all columns or only the narrow ones.
func Row[T api.Object](columns []kind.Column[T], obj T, now time.Time, wide bool) string {
	var cells []string
	for _, c := range columns {
		if c.Priority == 0 || wide {
			cells = append(cells, fmt.Sprint(c.Value(obj, now)))
		}
	}
	return strings.Join(cells, " | ")
}

// FullPod uses much of what a pod can say. It is valid, and a seed of the fuzz test.
const FullPod = `
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

// Template is a pod template, as a field of a workload's spec.
const Template = "template: {metadata: {labels: {app: web}}, spec: {containers: [{name: web, image: demo:1}]}}"
