package volumes

import (
	"context"
	"fmt"
	"os"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/miniorch/miniorch/pkg/api"
	"github.com/miniorch/miniorch/pkg/client"
)

// token is a service account token that a pod was given.
type token struct {
	value   []byte
	renewAt time.Time
}

// addToken adds a token bound to the pod; it is asked for again when four fifths of its life
// (or a day) are over.
func (m *Manager) addToken(ctx context.Context, files map[string]file, pv *podVolumes, pod *corev1.Pod, src *corev1.ServiceAccountTokenProjection, mode os.FileMode) error {
	seconds := int64(3600)
	if src.ExpirationSeconds != nil {
		seconds = *src.ExpirationSeconds
	}
	key := fmt.Sprintf("%s/%d", src.Audience, seconds)
	t := pv.tokens[key]
	if now := m.cfg.Clock.Now(); t == nil || !now.Before(t.renewAt) {
		fresh, err := m.requestToken(ctx, pod, src.Audience, seconds)
		if err != nil {
			if t == nil {
				return fmt.Errorf("failed to fetch token: %w", err)
			}
			// The old one is still good for a while.
			m.cfg.Logger.Warn("cannot renew service account token", "pod", pod.Namespace+"/"+pod.Name, "err", err)
			fresh = &token{value: t.value, renewAt: now.Add(10 * time.Second)}
		}
		t = fresh
		pv.tokens[key] = t
	}
	m.refreshBy(pv, t.renewAt)
	f := file{data: t.value, mode: mode}
	if user := onlyUser(pod); user != nil {
		f.owner, f.mode = user, 0o600
	} else if fsGroup(pod) != nil {
		f.mode = 0o600 // the group's bits are added for every file
	}
	files[src.Path] = f
	return nil
}

func (m *Manager) requestToken(ctx context.Context, pod *corev1.Pod, audience string, seconds int64) (*token, error) {
	req := &authenticationv1.TokenRequest{
		ObjectMeta: metav1.ObjectMeta{Namespace: pod.Namespace, Name: pod.Spec.ServiceAccountName},
		Spec: authenticationv1.TokenRequestSpec{
			ExpirationSeconds: &seconds,
			BoundObjectRef:    &authenticationv1.BoundObjectReference{Kind: "Pod", APIVersion: "v1", Name: pod.Name, UID: pod.UID},
		},
	}
	if audience != "" {
		req.Spec.Audiences = []string{audience}
	}
	obj, err := m.transport.Create(ctx, client.Request{
		Resource: api.ResourceFor[*corev1.ServiceAccount](), Namespace: pod.Namespace,
		Name: pod.Spec.ServiceAccountName, Subresource: "token",
	}, req, metav1.CreateOptions{})
	if err != nil {
		return nil, err
	}
	answer, ok := obj.(*authenticationv1.TokenRequest)
	if !ok || answer.Status.Token == "" {
		return nil, fmt.Errorf("the API answered with a %T without a token", obj)
	}
	now := m.cfg.Clock.Now()
	life := answer.Status.ExpirationTimestamp.Sub(now)
	return &token{value: []byte(answer.Status.Token), renewAt: now.Add(min(life*4/5, 24*time.Hour))}, nil
}

// onlyUser is the user that all containers run as, if the pod says so: the token is then
// theirs alone.
func onlyUser(pod *corev1.Pod) *int64 {
	var user *int64
	if sc := pod.Spec.SecurityContext; sc != nil {
		user = sc.RunAsUser
	}
	var only *int64
	for _, cs := range [][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for i := range cs {
			u := user
			if sc := cs[i].SecurityContext; sc != nil && sc.RunAsUser != nil {
				u = sc.RunAsUser
			}
			if u == nil || only != nil && *only != *u {
				return nil
			}
			only = u
		}
	}
	return only
}
