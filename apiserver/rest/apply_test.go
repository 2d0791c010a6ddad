package rest_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/miniorch/miniorch/apiserver/auth"
	"github.com/miniorch/miniorch/apiserver/rest"
	"github.com/miniorch/miniorch/apiserver/warning"
	"github.com/miniorch/miniorch/pkg/api"
	"github.com/miniorch/miniorch/pkg/client"
)

const appliedDeployment = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: web}}
spec:
  replicas: 3
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - {name: c, image: "i:1"}
`

func (e *engine) apply(subresource, text, manager string, force bool) (*appsv1.Deployment, error) {
	it, _, err := of[*appsv1.Deployment](e).Apply(e.ctx, "default", "web", subresource, []byte(text), metav1.PatchOptions{FieldManager: manager, Force: &force})
	if err != nil {
		return nil, err
	}
	d, _ := it.Object.(*appsv1.Deployment)
	return d, nil
}

// owner returns what a manager owns through a door; the empty string if nothing.
func owner(obj api.Object, manager, subresource string) string {
	for _, f := range obj.GetManagedFields() {
		if f.Manager == manager && f.Subresource == subresource {
			return string(f.Operation) + " " + f.FieldsV1.GetRawString()
		}
	}
	return ""
}

// TestApply follows Kubernetes' page on server-side apply through one object's life.
func TestApply(t *testing.T) {
	builtin(t, func(t *testing.T, e *engine) {
		made, err := e.apply("", appliedDeployment, "alice", false)
		if err != nil {
			t.Fatal(err)
		}
		if made.UID == "" || *made.Spec.RevisionHistoryLimit != 10 {
			t.Errorf("an applied object that did not exist is created like any other: %+v", made)
		}
		if got := owner(made, "alice", ""); !strings.HasPrefix(got, "Apply ") || !strings.Contains(got, `f:replicas`) || strings.Contains(got, "revisionHistoryLimit") {
			t.Errorf("alice owns what she applied and no defaults: %s", got)
		}
		time.Sleep(time.Minute)
		same, err := e.apply("", appliedDeployment, "alice", false)
		if err != nil || same.ResourceVersion != made.ResourceVersion {
			t.Errorf("applying the same again writes nothing: %v", err)
		}
		other := strings.Replace(appliedDeployment, "replicas: 3", "replicas: 5", 1)
		if _, err := e.apply("", other, "bob", false); !apierrors.IsConflict(err) || !strings.Contains(err.Error(), `Apply failed with 1 conflict: conflict with "alice": .spec.replicas`) {
			t.Errorf("bob wants what alice owns: %v", err)
		}
		forced, err := e.apply("", other, "bob", true)
		if err != nil || *forced.Spec.Replicas != 5 || strings.Contains(owner(forced, "alice", ""), "replicas") || forced.Generation != 2 {
			t.Errorf("bob by force: %v %+v", err, forced)
		}
		scale := "apiVersion: autoscaling/v1\nkind: Scale\nmetadata: {name: web}\nspec: {replicas: 7}\n"
		if _, err := e.apply("scale", scale, "scaler", false); !apierrors.IsConflict(err) {
			t.Errorf("the scale is bob's: %v", err)
		}
		if _, err := e.apply("scale", scale, "scaler", true); err != nil {
			t.Errorf("scaling by force: %v", err)
		}
		status := "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec: {replicas: 1}\nstatus: {replicas: 2}\n"
		if _, err := e.apply("status", status, "reporter", false); err != nil {
			t.Errorf("reporting: %v", err)
		}
		d := mustGet[*appsv1.Deployment](e, "default", "web")
		if *d.Spec.Replicas != 7 || owner(d, "scaler", "scale") != `Apply {"f:spec":{"f:replicas":{}}}` {
			t.Errorf("replicas %d of %q", *d.Spec.Replicas, owner(d, "scaler", "scale"))
		}
		if d.Status.Replicas != 2 || owner(d, "reporter", "status") != `Apply {"f:status":{"f:replicas":{}}}` {
			t.Errorf("status %d of %q", d.Status.Replicas, owner(d, "reporter", "status"))
		}
		without := strings.Replace(appliedDeployment, "labels: {app: web}}\nspec", "labels: {}}\nspec", 1)
		for _, manager := range []string{"alice", "bob"} { // the last owner takes the label away
			if d, err = e.apply("", strings.Replace(without, "  replicas: 3\n", "", 1), manager, false); err != nil {
				t.Fatal(err)
			}
		}
		if len(d.Labels) != 0 || *d.Spec.Replicas != 7 {
			t.Errorf("labels %v, replicas %d", d.Labels, *d.Spec.Replicas)
		}
	})
}

func TestApplyRefuses(t *testing.T) {
	builtin(t, func(t *testing.T, e *engine) {
		for _, tc := range []struct {
			name, text, manager string
			strict              bool
			is                  func(error) bool
			says                string
		}{
			{name: "no manager", text: appliedDeployment, is: apierrors.IsInvalid, says: "fieldManager: Required value: is required for apply patch"},
			{name: "another kind", text: "apiVersion: v1\nkind: Pod\nmetadata: {name: web}", manager: "m", is: apierrors.IsBadRequest, says: "invalid object type"},
			{name: "another name", text: strings.Replace(appliedDeployment, "name: web", "name: other", 1), manager: "m", is: apierrors.IsBadRequest, says: "does not match the name on the URL"},
			{name: "an unknown field", text: appliedDeployment + "  foo: bar\n", manager: "m", is: apierrors.IsBadRequest, says: ".spec.foo: field not declared in schema"},
			{name: "twice, strictly", text: appliedDeployment + "  paused: true\n  paused: false\n", manager: "m", strict: true, is: apierrors.IsBadRequest, says: `key "paused" already set in map`},
			{name: "managed fields", text: strings.Replace(appliedDeployment, "name: web", "name: web, managedFields: [{manager: x}]", 1), manager: "m", is: apierrors.IsBadRequest, says: "metadata.managedFields must be nil"},
			{name: "a version of nothing", text: strings.Replace(appliedDeployment, "name: web", "name: web, resourceVersion: \"1\"", 1), manager: "m", is: apierrors.IsConflict},
			{name: "invalid", text: strings.Replace(appliedDeployment, "replicas: 3", "replicas: -3", 1), manager: "m", is: apierrors.IsInvalid, says: "spec.replicas"},
			{name: "no YAML", text: "a: [", manager: "m", is: apierrors.IsBadRequest, says: "error decoding YAML"},
			{name: "nothing", text: "", manager: "m", is: apierrors.IsBadRequest},
		} {
			opts := metav1.PatchOptions{FieldManager: tc.manager}
			if tc.strict {
				opts.FieldValidation = metav1.FieldValidationStrict
			}
			_, _, err := of[*appsv1.Deployment](e).Apply(e.ctx, "default", "web", "", []byte(tc.text), opts)
			if err == nil || !tc.is(err) || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("%s: %v, want %q", tc.name, err, tc.says)
			}
		}
		scale := "apiVersion: autoscaling/v1\nkind: Scale\nmetadata: {name: web}\nspec: {replicas: 7, foo: 1}\n"
		if _, _, err := of[*appsv1.Deployment](e).Apply(e.ctx, "default", "web", "scale", []byte(scale), metav1.PatchOptions{FieldManager: "m"}); err == nil || !strings.Contains(err.Error(), `unknown field "spec.foo"`) {
			t.Errorf("a scale with an unknown field: %v", err)
		}
		ctx, seen := warning.With(e.ctx)
		if _, _, err := of[*appsv1.Deployment](e).Apply(ctx, "default", "web", "", []byte(appliedDeployment+"  paused: true\n  paused: false\n"), metav1.PatchOptions{FieldManager: "m"}); err != nil {
			t.Error(err)
		}
		if w := seen.Warnings(); len(w) != 1 || !strings.Contains(w[0], `key "paused" already set in map`) {
			t.Errorf("warnings: %q", w)
		}
	})
}

// TestOwners: every ordinary write says who did it, and nothing else changes for it.
func TestOwners(t *testing.T) {
	builtin(t, func(t *testing.T, e *engine) {
		maps := of[*corev1.ConfigMap](e)
		made := e.mustCreate("default", configMap("m", "k", "v")).(*corev1.ConfigMap)
		if owner(made, "admin", "") != `Update {"f:data":{".":{},"f:k":{}}}` {
			t.Errorf("the maker: %v", made.ManagedFields)
		}
		patch := func(manager, text string, pt types.PatchType) *corev1.ConfigMap {
			t.Helper()
			it, err := maps.Patch(e.ctx, "default", "m", "", pt, []byte(text), metav1.PatchOptions{FieldManager: manager})
			if err != nil {
				t.Fatal(err)
			}
			return it.Object.(*corev1.ConfigMap)
		}
		m := patch("patcher", `{"data":{"l":"w"}}`, types.MergePatchType)
		if owner(m, "patcher", "") != `Update {"f:data":{"f:l":{}}}` || owner(m, "admin", "") == "" {
			t.Errorf("after a patch: %v", m.ManagedFields)
		}
		version := m.ResourceVersion
		if m = patch("nobody", `{"data":{"l":"w"}}`, types.MergePatchType); m.ResourceVersion != version {
			t.Error("a patch that changes nothing was written for the sake of its owner")
		}
		transport := e.Client(auth.Component(auth.UserControllerManager))
		sent := m.DeepCopy()
		sent.Data["n"] = "x"
		sent, err := client.Of[*corev1.ConfigMap](transport).Update(e.ctx, sent)
		if err != nil || owner(sent, "kube-controller-manager", "") != `Update {"f:data":{"f:n":{}}}` {
			t.Errorf("a component: %v %v", err, sent)
		}
		plain := sent.DeepCopy()
		plain.ManagedFields = nil
		plain.Data["k"] = "changed"
		it, _, err := maps.Update(e.ctx, "default", "m", "", rest.Replace(plain), rest.UpdateOptions{})
		if err != nil || owner(it.Object, "patcher", "") == "" {
			t.Errorf("who does not know of owners does not remove them: %v", err)
		}
		if m = patch("cleaner", `[{"op":"replace","path":"/metadata/managedFields","value":[{}]}]`, types.JSONPatchType); len(m.ManagedFields) != 0 {
			t.Errorf("cleared: %v", m.ManagedFields)
		}
		if m = patch("later", `{"data":{"l":"z"}}`, types.MergePatchType); len(m.ManagedFields) != 0 {
			t.Errorf("what is not tracked stays so until it is applied: %v", m.ManagedFields)
		}
		text := "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: m}\ndata: {l: z, o: new}\n"
		it, created, err := maps.Apply(e.ctx, "default", "m", "", []byte(text), metav1.PatchOptions{FieldManager: "applier"})
		if err != nil || created || !strings.Contains(owner(it.Object, "before-first-apply", ""), "f:k") {
			t.Errorf("applied for the first time: %v %v", err, it)
		}
	})
}

// TestApplyEvents: what has two versions is owned in the version in which it was applied, and
// who applies the other one meets its owners all the same. Nobody owns a part of an Event
// before.
func TestApplyEvents(t *testing.T) {
	inBubble(t, func(t *testing.T, e *engine) {
		e.mustCreate("default", &corev1.Event{ObjectMeta: metav1.ObjectMeta{Name: "e"}, Reason: "Made", Message: "first"})
		if got := mustGet[*corev1.Event](e, "default", "e"); got.ManagedFields != nil {
			t.Errorf("owners before anybody applied: %+v", got.ManagedFields)
		}
		old := "apiVersion: v1\nkind: Event\nmetadata: {name: e}\nmessage: %s\n"
		view := "apiVersion: events.k8s.io/v1\nkind: Event\nmetadata: {name: e}\nnote: %s\n"
		events, viewed := of[*corev1.Event](e), of[*eventsv1.Event](e)
		force := func(manager string) metav1.PatchOptions {
			return metav1.PatchOptions{FieldManager: manager, Force: ptr(true)}
		}
		_, _, err := events.Apply(e.ctx, "default", "e", "", fmt.Appendf(nil, old, "second"), metav1.PatchOptions{FieldManager: "a"})
		if !apierrors.IsConflict(err) || !strings.Contains(err.Error(), `conflict with "before-first-apply" using v1: .message`) {
			t.Errorf("what was there before is not owned: %v", err)
		}
		if _, _, err := events.Apply(e.ctx, "default", "e", "", fmt.Appendf(nil, old, "second"), force("a")); err != nil {
			t.Fatal(err)
		}
		_, _, err = viewed.Apply(e.ctx, "default", "e", "", fmt.Appendf(nil, view, "third"), metav1.PatchOptions{FieldManager: "b"})
		if !apierrors.IsConflict(err) || !strings.Contains(err.Error(), `conflict with "a"`) {
			t.Errorf("the other version's owner is not met: %v", err)
		}
		it, created, err := viewed.Apply(e.ctx, "default", "e", "", fmt.Appendf(nil, view, "third"), force("b"))
		if err != nil || created {
			t.Fatal(err, created)
		}
		if got := it.Object.(*eventsv1.Event); got.Note != "third" || got.Reason != "Made" {
			t.Errorf("applied %+v", got)
		}
		if _, created, err = viewed.Apply(e.ctx, "default", "new", "", []byte(strings.Replace(fmt.Sprintf(view, "made"), "name: e", "name: new", 1)), force("b")); err != nil || !created {
			t.Errorf("applying a new one: %v, created %v", err, created)
		}
	})
}
