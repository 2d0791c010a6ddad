package admission

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"slices"
	"strings"

	certificatesv1 "k8s.io/api/certificates/v1"
	"k8s.io/apimachinery/pkg/api/equality"

	"github.com/miniorch/miniorch/apiserver/auth"
)

// CertificateSigners lets only those approve requests for certificates, sign them and publish
// roots of trust who may do so in the signer's name: whoever may write the object may not yet decide
// for every signer.
type CertificateSigners struct{ Authorizer auth.Authorizer }

// Name implements Plugin.
func (CertificateSigners) Name() string { return "CertificateSigners" }

// Validate implements Validator.
func (p CertificateSigners) Validate(ctx context.Context, r *Request) error {
	verb, signer := actsFor(r)
	if signer == "" {
		return nil
	}
	domain, _, _ := strings.Cut(signer, "/")
	for _, name := range []string{signer, domain + "/*"} {
		ok, _, err := p.Authorizer.Authorize(ctx, auth.Attributes{User: r.User, Verb: verb, Group: certificatesv1.GroupName, Version: "*", Resource: "signers", Name: name})
		if err != nil {
			return fmt.Errorf("asking whether %q may %s for signer %q: %w", r.User.Name, verb, signer, err)
		}
		if ok {
			return nil
		}
	}
	return Forbid(r, "user not permitted to %s requests with signerName %q", verb, signer)
}

// actsFor tells in which signer's name a request acts, and how; empty: in nobody's.
func actsFor(r *Request) (verb, signer string) {
	switch is := r.Object.(type) {
	case *certificatesv1.CertificateSigningRequest:
		old, ok := r.Old.(*certificatesv1.CertificateSigningRequest)
		switch {
		case !ok:
		case r.Subresource == "approval":
			return "approve", old.Spec.SignerName
		case r.Subresource == "status" && signs(is, old):
			return "sign", old.Spec.SignerName
		}
	case *certificatesv1.PodCertificateRequest:
		if r.Subresource == "status" {
			return "sign", is.Spec.SignerName
		}
	case *certificatesv1.ClusterTrustBundle:
		if old, ok := r.Old.(*certificatesv1.ClusterTrustBundle); !ok || !equality.Semantic.DeepEqual(is.Spec, old.Spec) {
			return "attest", is.Spec.SignerName
		}
	}
	return "", ""
}

// signs tells whether a certificate is added, or said to be impossible.
func signs(is, old *certificatesv1.CertificateSigningRequest) bool {
	failed := func(r *certificatesv1.CertificateSigningRequest) bool {
		return slices.ContainsFunc(r.Status.Conditions, func(c certificatesv1.CertificateSigningRequestCondition) bool {
			return c.Type == certificatesv1.CertificateFailed
		})
	}
	return !bytes.Equal(is.Status.Certificate, old.Status.Certificate) || failed(is) && !failed(old)
}

// CertificateSubjectRestriction refuses requests for a client certificate that would make its owner an
// administrator, whoever asks.
type CertificateSubjectRestriction struct{}

// Name implements Plugin.
func (CertificateSubjectRestriction) Name() string { return "CertificateSubjectRestriction" }

// Validate implements Validator.
func (CertificateSubjectRestriction) Validate(_ context.Context, r *Request) error {
	csr, ok := r.Object.(*certificatesv1.CertificateSigningRequest)
	if !ok || r.Operation != Create || r.Subresource != "" || csr.Spec.SignerName != certificatesv1.KubeAPIServerClientSignerName {
		return nil
	}
	block, _ := pem.Decode(csr.Spec.Request)
	if block == nil {
		return Forbid(r, "the request is not PEM")
	}
	asked, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return Forbid(r, "unable to parse the request: %v", err)
	}
	if slices.Contains(asked.Subject.Organization, auth.GroupMasters) {
		return Forbid(r, "use of %s signer with %s group is not allowed", csr.Spec.SignerName, auth.GroupMasters)
	}
	return nil
}
