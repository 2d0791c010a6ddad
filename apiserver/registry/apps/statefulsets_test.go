package apps

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/miniorch/miniorch/apiserver/registry/kindtest"
)

func statefulSet(t testing.TB, spec string) *appsv1.StatefulSet {
	t.Helper()
	s := kindtest.From[appsv1.StatefulSet](t, "metadata: {name: db, namespace: default}\nspec: {"+spec+"}")
	defaultStatefulSet(s)
	return s
}

const goodSet = "selector: {matchLabels: {app: web}}, " + kindtest.Template

func TestDefaultStatefulSet(t *testing.T) {
	s := statefulSet(t, goodSet+", volumeClaimTemplates: [{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: data}}]")
	want := kindtest.From[appsv1.StatefulSetSpec](t, `
replicas: 1
revisionHistoryLimit: 10
podManagementPolicy: OrderedReady
updateStrategy: {type: RollingUpdate, rollingUpdate: {partition: 0, maxUnavailable: 1}}
persistentVolumeClaimRetentionPolicy: {whenDeleted: Retain, whenScaled: Retain}
volumeClaimTemplates:
- {metadata: {name: data}, spec: {volumeMode: Filesystem}, status: {phase: Pending}}
`)
	want.Selector, want.Template = s.Spec.Selector, s.Spec.Template
	if diff := cmp.Diff(*want, s.Spec); diff != "" {
		t.Error(diff)
	}
	again := s.DeepCopy()
	defaultStatefulSet(again)
	if diff := cmp.Diff(s, again); diff != "" {
		t.Errorf("defaulting twice changes: %s", diff)
	}
	if r := statefulSet(t, "updateStrategy: {type: OnDelete}").Spec.UpdateStrategy.RollingUpdate; r != nil {
		t.Errorf("OnDelete got rolling parameters %v", r)
	}
}

func TestValidateStatefulSet(t *testing.T) {
	const mounting = "selector: {matchLabels: {app: web}}, template: {metadata: {labels: {app: web}}, spec: {containers: [{name: web, image: demo:1, volumeMounts: [{name: data, mountPath: /data}]}]}}"
	for _, c := range []struct {
		name, spec, reason string
		want               []string
	}{
		{"good", goodSet, "the usual", nil},
		{"claims", mounting + ", volumeClaimTemplates: [{metadata: {name: data}}]", "a mount may name a claim", nil},
		{"no claim", mounting, "or it must be there", []string{"volumeMounts[0].name: Not found: \"data\""}},
		{"claim names", goodSet + ", volumeClaimTemplates: [{metadata: {name: a}}, {metadata: {name: a}}, {}]", "they name volumes",
			[]string{"spec.volumeClaimTemplates[1].metadata.name: Duplicate value: \"a\"", "spec.volumeClaimTemplates[2].metadata.name: Required value", "spec.template.spec.volumes[1].name: Required value"}},
		{"policy", "podManagementPolicy: Random, " + goodSet, "two are known", []string{"spec.podManagementPolicy: Invalid value: \"Random\": must be 'OrderedReady' or 'Parallel'"}},
		{"strategy", "updateStrategy: {type: Recreate}, " + goodSet, "two are known", []string{"spec.updateStrategy.type: Invalid value: \"Recreate\": must be 'RollingUpdate' or 'OnDelete'"}},
		{"on delete", "updateStrategy: {type: OnDelete, rollingUpdate: {partition: 1}}, " + goodSet, "it does not roll",
			[]string{"spec.updateStrategy.rollingUpdate: Invalid value"}},
		{"partition", "updateStrategy: {rollingUpdate: {partition: -1, maxUnavailable: 0}}, " + goodSet, "some pod must be able to go",
			[]string{"spec.updateStrategy.rollingUpdate.partition: Invalid value: -1", "spec.updateStrategy.rollingUpdate.maxUnavailable: Invalid value: \"0\": cannot be 0"}},
		{"percent", "updateStrategy: {rollingUpdate: {maxUnavailable: 101%}}, " + goodSet, "of all there are", []string{"must not be greater than 100%"}},
		{"numbers", "replicas: -1, ordinals: {start: -2}, revisionHistoryLimit: -3, minReadySeconds: -4, " + goodSet, "not negative",
			[]string{"spec.replicas", "spec.ordinals.start", "spec.revisionHistoryLimit", "spec.minReadySeconds"}},
		{"retention", "persistentVolumeClaimRetentionPolicy: {whenScaled: Recycle}, " + goodSet, "keep or delete",
			[]string{`spec.persistentVolumeClaimRetentionPolicy.whenScaled: Unsupported value: "Recycle": supported values: "Delete", "Retain"`}},
		{"service", "serviceName: a.b, " + goodSet, "one part of a name", []string{"spec.serviceName: Invalid value: \"a.b\""}},
		{"restart", "selector: {matchLabels: {app: web}}, template: {metadata: {labels: {app: web}}, spec: {restartPolicy: Never, containers: [{name: web, image: demo:1}]}}",
			"its pods run for ever", []string{"spec.template.spec.restartPolicy: Unsupported value: \"Never\""}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Log(c.reason)
			kindtest.WantErrors(t, validateStatefulSet(statefulSet(t, c.spec)), c.want...)
		})
	}
}

func TestStatefulSetUpdates(t *testing.T) {
	const forbidden = "spec: Forbidden: updates to statefulset spec for fields other than"
	old := statefulSet(t, goodSet)
	prepareStatefulSetCreate(old)
	for _, c := range []struct {
		name, reason string
		change       func(*appsv1.StatefulSetSpec)
		want         []string
	}{
		{"replicas", "the usual", func(s *appsv1.StatefulSetSpec) { s.Replicas = ptr.To[int32](3) }, nil},
		{"template", "a rollout", func(s *appsv1.StatefulSetSpec) { s.Template.Spec.Containers[0].Image = "demo:2" }, nil},
		{"ordinals", "pods move", func(s *appsv1.StatefulSetSpec) { s.Ordinals = &appsv1.StatefulSetOrdinals{Start: 1} }, nil},
		{"retention", "from now on", func(s *appsv1.StatefulSetSpec) { s.PersistentVolumeClaimRetentionPolicy.WhenDeleted = "Delete" }, nil},
		{"history", "a number", func(s *appsv1.StatefulSetSpec) { s.RevisionHistoryLimit = ptr.To[int32](1) }, nil},
		{"service", "the pods' names are in use", func(s *appsv1.StatefulSetSpec) { s.ServiceName = "other" }, []string{forbidden}},
		{"policy", "pods were made so", func(s *appsv1.StatefulSetSpec) { s.PodManagementPolicy = appsv1.ParallelPodManagement }, []string{forbidden}},
		{"selector", "pods would be lost", func(s *appsv1.StatefulSetSpec) { s.Selector.MatchLabels["a"] = "b" }, []string{forbidden}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := old.DeepCopy()
			c.change(&s.Spec)
			prepareStatefulSetUpdate(s, old)
			if s.Generation != 2 {
				t.Errorf("%s: generation %d, want 2", c.reason, s.Generation)
			}
			kindtest.WantErrors(t, validateStatefulSetUpdate(s, old), c.want...)
		})
	}
	s := old.DeepCopy()
	s.Labels, s.Status.Replicas = map[string]string{"a": "b"}, 7
	prepareStatefulSetUpdate(s, old)
	if s.Generation != 1 || s.Status.Replicas != 0 {
		t.Errorf("labels and status through the front door: generation %d, status %v", s.Generation, s.Status)
	}
}

func TestStatusOfStatefulAndDaemonSets(t *testing.T) {
	s, old := statefulSet(t, ""), statefulSet(t, "")
	old.Status.CollisionCount = ptr.To[int32](2)
	s.Status = appsv1.StatefulSetStatus{Replicas: 1, UpdatedReplicas: 2, AvailableReplicas: 1, CurrentReplicas: -1}
	kindtest.WantErrors(t, validateStatefulSetStatus(s, old), "status.currentReplicas: Invalid value: -1", "status.updatedReplicas: Invalid value: 2: cannot be greater than status.replicas",
		"status.availableReplicas: Invalid value: 1: cannot be greater than status.readyReplicas", "status.collisionCount: Invalid value: null: cannot be decremented")
	d := &appsv1.DaemonSet{Status: appsv1.DaemonSetStatus{NumberReady: -1, NumberMisscheduled: -1}}
	kindtest.WantErrors(t, validateDaemonSetStatus(d, d), "status.numberReady: Invalid value: -1", "status.numberMisscheduled: Invalid value: -1")
}

func TestStatefulAndDaemonSetColumns(t *testing.T) {
	now := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	s := statefulSet(t, "replicas: 3, "+goodSet)
	s.CreationTimestamp, s.Status.ReadyReplicas = metav1.NewTime(now.Add(-time.Hour)), 2
	if got, want := kindtest.Row(statefulSetColumns(), s, now, true), "db | 2/3 | 60m | web | demo:1"; got != want {
		t.Errorf("row is %q, want %q", got, want)
	}
	d := daemonSet(t, goodSet)
	d.CreationTimestamp = s.CreationTimestamp
	d.Status = appsv1.DaemonSetStatus{DesiredNumberScheduled: 5, CurrentNumberScheduled: 4, NumberReady: 3, UpdatedNumberScheduled: 2, NumberAvailable: 1}
	if got, want := kindtest.Row(daemonSetColumns(), d, now, true), "agent | 5 | 4 | 3 | 2 | 1 | <none> | 60m | web | demo:1 | app=web"; got != want {
		t.Errorf("row is %q, want %q", got, want)
	}
}
