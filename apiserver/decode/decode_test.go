package decode_test

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"

	"github.com/miniorch/miniorch/apiserver/decode"
	"github.com/miniorch/miniorch/apiserver/warning"
	"github.com/miniorch/miniorch/pkg/api"
)

var configMapKind = corev1.SchemeGroupVersion.WithKind("ConfigMap")

func protobufBody(t testing.TB, obj *corev1.ConfigMap) string {
	t.Helper()
	var buf bytes.Buffer
	if err := protobuf.NewSerializer(api.Scheme, api.Scheme).Encode(obj, &buf); err != nil {
		t.Fatal(err)
	}
	return buf.String()
}

func TestInto(t *testing.T) {
	made := &corev1.ConfigMap{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"}, Data: map[string]string{"k": "v"}}
	for _, tc := range []struct {
		name, media, body, validation string
		reason                        metav1.StatusReason
		says                          string
		warnings                      []string
	}{
		{name: "json", body: `{"apiVersion":"v1","kind":"ConfigMap","data":{"k":"v"}}`},
		{name: "json without a kind", body: `{"data":{"k":"v"}}`},
		{name: "yaml", media: decode.YAML, body: "apiVersion: v1\nkind: ConfigMap\ndata:\n  k: v\n"},
		{name: "json as yaml", media: decode.YAML, body: `{"data":{"k":"v"}}`},
		{name: "protobuf", media: decode.Protobuf, body: protobufBody(t, made)},
		{name: "unknown field", body: `{"data":{"k":"v"},"dta":1}`, warnings: []string{`unknown field "dta"`}},
		{name: "duplicate field", body: `{"data":{"k":"x"},"data":{"k":"v"}}`, warnings: []string{`duplicate field "data"`}},
		{name: "duplicate in yaml", media: decode.YAML, body: "data:\n  k: x\n  k: v\n", warnings: []string{"yaml: unmarshal errors:\n  line 3: key \"k\" already set in map"}},
		{name: "ignored", body: `{"data":{"k":"v"},"dta":1}`, validation: "Ignore"},
		{name: "strict", body: `{"data":{"k":"v"},"b":2,"dta":1}`, validation: "Strict", reason: metav1.StatusReasonBadRequest,
			says: `ConfigMap in version "v1" cannot be handled as a ConfigMap: strict decoding error: unknown field "b", unknown field "dta"`},
		{name: "case matters", body: `{"Data":{"k":"v"}}`, validation: "Strict", reason: metav1.StatusReasonBadRequest, says: `unknown field "Data"`},
		{name: "wrong type", body: `{"data":{"k":1}}`, reason: metav1.StatusReasonBadRequest, says: "cannot unmarshal number into Go struct field ConfigMap.data of type string"},
		{name: "wrong kind", body: `{"apiVersion":"v1","kind":"Secret"}`, reason: metav1.StatusReasonBadRequest, says: `Secret in version "v1" cannot be handled as a ConfigMap`},
		{name: "wrong version", body: `{"apiVersion":"v2","kind":"ConfigMap"}`, reason: metav1.StatusReasonBadRequest, says: "the API version in the data (v2) does not match the expected API version (v1)"},
		{name: "no kind", body: `{"apiVersion":"v1"}`, reason: metav1.StatusReasonBadRequest, says: "Object 'Kind' is missing"},
		{name: "no version", body: `{"kind":"ConfigMap"}`, reason: metav1.StatusReasonBadRequest, says: "Object 'apiVersion' is missing"},
		{name: "syntax", body: `{"data":`, reason: metav1.StatusReasonBadRequest, says: "unexpected end of JSON input"},
		{name: "yaml syntax", media: decode.YAML, body: "a: b: c", reason: metav1.StatusReasonBadRequest},
		{name: "empty", body: " ", reason: metav1.StatusReasonBadRequest, says: "the body is empty"},
		{name: "empty yaml", media: decode.YAML, body: "# nothing", reason: metav1.StatusReasonBadRequest, says: "the body is empty"},
		{name: "protobuf that is none", media: decode.Protobuf, body: "k8s\x00zzz", reason: metav1.StatusReasonBadRequest},
		{name: "protobuf of another kind", media: decode.Protobuf, body: protobufBody(t, &corev1.ConfigMap{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"}}), reason: metav1.StatusReasonBadRequest},
		{name: "another form", media: "text/plain", body: "x", reason: metav1.StatusReasonUnsupportedMediaType, says: "accepted media types include: application/json"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			ctx, warned := warning.With(t.Context())
			obj := &corev1.ConfigMap{}
			err := decode.Into(ctx, []byte(tc.body), obj, decode.Options{Kind: configMapKind, MediaType: tc.media, Validation: tc.validation})
			if tc.reason != "" {
				if apierrors.ReasonForError(err) != tc.reason || !strings.Contains(err.Error(), tc.says) {
					t.Errorf("error = %v, want %s: %s", err, tc.reason, tc.says)
				}
				return
			}
			if err != nil || obj.Data["k"] != "v" || obj.Kind != "ConfigMap" || obj.APIVersion != "v1" {
				t.Errorf("object = %+v, %v", obj, err)
			}
			if !slices.Equal(warned.Warnings(), tc.warnings) {
				t.Errorf("warnings = %q, want %q", warned.Warnings(), tc.warnings)
			}
		})
	}
}

func FuzzInto(f *testing.F) {
	f.Add(uint8(0), []byte(`{"data":{"k":"v"}}`))
	f.Add(uint8(1), []byte("data:\n  k: &a v\n  l: *a\n"))
	f.Add(uint8(2), []byte(protobufBody(f, &corev1.ConfigMap{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"}})))
	f.Fuzz(func(t *testing.T, media uint8, body []byte) {
		medias := []string{decode.JSON, decode.YAML, decode.Protobuf}
		err := decode.Into(t.Context(), body, &corev1.ConfigMap{}, decode.Options{Kind: configMapKind, MediaType: medias[int(media)%3], Validation: "Strict"})
		if err != nil && !apierrors.IsBadRequest(err) {
			t.Errorf("%v", err)
		}
	})
}

// FuzzTree: patches and applied documents of any form are read or refused, and what is read
// survives being written and read again.
func FuzzTree(f *testing.F) {
	f.Add([]byte(`{"metadata":{"labels":{"a":"b"}},"data":{"k":null}}`))
	f.Add([]byte("apiVersion: v1\nkind: ConfigMap\ndata: {a: b, a: c}\n"))
	f.Add([]byte("data: &d {a: *d}\n"))
	f.Add([]byte(`{"a":1e400,"b":12345678901234567890,"c":-0}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		if tree, _, err := decode.Tree(body, &corev1.ConfigMap{}); err == nil {
			text, err := json.Marshal(tree)
			if err != nil {
				t.Fatalf("%q became what cannot be written: %v", body, err)
			}
			if _, _, err := decode.Tree(text, &corev1.ConfigMap{}); err != nil {
				t.Errorf("%q became %q, which cannot be read: %v", body, text, err)
			}
		}
		if tree, _, err := decode.YAMLTree(body, &corev1.ConfigMap{}); err == nil && tree == nil {
			t.Errorf("%q became nothing", body)
		}
	})
}

// Some quantities would keep the parser busy for ever; they must not reach it.
func TestHugeExponents(t *testing.T) {
	podKind := corev1.SchemeGroupVersion.WithKind("Pod")
	pod := func(quantity string) string {
		return `{"spec":{"containers":[{"name":"c","resources":{"limits":{"cpu":` + quantity + `}}}]}}`
	}
	for _, tc := range []struct {
		name, media, body string
		obj               runtime.Object
		kind              schema.GroupVersionKind
		says              string
	}{
		{"a string", decode.JSON, pod(`"1e2147483648"`), &corev1.Pod{}, podKind, `spec.containers[0].resources.limits.cpu: quantity "1e2147483648": the exponent is too large`},
		{"a number", decode.JSON, pod(`-1.5E-9999999`), &corev1.Pod{}, podKind, "the exponent is too large"},
		{"behind a harmless one", decode.JSON, pod(`"1e2147483648","cpu":"1"`), &corev1.Pod{}, podKind, "the exponent is too large"},
		{"in a field that stands twice", decode.JSON, pod(`"1e2147483648"}},"resources":{"limits":{"cpu":"1"`), &corev1.Pod{}, podKind, "the exponent is too large"},
		{"with an escaped name", decode.JSON, strings.Replace(pod(`"1e2147483648"`), "limits", `lim\u0069ts`, 1), &corev1.Pod{}, podKind, "the exponent is too large"},
		{"yaml", decode.YAML, pod(`"1e99999999"`), &corev1.Pod{}, podKind, "the exponent is too large"},
		{"protobuf", decode.Protobuf, "k8s\x00\x0a\x09\x0a\x02v1\x12\x03Pod\x12\x0f\x0a\x0d1e21474836480", &corev1.Pod{}, podKind, "the exponent is too large"},
		{"an ordinary one", decode.JSON, pod(`"1e3"`), &corev1.Pod{}, podKind, ""},
		{"not a quantity", decode.JSON, `{"metadata":{"annotations":{"a":"1e2147483648"}}}`, &corev1.Pod{}, podKind, ""},
		{"a huge document that is broken", decode.JSON, `{"spec":{"x":"1e2147483648","containers":[`, &corev1.Pod{}, podKind, "unexpected end of JSON input"},
		{"a kind without quantities", decode.JSON, `{"data":{"limits":"1e2147483648"}}`, &corev1.ConfigMap{}, configMapKind, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			err := decode.Into(t.Context(), []byte(tc.body), tc.obj, decode.Options{Kind: tc.kind, MediaType: tc.media})
			if tc.says == "" && err != nil || tc.says != "" && (!apierrors.IsBadRequest(err) || !strings.Contains(err.Error(), tc.says)) {
				t.Errorf("error = %v, want %q", err, tc.says)
			}
		})
	}
}
