package admission

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

const (
	defaultServiceAccount = "default"
	// mirrorAnnotation marks the API's copy of a pod that a node runs on its own account.
	mirrorAnnotation = "kubernetes.io/config.mirror"

	tokenMountPath      = "/var/run/secrets/kubernetes.io/serviceaccount"
	tokenVolumePrefix   = "kube-api-access-"
	tokenSeconds        = 3607 // an hour, and recognizable as the default
	rootCAConfigMap     = "kube-root-ca.crt"
	suffixAlphabet      = "bcdfghjklmnpqrstvwxz2456789"
	tokenVolumeFileMode = 0o644
)

// ServiceAccount gives every pod an identity: the service account named "default" if it
// asks for none, and the account's token mounted where client libraries look for it.
type ServiceAccount struct {
	Read   Reader
	Random func() uint64
}

// Name implements Plugin.
func (ServiceAccount) Name() string { return "ServiceAccount" }

// Admit implements Mutator.
func (p ServiceAccount) Admit(ctx context.Context, r *Request) error {
	pod, ok := r.Object.(*corev1.Pod)
	if !ok || r.Operation != Create || r.Subresource != "" {
		return nil
	}
	if _, mirror := pod.Annotations[mirrorAnnotation]; mirror {
		return refuseMirror(r, pod)
	}
	pod.Spec.ServiceAccountName = cmp.Or(pod.Spec.ServiceAccountName, defaultServiceAccount)
	pod.Spec.DeprecatedServiceAccount = pod.Spec.ServiceAccountName
	sa, err := p.account(ctx, r, pod.Spec.ServiceAccountName)
	if err != nil {
		return err
	}
	if wantsToken(sa, pod) {
		p.mountToken(pod)
	}
	if len(pod.Spec.ImagePullSecrets) == 0 {
		pod.Spec.ImagePullSecrets = slices.Clone(sa.ImagePullSecrets)
	}
	return nil
}

// refuseMirror: a mirror pod runs without the API's help, so it cannot have what only
// the API gives.
func refuseMirror(r *Request, pod *corev1.Pod) error {
	if pod.Spec.ServiceAccountName != "" {
		return Forbid(r, "a mirror pod may not reference service accounts")
	}
	for _, v := range pod.Spec.Volumes {
		if v.Secret != nil {
			return Forbid(r, "a mirror pod may not reference secrets")
		}
	}
	return nil
}

func (p ServiceAccount) account(ctx context.Context, r *Request, name string) (*corev1.ServiceAccount, error) {
	obj, err := p.Read.Get(ctx, corev1.SchemeGroupVersion.WithResource("serviceaccounts"), r.Namespace, name)
	if apierrors.IsNotFound(err) {
		return nil, Forbid(r, "error looking up service account %s/%s: %w", r.Namespace, name, err)
	}
	if err != nil {
		return nil, fmt.Errorf("looking up service account %s/%s: %w", r.Namespace, name, err)
	}
	return obj.(*corev1.ServiceAccount), nil
}

func wantsToken(sa *corev1.ServiceAccount, pod *corev1.Pod) bool {
	if pod.Spec.AutomountServiceAccountToken != nil {
		return *pod.Spec.AutomountServiceAccountToken
	}
	return sa.AutomountServiceAccountToken == nil || *sa.AutomountServiceAccountToken
}

// mountToken mounts the token volume in every container that has nothing there yet. A
// volume that an owner's template already carries is used again.
func (p ServiceAccount) mountToken(pod *corev1.Pod) {
	name, present := "", false
	for _, v := range pod.Spec.Volumes {
		if strings.HasPrefix(v.Name, tokenVolumePrefix) && v.Projected != nil {
			name, present = v.Name, true
		}
	}
	if !present {
		name = tokenVolumePrefix + p.suffix()
	}
	used := false
	for _, containers := range [][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for i := range containers {
			used = mountIn(&containers[i], name) || used
		}
	}
	if used && !present {
		pod.Spec.Volumes = append(pod.Spec.Volumes, corev1.Volume{Name: name, VolumeSource: tokenVolume()})
	}
}

func mountIn(c *corev1.Container, volume string) bool {
	for _, m := range c.VolumeMounts {
		if m.MountPath == tokenMountPath {
			return false
		}
	}
	c.VolumeMounts = append(c.VolumeMounts, corev1.VolumeMount{Name: volume, ReadOnly: true, MountPath: tokenMountPath})
	return true
}

func (p ServiceAccount) suffix() string {
	b := make([]byte, 5)
	for i, n := 0, p.Random(); i < len(b); i++ {
		b[i] = suffixAlphabet[n%uint64(len(suffixAlphabet))]
		n /= uint64(len(suffixAlphabet))
	}
	return string(b)
}

// tokenVolume is the token, the cluster's CA and the namespace in one directory.
func tokenVolume() corev1.VolumeSource {
	mode, seconds := int32(tokenVolumeFileMode), int64(tokenSeconds)
	return corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{
		DefaultMode: &mode,
		Sources: []corev1.VolumeProjection{
			{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Path: "token", ExpirationSeconds: &seconds}},
			{ConfigMap: &corev1.ConfigMapProjection{
				LocalObjectReference: corev1.LocalObjectReference{Name: rootCAConfigMap},
				Items:                []corev1.KeyToPath{{Key: "ca.crt", Path: "ca.crt"}},
			}},
			{DownwardAPI: &corev1.DownwardAPIProjection{Items: []corev1.DownwardAPIVolumeFile{{
				Path:     "namespace",
				FieldRef: &corev1.ObjectFieldSelector{APIVersion: "v1", FieldPath: "metadata.namespace"},
			}}}},
		},
	}}
}
