package apps

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"

	"github.com/miniorch/miniorch/apiserver/registry/kindtest"
)

func daemonSet(t testing.TB, spec string) *appsv1.DaemonSet {
	t.Helper()
	d := kindtest.From[appsv1.DaemonSet](t, "metadata: {name: agent, namespace: default}\nspec: {"+spec+"}")
	defaultDaemonSet(d)
	return d
}

func TestDefaultDaemonSet(t *testing.T) {
	d := daemonSet(t, goodSet)
	want := kindtest.From[appsv1.DaemonSetSpec](t, "{revisionHistoryLimit: 10, updateStrategy: {type: RollingUpdate, rollingUpdate: {maxUnavailable: 1, maxSurge: 0}}}")
	want.Selector, want.Template = d.Spec.Selector, d.Spec.Template
	if diff := cmp.Diff(*want, d.Spec); diff != "" {
		t.Error(diff)
	}
	prepareDaemonSetCreate(d)
	changed := d.DeepCopy()
	changed.Spec.MinReadySeconds = 5
	if prepareDaemonSetUpdate(changed, d); d.Generation != 1 || changed.Generation != 2 {
		t.Errorf("generations are %d and %d", d.Generation, changed.Generation)
	}
}

func TestValidateDaemonSet(t *testing.T) {
	for _, c := range []struct {
		name, spec, reason string
		want               []string
	}{
		{"good", goodSet, "the usual", nil},
		{"surge", "updateStrategy: {rollingUpdate: {maxSurge: 10%, maxUnavailable: 0}}, " + goodSet, "first up, then down", nil},
		{"both", "updateStrategy: {rollingUpdate: {maxSurge: 1, maxUnavailable: 1}}, " + goodSet, "one way or the other",
			[]string{"spec.updateStrategy.rollingUpdate.maxSurge: Invalid value: \"1\": may not be set when maxUnavailable is non-zero"}},
		{"neither", "updateStrategy: {rollingUpdate: {maxSurge: 0%, maxUnavailable: 0}}, " + goodSet, "some pod must be able to go",
			[]string{"spec.updateStrategy.rollingUpdate.maxUnavailable: Required value: cannot be 0 when maxSurge is 0"}},
		{"percent", "updateStrategy: {rollingUpdate: {maxUnavailable: 200%}}, " + goodSet, "of all there are", []string{"must not be greater than 100%"}},
		{"on delete", "updateStrategy: {type: OnDelete}, " + goodSet, "the other strategy", nil},
		{"strategy", "updateStrategy: {type: Recreate}, " + goodSet, "two are known", []string{`spec.updateStrategy.type: Unsupported value: "Recreate": supported values: "OnDelete", "RollingUpdate"`}},
		{"history", "revisionHistoryLimit: -1, " + goodSet, "not negative", []string{"spec.revisionHistoryLimit"}},
		{"foreign selector", "selector: {matchLabels: {app: other}}, " + goodSet[len("selector: {matchLabels: {app: web}}, "):], "it would make pods for ever",
			[]string{"`selector` does not match template `labels`"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Log(c.reason)
			kindtest.WantErrors(t, validateDaemonSet(daemonSet(t, c.spec)), c.want...)
		})
	}
	changed := daemonSet(t, goodSet)
	changed.Spec.Selector.MatchLabels["a"] = "b"
	d := appsv1.DaemonSet{Spec: daemonSet(t, goodSet).Spec}
	kindtest.WantErrors(t, daemonSets().ValidateUpdate(t.Context(), changed, &d), "spec.selector: Invalid value")
}
