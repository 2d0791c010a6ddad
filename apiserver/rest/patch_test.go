package rest_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/miniorch/miniorch/apiserver/rest"
	"github.com/miniorch/miniorch/apiserver/warning"
)

const (
	jsonPatch      = types.JSONPatchType
	mergePatch     = types.MergePatchType
	strategicPatch = types.StrategicMergePatchType
)

func TestPatch(t *testing.T) {
	for _, tc := range []struct {
		name     string
		kind     types.PatchType
		patch    string
		strict   string // fieldValidation
		want     func(p *corev1.Pod) bool
		reason   metav1.StatusReason
		says     string
		warnings []string
	}{
		{name: "json patch", kind: jsonPatch, patch: `[{"op":"add","path":"/metadata/labels","value":{"a":"b"}},{"op":"test","path":"/spec/containers/0/name","value":"c"}]`,
			want: func(p *corev1.Pod) bool { return p.Labels["a"] == "b" }},
		{name: "json patch whose test fails", kind: jsonPatch, patch: `[{"op":"test","path":"/metadata/name","value":"x"}]`, reason: metav1.StatusReasonInvalid, says: "testing value /metadata/name failed"},
		{name: "json patch to nowhere", kind: jsonPatch, patch: `[{"op":"remove","path":"/metadata/labels/x"}]`, reason: metav1.StatusReasonInvalid},
		{name: "json patch that is none", kind: jsonPatch, patch: `{"op":"remove"}`, reason: metav1.StatusReasonBadRequest},
		{name: "merge patch", kind: mergePatch, patch: `{"metadata":{"annotations":{"keep":null,"new":"1"}}}`,
			want: func(p *corev1.Pod) bool {
				_, kept := p.Annotations["keep"]
				return !kept && p.Annotations["new"] == "1"
			}},
		{name: "merge patch replaces lists", kind: mergePatch, patch: `{"spec":{"containers":[{"name":"d"}]}}`,
			want: func(p *corev1.Pod) bool {
				return len(p.Spec.Containers) == 1 && p.Spec.Containers[0].Name == "d" && p.Spec.Containers[0].Image == ""
			}},
		{name: "strategic patch merges lists by key", kind: strategicPatch, patch: `{"spec":{"containers":[{"name":"c","env":[{"name":"E","value":"1"}]},{"name":"d","image":"j"}]}}`,
			want: func(p *corev1.Pod) bool {
				i := slices.IndexFunc(p.Spec.Containers, func(c corev1.Container) bool { return c.Name == "c" })
				return len(p.Spec.Containers) == 2 && p.Spec.Containers[i].Image == "i" && p.Spec.Containers[i].Env[0].Value == "1"
			}},
		{name: "strategic patch with a directive", kind: strategicPatch, patch: `{"metadata":{"annotations":{"$patch":"replace","only":"1"}}}`,
			want: func(p *corev1.Pod) bool { return len(p.Annotations) == 1 && p.Annotations["only"] == "1" }},
		{name: "not json", kind: mergePatch, patch: `{`, reason: metav1.StatusReasonBadRequest},
		{name: "an array", kind: mergePatch, patch: `[]`, reason: metav1.StatusReasonBadRequest},
		{name: "nothing", kind: strategicPatch, patch: `null`, reason: metav1.StatusReasonBadRequest},
		{name: "the wrong type", kind: mergePatch, patch: `{"spec":{"containers":"x"}}`, reason: metav1.StatusReasonInvalid, says: "cannot restore slice from string"},
		{name: "the version it has", kind: mergePatch, patch: `{"metadata":{"resourceVersion":"%s","labels":{"a":"b"}}}`, want: func(p *corev1.Pod) bool { return p.Labels["a"] == "b" }},
		{name: "a version it had", kind: mergePatch, patch: `{"metadata":{"resourceVersion":"1","labels":{"a":"b"}}}`, reason: metav1.StatusReasonConflict, says: "the object has been modified"},
		{name: "another uid", kind: mergePatch, patch: `{"metadata":{"uid":"x"}}`, reason: metav1.StatusReasonConflict},
		{name: "another name", kind: mergePatch, patch: `{"metadata":{"name":"x"}}`, reason: metav1.StatusReasonBadRequest},
		{name: "another kind", kind: mergePatch, patch: `{"kind":"Node"}`, reason: metav1.StatusReasonInvalid},
		{name: "unknown field, strict", kind: mergePatch, patch: `{"spec":{"nodeNme":"n"}}`, strict: "Strict", reason: metav1.StatusReasonInvalid, says: `strict decoding error: unknown field "spec.nodeNme"`},
		{name: "unknown field, warned", kind: mergePatch, patch: `{"spec":{"nodeNme":"n"}}`, warnings: []string{`unknown field "spec.nodeNme"`}},
		{name: "unknown field, ignored", kind: mergePatch, patch: `{"spec":{"nodeNme":"n"}}`, strict: "Ignore"},
		{name: "duplicate field, strict", kind: mergePatch, patch: `{"spec":{"nodeName":"n","nodeName":"m"}}`, strict: "Strict", reason: metav1.StatusReasonInvalid, says: `duplicate field "spec.nodeName"`},
		{name: "all duplicate fields, strict", kind: strategicPatch, patch: `{"metadata":{"name":"a","name":"p"},"spec":{"nodeName":"n","nodeName":"m"}}`, strict: "Strict", reason: metav1.StatusReasonInvalid,
			says: `strict decoding error: duplicate field "metadata.name", duplicate field "spec.nodeName"`},
		{name: "unknown and duplicate fields, strict", kind: mergePatch, patch: `{"spec":{"hostname":"n","hostname":"m","nodeNme":"n"}}`, strict: "Strict", reason: metav1.StatusReasonInvalid,
			says: `strict decoding error: duplicate field "spec.hostname", unknown field "spec.nodeNme"`},
		{name: "operation and object with unknown fields, strict", kind: jsonPatch, patch: `[{"op":"add","path":"/spec/nodeNme","value":"n","foo":1}]`, strict: "Strict",
			reason: metav1.StatusReasonInvalid, says: `strict decoding error: json patch unknown field "[0].foo", unknown field "spec.nodeNme"`},
		{name: "operation with unknown and duplicate fields, strict", kind: jsonPatch, patch: `[{"op":"add","path":"/metadata/labels","path":"/metadata/labels","value":{"a":"b"},"foo":1}]`, strict: "Strict",
			reason: metav1.StatusReasonInvalid, says: `strict decoding error: json patch duplicate field "[0].path", json patch unknown field "[0].foo"`},
		{name: "operation with an unknown field, warned", kind: jsonPatch, patch: `[{"op":"add","path":"/metadata/labels","value":{"a":"b"},"foo":1}]`, warnings: []string{`json patch unknown field "[0].foo"`}},
		{name: "duplicate field, warned", kind: strategicPatch, patch: `{"spec":{"hostname":"n","hostname":"m"}}`, warnings: []string{`duplicate field "spec.hostname"`}},
		{name: "no such form", kind: "application/x", patch: `{}`, reason: metav1.StatusReasonUnsupportedMediaType},
	} {
		t.Run(tc.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, e *engine) {
				p := pod("p", "")
				p.Annotations = map[string]string{"keep": "1"}
				made := e.mustCreate("default", p)
				if strings.Contains(tc.patch, "%s") {
					tc.patch = fmt.Sprintf(tc.patch, made.GetResourceVersion())
				}
				ctx, warned := warning.With(e.ctx)
				it, err := of[*corev1.Pod](e).Patch(ctx, "default", "p", "", tc.kind, []byte(tc.patch), metav1.PatchOptions{FieldValidation: tc.strict})
				if tc.reason != "" {
					if status := wantReason(t, err, tc.reason); !strings.Contains(status.Message, tc.says) {
						t.Errorf("message = %q, want it to contain %q", status.Message, tc.says)
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				if tc.want != nil && !tc.want(it.Object.(*corev1.Pod)) {
					t.Errorf("patched = %+v", it.Object)
				}
				if !slices.Equal(warned.Warnings(), tc.warnings) {
					t.Errorf("warnings = %q, want %q", warned.Warnings(), tc.warnings)
				}
			})
		})
	}
}

func TestPatchLimits(t *testing.T) {
	inBubble(t, func(t *testing.T, e *engine) {
		e.mustCreate("default", configMap("a", "k", strings.Repeat("x", 10_000)))
		patch := func(text string) error {
			_, err := of[*corev1.ConfigMap](e).Patch(e.ctx, "default", "a", "", jsonPatch, []byte(text), metav1.PatchOptions{})
			return err
		}
		many := "[" + strings.Repeat(`{"op":"test","path":"/data/k","value":""},`, 10_000) + `{"op":"test","path":"/data/k","value":""}]`
		wantReason(t, patch(many), metav1.StatusReasonRequestEntityTooLarge)
		bomb := "["
		for i := range 30 {
			bomb += fmt.Sprintf(`{"op":"copy","from":"/data","path":"/data/k%d"},`, i)
		}
		wantReason(t, patch(strings.TrimSuffix(bomb, ",")+"]"), metav1.StatusReasonRequestEntityTooLarge)
		_, err := of[*corev1.ConfigMap](e).Patch(e.ctx, "default", "none", "", mergePatch, []byte(`{}`), metav1.PatchOptions{})
		wantReason(t, err, metav1.StatusReasonNotFound)
	})
}

func TestPatchThatChangesNothing(t *testing.T) {
	inBubble(t, func(t *testing.T, e *engine) {
		made := e.mustCreate("default", configMap("a", "k", "v"))
		it, err := of[*corev1.ConfigMap](e).Patch(e.ctx, "default", "a", "", strategicPatch, []byte(`{"data":{"k":"v"}}`), metav1.PatchOptions{})
		if err != nil || it.Object.GetResourceVersion() != made.GetResourceVersion() {
			t.Errorf("patched = %v, %v; want no write", it, err)
		}
	})
}

func FuzzPatch(f *testing.F) {
	f.Add(uint8(0), []byte(`[{"op":"add","path":"/metadata/labels","value":{"a":"b"}}]`))
	f.Add(uint8(1), []byte(`{"metadata":{"annotations":{"a":null}}}`))
	f.Add(uint8(2), []byte(`{"spec":{"containers":[{"name":"c","$patch":"delete"}],"$setElementOrder/containers":[{"name":"d"}]}}`))
	f.Add(uint8(2), []byte(`{"metadata":{"$retainKeys":["name"]}}`))
	e := start(f, rest.Config{})
	e.mustCreate("default", pod("p", "n"))
	f.Fuzz(func(t *testing.T, kind uint8, patch []byte) {
		e := &engine{TB: t, Registry: e.Registry, ctx: e.ctx, store: e.store}
		before := mustGet[*corev1.Pod](e, "default", "p").DeepCopy()
		kinds := []types.PatchType{jsonPatch, mergePatch, strategicPatch}
		opts := metav1.PatchOptions{DryRun: []string{metav1.DryRunAll}}
		it, err := of[*corev1.Pod](e).Patch(e.ctx, "default", "p", "", kinds[int(kind)%len(kinds)], patch, opts)
		var status *apierrors.StatusError
		if err != nil && (!errors.As(err, &status) || status.ErrStatus.Code >= 500) {
			t.Errorf("%s %q: %v", kinds[int(kind)%len(kinds)], patch, err)
		}
		if err == nil && (it.Object.GetUID() != before.UID || it.Object.GetName() != "p" || it.Object.GetNamespace() != "default") {
			t.Errorf("%q changed the identity: %v", patch, it.Object)
		}
		after, _ := mustGet[*corev1.Pod](e, "default", "p").Marshal()
		was, _ := before.Marshal()
		if !bytes.Equal(was, after) {
			t.Errorf("%q changed a shared object", patch)
		}
	})
}
