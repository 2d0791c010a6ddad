package core

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"

	"github.com/miniorch/miniorch/apiserver/registry/kindtest"
)

func TestValidateConfigMap(t *testing.T) {
	for _, c := range []struct {
		name, reason string
		cm           corev1.ConfigMap
		want         []string
	}{
		{"good", "keys are file names", corev1.ConfigMap{Data: map[string]string{"a.b_c-1": "x"}}, nil},
		{"empty key", "a file has a name", corev1.ConfigMap{Data: map[string]string{"": "x"}}, []string{"data[]: Invalid value: \"\": a valid config key must consist of"}},
		{"climbing key", "and stays in its directory", corev1.ConfigMap{Data: map[string]string{"..": "x"}}, []string{"data[..]: Invalid value"}},
		{"key twice", "text or bytes", corev1.ConfigMap{Data: map[string]string{"a": "x"}, BinaryData: map[string][]byte{"a": nil}},
			[]string{"data[a]: Invalid value: \"a\": duplicate of key present in binaryData"}},
		{"full", "a mebibyte fits", corev1.ConfigMap{Data: map[string]string{"a": strings.Repeat("x", 1<<20)}}, nil},
		{"too full", "no more, in both together", corev1.ConfigMap{Data: map[string]string{"a": strings.Repeat("x", 1<<20)}, BinaryData: map[string][]byte{"b": {1}}},
			[]string{"Too long: may not be more than 1048576 bytes"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Log(c.reason)
			kindtest.WantErrors(t, validateConfigMap(&c.cm), c.want...)
		})
	}
}

// TestImmutableData: "Mark the ConfigMap as immutable … Try to update its data, the
// update MUST fail. Try to mark the ConfigMap back as not immutable, the update MUST
// fail. Try to update the metadata (labels), the update must succeed."
func TestImmutableData(t *testing.T) {
	old := &corev1.ConfigMap{Data: map[string]string{"a": "1"}, Immutable: ptr.To(true)}
	for _, c := range []struct {
		name   string
		change func(*corev1.ConfigMap)
		want   []string
	}{
		{"data", func(c *corev1.ConfigMap) { c.Data["a"] = "2" }, []string{"data: Forbidden: field is immutable when `immutable` is set"}},
		{"binary data", func(c *corev1.ConfigMap) { c.BinaryData = map[string][]byte{"b": {1}} }, []string{"binaryData: Forbidden"}},
		{"back", func(c *corev1.ConfigMap) { c.Immutable = nil }, []string{"immutable: Forbidden: field is immutable when `immutable` is set"}},
		{"labels", func(c *corev1.ConfigMap) { c.Labels = map[string]string{"a": "b"} }, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			cm := old.DeepCopy()
			c.change(cm)
			kindtest.WantErrors(t, validateConfigMapUpdate(cm, old), c.want...)
		})
	}
	mutable := &corev1.ConfigMap{Data: map[string]string{"a": "1"}}
	kindtest.WantErrors(t, validateConfigMapUpdate(old, mutable))
	secret := &corev1.Secret{Immutable: ptr.To(true), Data: map[string][]byte{"a": {1}}}
	kindtest.WantErrors(t, validateSecretUpdate(&corev1.Secret{Immutable: ptr.To(true)}, secret), "data: Forbidden")
}

func TestSecrets(t *testing.T) {
	for _, c := range []struct {
		name, secret, reason string
		want                 []string
	}{
		{"opaque", "stringData: {a: b}", "anything goes", nil},
		{"tls", "type: kubernetes.io/tls\nstringData: {tls.crt: a}", "two keys", []string{"data[tls.key]: Required value"}},
		{"basic", "type: kubernetes.io/basic-auth", "one of two", []string{"data[username]: Required value", "data[password]: Required value"}},
		{"basic password", "type: kubernetes.io/basic-auth\nstringData: {password: a}", "one is enough", nil},
		{"ssh", "type: kubernetes.io/ssh-auth", "a key", []string{"data[ssh-privatekey]: Required value"}},
		{"docker", "type: kubernetes.io/dockerconfigjson\nstringData: {.dockerconfigjson: '{]'}", "JSON, and never printed",
			[]string{"data[.dockerconfigjson]: Invalid value: \"<secret contents redacted>\""}},
		{"docker none", "type: kubernetes.io/dockerconfigjson", "one key", []string{"data[.dockerconfigjson]: Required value"}},
		{"token", "type: kubernetes.io/service-account-token", "whose?", []string{"metadata.annotations[kubernetes.io/service-account.name]: Required value"}},
		{"key", "stringData: {'a b': c}", "file names", []string{"data[a b]: Invalid value"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Log(c.reason)
			s := kindtest.From[corev1.Secret](t, c.secret)
			defaultSecret(s)
			if s.StringData != nil {
				t.Error("stringData would be stored")
			}
			kindtest.WantErrors(t, validateSecret(s), c.want...)
		})
	}
	s := kindtest.From[corev1.Secret](t, "data: {a: eA==}\nstringData: {a: yes-please, b: z}")
	defaultSecret(s)
	if s.Type != corev1.SecretTypeOpaque || string(s.Data["a"]) != "yes-please" || string(s.Data["b"]) != "z" {
		t.Errorf("defaults made %s %s", s.Type, s.Data)
	}
	kindtest.WantErrors(t, validateSecretUpdate(&corev1.Secret{Type: "x"}, s), "type: Invalid value: \"x\": field is immutable")
}
