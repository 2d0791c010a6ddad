package certificates

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/miniorch/miniorch/apiserver/registry/kind"
	"github.com/miniorch/miniorch/apiserver/resource"
)

type podRequest = *certificatesv1.PodCertificateRequest

const (
	defaultLife = 24 * 60 * 60
	minLife     = 60 * 60
	maxLife     = 91 * 24 * 60 * 60
	// maxOwnLife is the longest for which the cluster's own signers sign.
	maxOwnLife = 24 * 60 * 60
	maxStub    = 10 << 10
	maxChain   = 100 << 10
)

func podRequests() resource.Descriptor {
	return kind.Describe(kind.Of[podRequest]{
		Singular:      "podcertificaterequest",
		New:           func() podRequest { return &certificatesv1.PodCertificateRequest{} },
		NewList:       func() runtime.Object { return &certificatesv1.PodCertificateRequestList{} },
		Defaults:      func(r podRequest) { kind.SetDefault(&r.Spec.MaxExpirationSeconds, defaultLife) },
		PrepareCreate: func(r podRequest) { r.Status = certificatesv1.PodCertificateRequestStatus{} },
		PrepareUpdate: func(r, old podRequest) { r.Status = old.Status },
		Validate:      validatePodRequest,
		ValidateUpdate: func(r, old podRequest) field.ErrorList {
			return validation.ValidateImmutableField(r.Spec, old.Spec, field.NewPath("spec"))
		},
		Warnings: func(_, _ podRequest, isUpdate bool) []string {
			if isUpdate {
				return nil
			}
			return []string{"nobody in this cluster signs pods' certificates by himself"}
		},
		FieldNames: []string{"spec.signerName", "spec.podName", "spec.nodeName"},
		Fields: func(r podRequest) fields.Set {
			return fields.Set{"spec.signerName": r.Spec.SignerName, "spec.podName": r.Spec.PodName, "spec.nodeName": string(r.Spec.NodeName)}
		},
		Columns: podRequestColumns(),
		Subresources: []resource.Subresource{
			kind.StatusOf(func(r, old podRequest) { r.Spec = old.Spec }, validatePodRequestStatus),
		},
	})
}

func podRequestColumns() []kind.Column[podRequest] {
	return []kind.Column[podRequest]{
		kind.NameColumn[podRequest](),
		kind.TextColumn("PodName", "The pod that gets the certificate.", func(r podRequest) string { return r.Spec.PodName }),
		kind.TextColumn("ServiceAccountName", "The account that the pod runs as.", func(r podRequest) string { return r.Spec.ServiceAccountName }),
		kind.TextColumn("NodeName", "The node that the pod is on.", func(r podRequest) string { return string(r.Spec.NodeName) }),
		kind.TextColumn("SignerName", "Who is to sign.", func(r podRequest) string { return r.Spec.SignerName }),
		kind.TextColumn("State", "What has become of it.", func(r podRequest) string {
			if c := outcome(r); c != nil {
				return c.Type
			}
			return "Pending"
		}),
		kind.AgeColumn[podRequest](),
	}
}

// outcomes are the conditions that end a request: at most one of them comes.
var outcomes = map[string]bool{
	certificatesv1.PodCertificateRequestConditionTypeIssued: true, certificatesv1.PodCertificateRequestConditionTypeDenied: true,
	certificatesv1.PodCertificateRequestConditionTypeFailed: true,
}

func outcome(r podRequest) *metav1.Condition {
	for i := range r.Status.Conditions {
		if outcomes[r.Status.Conditions[i].Type] {
			return &r.Status.Conditions[i]
		}
	}
	return nil
}

func validatePodRequest(r podRequest) field.ErrorList {
	path := field.NewPath("spec")
	errs := validateSigner(r.Spec.SignerName, path.Child("signerName"))
	for _, part := range []struct{ name, value string }{
		{"podName", r.Spec.PodName}, {"serviceAccountName", r.Spec.ServiceAccountName}, {"nodeName", string(r.Spec.NodeName)},
	} {
		if part.value == "" {
			errs = append(errs, field.Required(path.Child(part.name), ""))
			continue
		}
		errs = append(errs, kind.Invalids(path.Child(part.name), part.value, validation.NameIsDNSSubdomain(part.value, false))...)
	}
	for _, part := range []struct{ name, value string }{
		{"podUID", string(r.Spec.PodUID)}, {"serviceAccountUID", string(r.Spec.ServiceAccountUID)}, {"nodeUID", string(r.Spec.NodeUID)},
	} {
		if part.value == "" {
			errs = append(errs, field.Required(path.Child(part.name), part.name+" must not be empty"))
		}
	}
	errs = append(errs, validateLife(r, path.Child("maxExpirationSeconds"))...)
	errs = append(errs, validation.ValidateAnnotations(r.Spec.UnverifiedUserAnnotations, path.Child("unverifiedUserAnnotations"))...)
	for key := range r.Spec.UnverifiedUserAnnotations {
		if !strings.Contains(key, "/") {
			errs = append(errs, field.Invalid(path.Child("unverifiedUserAnnotations"), key, "must be domain-prefixed (e.g. \"acme.io/foo\")"))
		}
	}
	at := path.Child("stubPKCS10Request")
	switch raw := r.Spec.StubPKCS10Request; {
	case len(raw) == 0:
		errs = append(errs, field.Required(at, ""))
	case len(raw) > maxStub:
		errs = append(errs, field.TooLong(at, "", maxStub))
	default:
		if err := checkStub(raw); err != nil {
			errs = append(errs, field.Invalid(at, "<value omitted>", err.Error()))
		}
	}
	return errs
}

func validateLife(r podRequest, path *field.Path) field.ErrorList {
	if r.Spec.MaxExpirationSeconds == nil {
		return field.ErrorList{field.Required(path, "must be set")}
	}
	longest := int32(maxLife)
	if strings.HasPrefix(r.Spec.SignerName, "kubernetes.io/") {
		longest = maxOwnLife
	}
	if s := *r.Spec.MaxExpirationSeconds; s < minLife || s > longest {
		return field.ErrorList{field.Invalid(path, s, fmt.Sprintf("must be in the range [%d, %d]", minLife, longest))}
	}
	return nil
}

// checkStub: whoever asks has the private key.
func checkStub(raw []byte) error {
	stub, err := x509.ParseCertificateRequest(raw)
	if err != nil {
		return err
	}
	if err := stub.CheckSignature(); err != nil {
		return fmt.Errorf("the signature is not good: %w", err)
	}
	return nil
}

func validatePodRequestStatus(r, old podRequest) field.ErrorList {
	path := field.NewPath("status")
	errs := metavalidation.ValidateConditions(r.Status.Conditions, path.Child("conditions"))
	ends := 0
	for i, c := range r.Status.Conditions {
		at := path.Child("conditions").Index(i)
		if !outcomes[c.Type] {
			errs = append(errs, field.NotSupported(at.Child("type"), c.Type, []string{"Denied", "Failed", "Issued"}))
			continue
		}
		ends++
		if c.Status != metav1.ConditionTrue {
			errs = append(errs, field.NotSupported(at.Child("status"), c.Status, []metav1.ConditionStatus{metav1.ConditionTrue}))
		}
	}
	if ends > 1 {
		errs = append(errs, field.Invalid(path.Child("conditions"), ends, `There may be at most one condition with type "Issued", "Denied", or "Failed"`))
	}
	if before := outcome(old); before != nil && !equality.Semantic.DeepEqual(r.Status, old.Status) {
		return append(errs, field.Forbidden(path, "immutable after PodCertificateRequest is issued, denied, or failed"))
	}
	if end := outcome(r); end == nil || end.Type != certificatesv1.PodCertificateRequestConditionTypeIssued {
		return append(errs, kind.Forbidden(path, "must be empty unless the certificate is issued",
			kind.Given{Name: "certificateChain", Set: r.Status.CertificateChain != ""}, kind.Given{Name: "notBefore", Set: r.Status.NotBefore != nil},
			kind.Given{Name: "notAfter", Set: r.Status.NotAfter != nil}, kind.Given{Name: "beginRefreshAt", Set: r.Status.BeginRefreshAt != nil})...)
	}
	return append(errs, validateIssued(r, path)...)
}

// validateIssued compares what the signer says of a certificate with the certificate.
func validateIssued(r podRequest, path *field.Path) field.ErrorList {
	at := path.Child("certificateChain")
	if len(r.Status.CertificateChain) > maxChain {
		return field.ErrorList{field.TooLong(at, "", maxChain)}
	}
	if errs := validateChain([]byte(r.Status.CertificateChain), at); len(errs) > 0 {
		return errs
	}
	leaf, err := leafOf(r.Status.CertificateChain)
	if err != nil {
		return field.ErrorList{field.Invalid(at, "<certificate data>", err.Error())}
	}
	var errs field.ErrorList
	if stub, err := x509.ParseCertificateRequest(r.Spec.StubPKCS10Request); err == nil && !bytes.Equal(leaf.RawSubjectPublicKeyInfo, stub.RawSubjectPublicKeyInfo) {
		errs = append(errs, field.Invalid(at, "<certificate data>", "leaf certificate was not issued to the requested public key"))
	}
	for _, one := range []struct {
		name string
		said *metav1.Time
		is   time.Time
	}{{"notBefore", r.Status.NotBefore, leaf.NotBefore}, {"notAfter", r.Status.NotAfter, leaf.NotAfter}} {
		switch {
		case one.said == nil:
			errs = append(errs, field.Required(path.Child(one.name), "must be present and consistent with the issued certificate"))
		case !one.said.Time.Equal(one.is):
			errs = append(errs, field.Invalid(path.Child(one.name), one.said, "must be set to the value in the leaf certificate"))
		}
	}
	if refresh := r.Status.BeginRefreshAt; refresh == nil {
		errs = append(errs, field.Required(path.Child("beginRefreshAt"), "must be present"))
	} else if refresh.Time.Before(leaf.NotBefore) || refresh.After(leaf.NotAfter) {
		errs = append(errs, field.Invalid(path.Child("beginRefreshAt"), refresh, "must be within the lifetime of the certificate"))
	}
	life := leaf.NotAfter.Sub(leaf.NotBefore)
	if longest := r.Spec.MaxExpirationSeconds; life < minLife*time.Second || longest != nil && life > time.Duration(*longest)*time.Second {
		errs = append(errs, field.Invalid(at, life.String(), "leaf certificate's lifetime must be at least an hour and at most spec.maxExpirationSeconds"))
	}
	return errs
}

func leafOf(chain string) (*x509.Certificate, error) {
	block, _ := pem.Decode([]byte(chain))
	if block == nil {
		return nil, errors.New("must contain at least one CERTIFICATE PEM block")
	}
	return x509.ParseCertificate(block.Bytes)
}
