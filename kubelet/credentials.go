package kubelet

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/miniorch/miniorch/kubelet/container"
	"github.com/miniorch/miniorch/pkg/client"
)

// dockerConfig is the JSON of a kubernetes.io/dockerconfigjson secret.
type dockerConfig struct {
	Auths map[string]dockerAuth `json:"auths"`
}

type dockerAuth struct {
	Username      string `json:"username"`
	Password      string `json:"password"`
	Auth          string `json:"auth"`
	IdentityToken string `json:"identitytoken"`
	RegistryToken string `json:"registrytoken"`
}

// pullCredentials returns the credentials of a pod's pull secrets that are meant for an
// image, most specific first. missing lists secrets that are not there.
func (k *Kubelet) pullCredentials(ctx context.Context, pod *corev1.Pod, image string) (found []*container.RegistryAuth, missing []string, err error) {
	var entries []credential
	for _, ref := range pod.Spec.ImagePullSecrets {
		secret, err := client.Of[*corev1.Secret](k.transport).Get(ctx, pod.Namespace, ref.Name)
		if apierrors.IsNotFound(err) {
			missing = append(missing, ref.Name)
			continue
		}
		if err != nil {
			return nil, missing, fmt.Errorf("reading pull secret %s: %w", ref.Name, err)
		}
		some, err := parseCredentials(secret)
		if err != nil {
			return nil, missing, fmt.Errorf("parsing pull secret %s: %w", ref.Name, err)
		}
		entries = append(entries, some...)
	}
	return matching(entries, image), missing, nil
}

// credential is valid for images whose name begins with a place: a registry, or a
// repository in it.
type credential struct {
	place string
	auth  container.RegistryAuth
}

func parseCredentials(s *corev1.Secret) ([]credential, error) {
	var auths map[string]dockerAuth
	if raw, ok := s.Data[corev1.DockerConfigJsonKey]; ok {
		var c dockerConfig
		if err := json.Unmarshal(raw, &c); err != nil {
			return nil, err
		}
		auths = c.Auths
	} else if raw, ok := s.Data[corev1.DockerConfigKey]; ok {
		if err := json.Unmarshal(raw, &auths); err != nil {
			return nil, err
		}
	}
	var out []credential
	for place, a := range auths {
		if a.Auth != "" {
			plain, err := base64.StdEncoding.DecodeString(a.Auth)
			if err != nil {
				return nil, fmt.Errorf("auth of %s: %w", place, err)
			}
			a.Username, a.Password, _ = strings.Cut(string(plain), ":")
		}
		out = append(out, credential{normalize(place), container.RegistryAuth{
			Username: a.Username, Password: a.Password, IdentityToken: a.IdentityToken, RegistryToken: a.RegistryToken}})
	}
	return out, nil
}

// normalize brings "https://index.docker.io/v1/" and the like to the registry's name.
func normalize(place string) string {
	place = strings.TrimPrefix(strings.TrimPrefix(place, "https://"), "http://")
	host, path, _ := strings.Cut(place, "/")
	if path = strings.Trim(path, "/"); path == "v1" || path == "v2" {
		path = ""
	}
	if host == "index.docker.io" || host == "registry-1.docker.io" {
		host = "docker.io"
	}
	if path == "" {
		return host
	}
	return host + "/" + path
}

func matching(entries []credential, image string) []*container.RegistryAuth {
	name := qualified(image)
	var fits []credential
	for _, e := range entries {
		if name == e.place || strings.HasPrefix(name, e.place+"/") {
			fits = append(fits, e)
		}
	}
	slices.SortStableFunc(fits, func(a, b credential) int { return len(b.place) - len(a.place) })
	out := make([]*container.RegistryAuth, len(fits))
	for i := range fits {
		out[i] = &fits[i].auth
	}
	return out
}

// qualified returns an image's name with its registry and without its tag.
func qualified(image string) string {
	name, _, _ := strings.Cut(image, "@")
	if i := strings.LastIndexByte(name, ':'); i > strings.LastIndexByte(name, '/') {
		name = name[:i]
	}
	first, _, more := strings.Cut(name, "/")
	switch {
	case more && (strings.ContainsAny(first, ".:") || first == "localhost"):
		return name
	case more:
		return "docker.io/" + name
	}
	return "docker.io/library/" + name
}
