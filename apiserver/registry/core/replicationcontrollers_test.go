package core

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"

	"github.com/miniorch/miniorch/apiserver/registry/kindtest"
)

func TestReplicationController(t *testing.T) {
	rc := kindtest.From[corev1.ReplicationController](t, "metadata: {name: web, namespace: default}\nspec: {"+kindtest.Template+"}")
	defaultReplicationController(rc)
	if *rc.Spec.Replicas != 1 || rc.Spec.Selector["app"] != "web" || rc.Labels["app"] != "web" {
		t.Errorf("one replica, selected by the template's labels, is the default; not %+v with %v", rc.Spec, rc.Labels)
	}
	kindtest.WantErrors(t, validateReplicationController(rc))
	for _, c := range []struct {
		reason string
		change func(*corev1.ReplicationController)
		want   []string
	}{
		{"how many?", func(rc *corev1.ReplicationController) { rc.Spec.Replicas = ptr.To[int32](-1) }, []string{"spec.replicas: Invalid value: -1"}},
		{"which?", func(rc *corev1.ReplicationController) { rc.Spec.Selector = nil }, []string{"spec.selector: Required"}},
		{"not its own", func(rc *corev1.ReplicationController) { rc.Spec.Selector["app"] = "db" }, []string{"spec.template.metadata.labels: Invalid value"}},
		{"of what?", func(rc *corev1.ReplicationController) { rc.Spec.Template = nil }, []string{"spec.template: Required"}},
		{"for ever", func(rc *corev1.ReplicationController) { rc.Spec.Template.Spec.RestartPolicy = "Never" }, []string{"restartPolicy: Unsupported value"}},
	} {
		bad := rc.DeepCopy()
		c.change(bad)
		t.Log(c.reason)
		kindtest.WantErrors(t, validateReplicationController(bad), c.want...)
	}
	rc.Status.Replicas = 2
	if got, want := kindtest.Row(replicationControllerColumns(), rc, time.Time{}, true), "web | 1 | 2 | 0 | <unknown> | web | demo:1 | app=web"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	bad := rc.DeepCopy()
	bad.Status.ReadyReplicas = 3
	kindtest.WantErrors(t, validateReplicationControllerStatus(bad, rc), "cannot be greater than status.replicas")
}
