package autoscaling

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"

	"github.com/miniorch/miniorch/apiserver/registry/kindtest"
)

const reference = "scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}"

// every uses every kind of metric and both directions of behaviour.
const every = `
metadata: {name: web, annotations: {note: kept}}
spec:
  ` + reference + `
  minReplicas: 2
  maxReplicas: 10
  metrics:
  - {type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 60}}}
  - {type: Resource, resource: {name: memory, target: {type: AverageValue, averageValue: 100Mi}}}
  - {type: ContainerResource, containerResource: {name: cpu, container: app, target: {type: Utilization, averageUtilization: 50}}}
  - {type: Pods, pods: {metric: {name: requests, selector: {matchLabels: {verb: GET}}}, target: {type: AverageValue, averageValue: "100"}}}
  - {type: Object, object: {describedObject: {kind: Service, name: web}, metric: {name: hits}, target: {type: Value, value: 2k}}}
  - {type: External, external: {metric: {name: queue}, target: {type: AverageValue, averageValue: "30"}}}
  behavior:
    scaleUp: {stabilizationWindowSeconds: 0, selectPolicy: Min, policies: [{type: Pods, value: 1, periodSeconds: 60}]}
    scaleDown: {stabilizationWindowSeconds: 60, selectPolicy: Max, tolerance: "0.05", policies: [{type: Percent, value: 10, periodSeconds: 60}]}
status:
  currentReplicas: 3
  desiredReplicas: 4
  conditions: [{type: AbleToScale, status: "True", reason: Ready, message: fine}]
  currentMetrics:
  - {type: Resource, resource: {name: cpu, current: {averageUtilization: 55, averageValue: 110m}}}
  - {type: Object, object: {describedObject: {kind: Service, name: web}, metric: {name: hits}, current: {value: 1k}}}
`

func TestOlderVersionLosesNothingOfTheSpec(t *testing.T) {
	stored := kindtest.From[autoscalingv2.HorizontalPodAutoscaler](t, every)
	view, err := viewed(stored)
	if err != nil {
		t.Fatal(err)
	}
	if cpu := view.Spec.TargetCPUUtilizationPercentage; cpu == nil || *cpu != 60 {
		t.Errorf("target CPU %v, want 60", cpu)
	}
	if cpu := view.Status.CurrentCPUUtilizationPercentage; cpu == nil || *cpu != 55 {
		t.Errorf("current CPU %v, want 55", cpu)
	}
	back, err := newer(view)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(stored.Spec, back.Spec); diff != "" {
		t.Errorf("the spec has changed on its way to v1 and back:\n%s", diff)
	}
	if diff := cmp.Diff(stored.ObjectMeta, back.ObjectMeta); diff != "" {
		t.Errorf("the metadata has changed:\n%s", diff)
	}
	if diff := cmp.Diff(stored.Status.Conditions, back.Status.Conditions); diff != "" {
		t.Errorf("the conditions have changed:\n%s", diff)
	}
}

func TestOlderVersionByItself(t *testing.T) {
	for _, tc := range []struct{ name, reason, text, want string }{
		{"nothing said", "80 % of CPU is the default", "spec: {" + reference + ", maxReplicas: 5}", "cpu: <unknown>/80%"},
		{"a field", "it is the CPU metric", "spec: {" + reference + ", maxReplicas: 5, targetCPUUtilizationPercentage: 40}", "cpu: <unknown>/40%"},
		{"an annotation", "replaces the default", `{metadata: {annotations: {autoscaling.alpha.kubernetes.io/metrics: '[{"type":"Pods","pods":{"metricName":"rps","targetAverageValue":"5"}}]'}}, spec: {` + reference + `, maxReplicas: 5}}`, "<unknown>/5"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a, err := newer(kindtest.From[autoscalingv1.HorizontalPodAutoscaler](t, tc.text))
			if err != nil {
				t.Fatal(err)
			}
			if got := targets(a); got != tc.want {
				t.Errorf("%s: targets %q, want %q", tc.reason, got, tc.want)
			}
		})
	}
	broken := kindtest.From[autoscalingv1.HorizontalPodAutoscaler](t, "{metadata: {annotations: {autoscaling.alpha.kubernetes.io/metrics: 'x'}}}")
	kindtest.WantErrors(t, validateOlder(broken), "metadata.annotations: Invalid value")
}

func TestOlderVersionCannotWriteStatusByAnnotation(t *testing.T) {
	old, err := viewed(kindtest.From[autoscalingv2.HorizontalPodAutoscaler](t, every))
	if err != nil {
		t.Fatal(err)
	}
	a := old.DeepCopy()
	a.Annotations[conditionsKey] = "[]"
	delete(a.Annotations, currentMetricsKey)
	prepareOlderUpdate(a, old)
	if diff := cmp.Diff(old, a); diff != "" {
		t.Errorf("the main endpoint changed the status:\n%s", diff)
	}
}

func TestDefaults(t *testing.T) {
	a := kindtest.From[autoscalingv2.HorizontalPodAutoscaler](t, "spec: {"+reference+", maxReplicas: 3, behavior: {scaleDown: {policies: [{type: Pods, value: 1, periodSeconds: 60}]}}}")
	setDefaults(a)
	want := kindtest.From[autoscalingv2.HorizontalPodAutoscaler](t, `
spec:
  `+reference+`
  minReplicas: 1
  maxReplicas: 3
  metrics: [{type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 80}}}]
  behavior:
    scaleUp: {stabilizationWindowSeconds: 0, selectPolicy: Max, policies: [{type: Pods, value: 4, periodSeconds: 15}, {type: Percent, value: 100, periodSeconds: 15}]}
    scaleDown: {selectPolicy: Max, policies: [{type: Pods, value: 1, periodSeconds: 60}]}
`)
	if diff := cmp.Diff(want, a); diff != "" {
		t.Error(diff)
	}
}

func TestValidate(t *testing.T) {
	kindtest.WantErrors(t, validate(kindtest.From[autoscalingv2.HorizontalPodAutoscaler](t, every)))
	for _, c := range []struct {
		name, spec string
		want       []string
	}{
		{"bounds", reference + ", minReplicas: 5, maxReplicas: 3", []string{"spec.maxReplicas: Invalid value: 3: must be greater than or equal to `minReplicas`"}},
		{"none", reference + ", minReplicas: 0, maxReplicas: 0", []string{"spec.minReplicas: Invalid value: 0", "spec.maxReplicas: Invalid value: 0: must be greater than 0"}},
		{"nobody", "maxReplicas: 1", []string{"spec.scaleTargetRef.kind: Required value", "spec.scaleTargetRef.name: Required value"}},
		{"a path", "maxReplicas: 1, scaleTargetRef: {kind: A, name: a/b}", []string{"spec.scaleTargetRef.name: Invalid value: \"a/b\""}},
		{"no such metric", reference + ", maxReplicas: 1, metrics: [{type: Luck}]", []string{"spec.metrics[0].type: Unsupported value"}},
		{"the wrong source", reference + ", maxReplicas: 1, metrics: [{type: Pods, resource: {name: cpu, target: {type: Value}}}]",
			[]string{"spec.metrics[0].pods: Required value", "spec.metrics[0].resource: Forbidden"}},
		{"two targets", reference + ", maxReplicas: 1, metrics: [{type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 5, averageValue: 5}}}]",
			[]string{"spec.metrics[0].resource.target.averageValue: Forbidden"}},
		{"no target", reference + ", maxReplicas: 1, metrics: [{type: External, external: {metric: {name: q}, target: {type: Value}}}]",
			[]string{"spec.metrics[0].external.target.averageValue: Required value"}},
		{"nothing wanted", reference + ", maxReplicas: 1, metrics: [{type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 0}}}]",
			[]string{"averageUtilization: Invalid value: 0: must be greater than 0"}},
		{"no container", reference + ", maxReplicas: 1, metrics: [{type: ContainerResource, containerResource: {name: cpu, target: {type: Utilization, averageUtilization: 1}}}]",
			[]string{"spec.metrics[0].containerResource.container: Required value"}},
		{"behaviour", reference + ", maxReplicas: 1, behavior: {scaleUp: {stabilizationWindowSeconds: 3601, selectPolicy: Most, policies: [{type: Pods, value: 0, periodSeconds: 1801}]}, scaleDown: {tolerance: '-1'}}",
			[]string{"scaleUp.stabilizationWindowSeconds: Invalid value: 3601", "scaleUp.selectPolicy: Unsupported value", "policies[0].value: Invalid value: 0",
				"policies[0].periodSeconds: Invalid value: 1801", "scaleDown.policies: Required value", "scaleDown.tolerance: Invalid value: \"-1\""}},
	} {
		t.Run(c.name, func(t *testing.T) {
			kindtest.WantErrors(t, validate(kindtest.From[autoscalingv2.HorizontalPodAutoscaler](t, "spec: {"+c.spec+"}")), c.want...)
		})
	}
}

func TestColumns(t *testing.T) {
	a := kindtest.From[autoscalingv2.HorizontalPodAutoscaler](t, every)
	got := kindtest.Row(columns(func(a autoscaler) autoscaler { return a }), a, time.Now(), false)
	if want := "web | Deployment/web | cpu: 55%/60%, memory: <unknown>/100Mi + 4 more... | 2 | 10 | 3 | <unknown>"; got != want {
		t.Errorf("row %q\nwant %q", got, want)
	}
}
