package kubelet

import (
	"encoding/base64"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

func TestQualified(t *testing.T) {
	for image, want := range map[string]string{
		"busybox": "docker.io/library/busybox", "busybox:1": "docker.io/library/busybox", "a/b:1": "docker.io/a/b",
		"localhost/a": "localhost/a", "r.io/a/b:1": "r.io/a/b", "r.io:5000/a": "r.io:5000/a", "r:5000/a@sha256:abc": "r:5000/a",
	} {
		if got := qualified(image); got != want {
			t.Errorf("%s is %s, want %s", image, got, want)
		}
	}
}

func FuzzQualified(f *testing.F) {
	f.Add("r.io:5000/a/b:tag@sha256:abc")
	f.Fuzz(func(t *testing.T, image string) {
		if got := qualified(image); !strings.Contains(got, "/") {
			t.Errorf("%q has no registry: %q", image, got)
		}
	})
}

func TestPullSecretsMatchByPlace(t *testing.T) {
	auth := base64.StdEncoding.EncodeToString([]byte("joe:a:b"))
	entries, err := parseCredentials(&corev1.Secret{Data: map[string][]byte{corev1.DockerConfigJsonKey: []byte(
		`{"auths": {"https://index.docker.io/v1/": {"auth": "` + auth + `"}, "r.io": {"username": "all"}, "r.io/team": {"username": "team"}}}`)}})
	if err != nil {
		t.Fatal(err)
	}
	for image, want := range map[string]string{
		"busybox": "joe", "r.io/a": "all", "r.io/team/a:1": "team all", "r.io/teamster": "all", "other.io/a": "",
	} {
		var users []string
		for _, a := range matching(entries, image) {
			users = append(users, a.Username)
			if a.Username == "joe" && a.Password != "a:b" {
				t.Errorf("password %q", a.Password)
			}
		}
		if got := strings.Join(users, " "); got != want {
			t.Errorf("%s is pulled as %q, want %q", image, got, want)
		}
	}
	if _, err := parseCredentials(&corev1.Secret{Data: map[string][]byte{corev1.DockerConfigJsonKey: []byte(`{"auths": {"r": {"auth": "%%"}}}`)}}); err == nil {
		t.Error("nonsense was accepted")
	}
}
