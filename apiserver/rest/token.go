package rest

import (
	"context"
	"fmt"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/miniorch/miniorch/apiserver/admission"
	"github.com/miniorch/miniorch/pkg/api"
)

const (
	defaultTokenSeconds = 3600
	minTokenSeconds     = 600
	maxTokenSeconds     = 1 << 32
)

// issueToken answers a TokenRequest: the service account and what the token is bound to
// are looked up here, signing is the TokenIssuer's.
func (s *Store) issueToken(ctx context.Context, ns, name string, body api.Object, dryRun bool) (api.Object, error) {
	req, ok := body.(*authenticationv1.TokenRequest)
	if !ok {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("not a TokenRequest object: %T", body))
	}
	if s.reg.cfg.Tokens == nil {
		return nil, apierrors.NewServiceUnavailable("this server does not issue service account tokens")
	}
	if req.Spec.ExpirationSeconds == nil {
		seconds := int64(defaultTokenSeconds)
		req.Spec.ExpirationSeconds = &seconds
	}
	if errs := checkTokenRequest(req); len(errs) > 0 {
		return nil, apierrors.NewInvalid(authenticationv1.SchemeGroupVersion.WithKind("TokenRequest").GroupKind(), name, errs)
	}
	it, err := s.Get(ctx, ns, name, metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	sa := it.Object.(*corev1.ServiceAccount)
	if req.UID != "" && req.UID != sa.UID {
		return nil, s.wrongUID(sa, req.UID)
	}
	admit := s.request(ctx, admission.Create, ns, name, "token", req, sa, dryRun)
	if err := s.reg.admission.Admit(ctx, admit); err != nil {
		return nil, err
	}
	if err := s.reg.admission.Validate(ctx, admit); err != nil {
		return nil, err
	}
	bound, err := s.boundObject(ctx, ns, sa, req.Spec.BoundObjectRef)
	if err != nil {
		return nil, err
	}
	if dryRun {
		return req, nil
	}
	return s.reg.cfg.Tokens.IssueToken(ctx, sa, bound, req)
}

func checkTokenRequest(req *authenticationv1.TokenRequest) field.ErrorList {
	path := field.NewPath("spec", "expirationSeconds")
	switch seconds := *req.Spec.ExpirationSeconds; {
	case seconds < minTokenSeconds:
		return field.ErrorList{field.Invalid(path, seconds, "may not specify a duration less than 10 minutes")}
	case seconds > maxTokenSeconds:
		return field.ErrorList{field.Invalid(path, seconds, "may not specify a duration larger than 2^32 seconds")}
	}
	return nil
}

// boundObject finds what a token shall be bound to; nil if to nothing.
func (s *Store) boundObject(ctx context.Context, ns string, sa *corev1.ServiceAccount, ref *authenticationv1.BoundObjectReference) (api.Object, error) {
	if ref == nil {
		return nil, nil
	}
	resources := map[string]string{"Pod": "pods", "Secret": "secrets", "Node": "nodes"}
	resource, known := resources[ref.Kind]
	if !known || ref.APIVersion != "v1" {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("cannot bind token for serviceaccount %q to %s %s", sa.Name, ref.APIVersion, ref.Kind))
	}
	if ref.Kind == "Node" {
		ns = ""
	}
	other, ok := s.reg.Lookup(corev1.SchemeGroupVersion.WithResource(resource))
	if !ok {
		return nil, apierrors.NewNotFound(corev1.Resource(resource), ref.Name)
	}
	it, err := other.Get(ctx, ns, ref.Name, metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	if ref.UID != "" && ref.UID != it.Object.GetUID() {
		return nil, s.conflict(sa.Name, fmt.Errorf("the UID in the bound object reference (%s) does not match the UID in record. The object might have been deleted and then recreated", ref.UID))
	}
	if pod, ok := it.Object.(*corev1.Pod); ok && pod.Spec.ServiceAccountName != sa.Name {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("cannot bind token for serviceaccount %q to pod running with different serviceaccount name.", sa.Name))
	}
	return it.Object, nil
}
