package apps

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/miniorch/miniorch/apiserver/registry/kindtest"
	"github.com/miniorch/miniorch/apiserver/resource"
)

func deployment(t testing.TB, spec string) *appsv1.Deployment {
	t.Helper()
	d := kindtest.From[appsv1.Deployment](t, "metadata: {name: web, namespace: default}\nspec: {"+spec+"}")
	defaultDeployment(d)
	return d
}

func TestDefaultDeployment(t *testing.T) {
	d := deployment(t, "selector: {matchLabels: {app: web}}, "+kindtest.Template)
	want := kindtest.From[appsv1.DeploymentSpec](t, "{replicas: 1, revisionHistoryLimit: 10, progressDeadlineSeconds: 600, strategy: {type: RollingUpdate, rollingUpdate: {maxSurge: 25%, maxUnavailable: 25%}}}")
	want.Selector, want.Template = d.Spec.Selector, d.Spec.Template
	if diff := cmp.Diff(*want, d.Spec); diff != "" {
		t.Error(diff)
	}
	if d.Labels != nil {
		t.Errorf("labels became %v: apps/v1 does not default them", d.Labels)
	}
	if p := d.Spec.Template.Spec.RestartPolicy; p != corev1.RestartPolicyAlways {
		t.Errorf("the template's restart policy is %q", p)
	}
	if r := deployment(t, "strategy: {type: Recreate}").Spec.Strategy.RollingUpdate; r != nil {
		t.Errorf("Recreate got rolling parameters %v", r)
	}
}

func TestValidateDeployment(t *testing.T) {
	const good = "selector: {matchLabels: {app: web}}, " + kindtest.Template
	for _, c := range []struct {
		name, spec, reason string
		want               []string
	}{
		{"good", good, "the usual", nil},
		{"no selector", kindtest.Template, "which pods are its own?", []string{"spec.selector: Required value"}},
		{"empty selector", "selector: {}, " + kindtest.Template, "all of them is too many", []string{"empty selector is invalid for deployment"}},
		{"foreign selector", "selector: {matchLabels: {app: other}}, " + kindtest.Template, "it would make pods for ever",
			[]string{"spec.template.metadata.labels: Invalid value: {\"app\":\"web\"}: `selector` does not match template `labels`"}},
		{"replicas", "replicas: -1, " + good, "not negative", []string{"spec.replicas: Invalid value: -1: must be greater than or equal to 0"}},
		{"stuck", "strategy: {rollingUpdate: {maxSurge: 0, maxUnavailable: 0}}, " + good, "neither up nor down",
			[]string{"spec.strategy.rollingUpdate.maxUnavailable: Invalid value: \"0\": may not be 0 when `maxSurge` is 0"}},
		{"stuck by percent", "strategy: {rollingUpdate: {maxSurge: 0%, maxUnavailable: 0}}, " + good, "the same in other words",
			[]string{"may not be 0 when `maxSurge` is 0"}},
		{"percent", "strategy: {rollingUpdate: {maxSurge: five, maxUnavailable: 101%}}, " + good, "a number or a percentage",
			[]string{"maxSurge: Invalid value: \"five\": must be an integer or percentage", "must not be greater than 100%"}},
		{"recreate", "strategy: {type: Recreate, rollingUpdate: {}}, " + good, "it does not roll",
			[]string{"spec.strategy.rollingUpdate: Forbidden: may not be specified when strategy `type` is 'Recreate'"}},
		{"strategy", "strategy: {type: Canary}, " + good, "two are known", []string{`spec.strategy.type: Unsupported value: "Canary": supported values: "Recreate", "RollingUpdate"`}},
		{"deadline", "progressDeadlineSeconds: 5, minReadySeconds: 10, " + good, "a pod needs time to become available",
			[]string{"spec.progressDeadlineSeconds: Invalid value: 5: must be greater than minReadySeconds"}},
		{"template", "selector: {matchLabels: {app: web}}, template: {metadata: {labels: {app: web}}, spec: {restartPolicy: Never, activeDeadlineSeconds: 5, containers: []}}",
			"its pods run for ever", []string{"spec.template.spec.restartPolicy: Unsupported value: \"Never\": supported values: \"Always\"",
				"spec.template.spec.activeDeadlineSeconds: Forbidden", "spec.template.spec.containers: Required value"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Log(c.reason)
			kindtest.WantErrors(t, validateDeployment(deployment(t, c.spec)), c.want...)
		})
	}
}

func TestDeploymentStrategy(t *testing.T) {
	old := deployment(t, "selector: {matchLabels: {app: web}}, "+kindtest.Template)
	old.Status.Replicas = 3
	prepareDeploymentCreate(old)
	if old.Generation != 1 || old.Status.Replicas != 0 {
		t.Errorf("a new deployment is at generation %d with status %v", old.Generation, old.Status)
	}
	old.Status.ObservedGeneration = 1
	for _, c := range []struct {
		name, reason string
		change       func(*appsv1.Deployment)
		generation   int64
	}{
		{"nothing", "nothing to see", func(*appsv1.Deployment) {}, 1},
		{"status", "not through this door", func(d *appsv1.Deployment) { d.Status.Replicas = 9 }, 1},
		{"labels", "nobody acts on them", func(d *appsv1.Deployment) { d.Labels = map[string]string{"a": "b"} }, 1},
		{"annotations", "they go to the ReplicaSets", func(d *appsv1.Deployment) { d.Annotations = map[string]string{"a": "b"} }, 2},
		{"replicas", "the spec", func(d *appsv1.Deployment) { d.Spec.Replicas = ptr.To[int32](5) }, 2},
	} {
		d := old.DeepCopy()
		c.change(d)
		prepareDeploymentUpdate(d, old)
		if d.Generation != c.generation || d.Status.Replicas != 0 || d.Status.ObservedGeneration != 1 {
			t.Errorf("%s (%s): generation %d, status %v", c.name, c.reason, d.Generation, d.Status)
		}
	}
	d := old.DeepCopy()
	d.Spec.Selector.MatchLabels["more"] = "x"
	kindtest.WantErrors(t, validateDeploymentUpdate(d, old), "spec.selector: Invalid value")
}

func TestStatusOfWorkloads(t *testing.T) {
	d, old := deployment(t, ""), deployment(t, "")
	old.Status.CollisionCount = ptr.To[int32](2)
	d.Status = appsv1.DeploymentStatus{Replicas: 1, ReadyReplicas: 2, AvailableReplicas: -1, CollisionCount: ptr.To[int32](1)}
	kindtest.WantErrors(t, validateDeploymentStatus(d, old), "status.readyReplicas: Invalid value: 2: cannot be greater than status.replicas",
		"status.availableReplicas: Invalid value: -1", "status.collisionCount: Invalid value: 1: cannot be decremented")
	rs := &appsv1.ReplicaSet{Status: appsv1.ReplicaSetStatus{Replicas: 1, ReadyReplicas: 1, AvailableReplicas: 2}}
	kindtest.WantErrors(t, validateReplicaSetStatus(rs, rs), "cannot be greater than status.replicas", "cannot be greater than readyReplicas")
}

func TestScale(t *testing.T) {
	var scale resource.Subresource
	for _, s := range replicaSets().Subresources {
		if s.Name == "scale" {
			scale = s
		}
	}
	rs := &appsv1.ReplicaSet{ObjectMeta: metav1.ObjectMeta{Name: "a", Namespace: "b", ResourceVersion: "7"},
		Spec:   appsv1.ReplicaSetSpec{Replicas: ptr.To[int32](2), Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"x": "y"}}},
		Status: appsv1.ReplicaSetStatus{Replicas: 1}}
	body, err := scale.Project(rs)
	if err != nil {
		t.Fatal(err)
	}
	got := body.(*autoscalingv1.Scale)
	want := &autoscalingv1.Scale{
		TypeMeta:   metav1.TypeMeta{Kind: "Scale", APIVersion: "autoscaling/v1"},
		ObjectMeta: metav1.ObjectMeta{Name: "a", Namespace: "b", ResourceVersion: "7"},
		Spec:       autoscalingv1.ScaleSpec{Replicas: 2},
		Status:     autoscalingv1.ScaleStatus{Replicas: 1, Selector: "x=y"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	got.Spec.Replicas = 5
	if err := scale.Inject(rs, got); err != nil || *rs.Spec.Replicas != 5 {
		t.Errorf("scaling to 5 made %d (%v)", *rs.Spec.Replicas, err)
	}
	if err := scale.Inject(rs, &corev1.Pod{}); err == nil {
		t.Error("a Pod was taken for a Scale")
	}
}

func TestWorkloadColumns(t *testing.T) {
	now := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	d := deployment(t, "replicas: 3, selector: {matchLabels: {app: web}}, "+kindtest.Template)
	d.CreationTimestamp = metav1.NewTime(now.Add(-3 * time.Hour))
	d.Status = appsv1.DeploymentStatus{Replicas: 3, ReadyReplicas: 2, UpdatedReplicas: 3, AvailableReplicas: 1}
	if got, want := kindtest.Row(deploymentColumns(), d, now, true), "web | 2/3 | 3 | 1 | 3h | web | demo:1 | app=web"; got != want {
		t.Errorf("printed %s, want %s", got, want)
	}
	rs := &appsv1.ReplicaSet{ObjectMeta: metav1.ObjectMeta{Name: "web-1", CreationTimestamp: d.CreationTimestamp},
		Spec:   appsv1.ReplicaSetSpec{Replicas: ptr.To[int32](3), Selector: d.Spec.Selector, Template: d.Spec.Template},
		Status: appsv1.ReplicaSetStatus{Replicas: 2, ReadyReplicas: 1}}
	if got, want := kindtest.Row(replicaSetColumns(), rs, now, true), "web-1 | 3 | 2 | 1 | 3h | web | demo:1 | app=web"; got != want {
		t.Errorf("printed %s, want %s", got, want)
	}
}
