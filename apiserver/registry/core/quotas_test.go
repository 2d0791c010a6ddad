package core

import (
	"context"
	"errors"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/miniorch/miniorch/apiserver/registry/kindtest"
)

func TestResourceQuotas(t *testing.T) {
	for _, c := range []struct {
		name, spec, reason string
		want               []string
	}{
		{"good", "{hard: {pods: 10, requests.cpu: 1500m, limits.memory: 1Gi, count/deployments.apps: 3, example.com/gpu: 1, requests.hugepages-2Mi: 4Mi}}", "all sorts of resources", nil},
		{"nothing", "{}", "it bounds nothing", nil},
		{"names", "{hard: {elephants: 1, 'a b': 1}}", "what nobody counts", []string{"spec.hard[elephants]: Invalid value: \"elephants\": must be a standard resource for quota", "spec.hard[a b]: Invalid value"}},
		{"numbers", "{hard: {pods: 1500m, cpu: -1, count/a.b: 1500m}}", "half a pod is none", []string{"spec.hard[pods]: Invalid value: \"1500m\": must be an integer", "spec.hard[cpu]: Invalid value: \"-1\"", "spec.hard[count/a.b]: Invalid value"}},
		{"scopes", "{hard: {pods: 1}, scopes: [BestEffort, Terminating]}", "pods without requests that end", nil},
		{"scope of nothing", "{scopes: [Sunny]}", "no such scope", []string{"spec.scopes: Invalid value: [\"Sunny\"]: unsupported scope"}},
		{"opposites", "{hard: {pods: 1}, scopes: [BestEffort, NotBestEffort]}", "no pod is both", []string{"spec.scopes: Invalid value: [\"BestEffort\",\"NotBestEffort\"]: conflicting scopes"}},
		{"scope and resource", "{hard: {cpu: 1, services: 1}, scopes: [BestEffort]}", "such pods ask for no CPU", []string{"unsupported scope applied to resource", "unsupported scope applied to resource"}},
		{"selector", "{hard: {pods: 1}, scopeSelector: {matchExpressions: [{scopeName: PriorityClass, operator: In, values: [high]}, {scopeName: BestEffort, operator: Exists}]}}", "by class", nil},
		{"bad selector", "{hard: {pods: 1}, scopeSelector: {matchExpressions: [{scopeName: PriorityClass, operator: In}, {scopeName: BestEffort, operator: In, values: [a]}, {scopeName: PriorityClass, operator: Exists, values: [a]}, {scopeName: PriorityClass, operator: Near}]}}",
			"values go with In and NotIn",
			[]string{"matchExpressions[0].values: Required value", "matchExpressions[1].operator: Invalid value: \"In\": must be 'Exist'", "matchExpressions[2].values: Invalid value", "matchExpressions[3].operator: Invalid value: \"Near\": not a valid selector operator"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			kindtest.WantErrors(t, validateQuota(kindtest.From[corev1.ResourceQuota](t, "spec: "+c.spec)), c.want...)
		})
	}
	one, two := kindtest.From[corev1.ResourceQuota](t, "spec: {scopes: [BestEffort, Terminating]}"), kindtest.From[corev1.ResourceQuota](t, "spec: {scopes: [Terminating, BestEffort]}")
	kindtest.WantErrors(t, validateQuotaUpdate(one, two))
	kindtest.WantErrors(t, validateQuotaUpdate(one, &corev1.ResourceQuota{}), "spec.scopes: Invalid value: [\"BestEffort\",\"Terminating\"]: field is immutable")
	shown := kindtest.From[corev1.ResourceQuota](t, "status: {hard: {pods: 2, limits.cpu: 1}, used: {pods: 1}}")
	if got := printQuota(shown, false) + " | " + printQuota(shown, true); got != "pods: 1/2 | limits.cpu: 0/1" {
		t.Errorf("columns: %q", got)
	}
}

func TestLimitRanges(t *testing.T) {
	for _, c := range []struct {
		name, limits, reason string
		want                 []string
	}{
		{"good", "[{type: Container, max: {cpu: 2}, min: {cpu: 100m}, default: {cpu: 1}, defaultRequest: {cpu: 500m}, maxLimitRequestRatio: {cpu: 10}}, {type: Pod, max: {memory: 1Gi}}, {type: PersistentVolumeClaim, min: {storage: 1Gi}}, {type: example.com/x}]", "all types", nil},
		{"type", "[{type: 'a b'}, {type: Node}, {type: Pod}, {type: Pod}]", "what is limited, once", []string{"limits[0].type: Invalid value", "limits[1].type: Invalid value: \"Node\": must be a standard limit type or fully qualified", "limits[3].type: Duplicate value: \"Pod\""}},
		{"pod's defaults", "[{type: Pod, default: {cpu: 1}, defaultRequest: {cpu: 1}}]", "containers have defaults", []string{"default: Forbidden: may not be specified when `type` is 'Pod'", "defaultRequest: Forbidden"}},
		{"order", "[{type: Container, max: {cpu: 1}, min: {cpu: 2}}]", "nothing fits; the defaults follow the maximum",
			[]string{"min[cpu]: Invalid value: \"2\": min value 2 is greater than max value 1", "min value 2 is greater than default value 1", "min value 2 is greater than default request value 1"}},
		{"defaults", "[{type: Container, max: {cpu: 1}, default: {cpu: 2}, defaultRequest: {cpu: 3}}]", "defaults are within bounds",
			[]string{"default request value 3 is greater than max value 1", "default request value 3 is greater than default limit value 2", "default value 2 is greater than max value 1"}},
		{"ratio", "[{type: Container, maxLimitRequestRatio: {cpu: 500m}}, {type: Pod, min: {cpu: 1}, max: {cpu: 2}, maxLimitRequestRatio: {cpu: 3}}]", "limits are not below requests",
			[]string{"limits[0].maxLimitRequestRatio[cpu]: Invalid value: \"500m\": ratio 500m is less than 1", "ratio 3 is greater than max/min = 2.0"}},
		{"claims", "[{type: PersistentVolumeClaim}]", "of what?", []string{"limits[0]: Required value: either minimum or maximum storage value is required, but neither was provided"}},
		{"resources", "[{type: Container, max: {elephants: 1}}]", "what containers can ask for",
			[]string{"max[elephants]: Invalid value", "default[elephants]: Invalid value", "defaultRequest[elephants]: Invalid value"}},
		{"devices", "[{type: Container, default: {example.com/gpu: 2}, defaultRequest: {example.com/gpu: 1}}]", "devices are not shared", []string{"must equal to defaultRequest value 1 in example.com/gpu"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := kindtest.From[corev1.LimitRange](t, "spec: {limits: "+c.limits+"}")
			defaultLimitRange(l)
			kindtest.WantErrors(t, validateLimitRange(l), c.want...)
		})
	}
	l := kindtest.From[corev1.LimitRange](t, "spec: {limits: [{type: Container, max: {cpu: 2}, min: {memory: 1Mi}}, {type: Pod, max: {cpu: 1}}]}")
	defaultLimitRange(l)
	item := l.Spec.Limits[0]
	if cpu, request, memory := item.Default["cpu"], item.DefaultRequest["cpu"], item.DefaultRequest["memory"]; cpu.String() != "2" || request.String() != "2" || memory.String() != "1Mi" {
		t.Errorf("defaults: %+v", item)
	}
	if l.Spec.Limits[1].Default != nil {
		t.Errorf("a pod's defaults: %+v", l.Spec.Limits[1])
	}
}

func TestPodTemplateColumns(t *testing.T) {
	p := kindtest.From[corev1.PodTemplate](t, "{metadata: {name: t}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: i}, {name: d, image: j}]}}}")
	if got, want := kindtest.Row(podTemplateColumns(), p, time.Now(), true), "t | c,d | i,j | a=b"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestComponentStatuses(t *testing.T) {
	d := componentStatuses([]Component{
		{"good", func(context.Context) error { return nil }},
		{"bad", func(context.Context) error { return errors.New("is down") }},
	})
	all, err := d.Virtual.List(t.Context(), "")
	if err != nil || len(all) != 2 {
		t.Fatalf("%v, %v", all, err)
	}
	for i, want := range []string{"good | Healthy | ok | ", "bad | Unhealthy |  | is down"} {
		if got := kindtest.Row(componentColumns(), all[i].(*corev1.ComponentStatus), time.Now(), true); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if _, err := d.Virtual.Get(t.Context(), "", "none"); !apierrors.IsNotFound(err) {
		t.Errorf("a component that does not exist: %v", err)
	}
}
