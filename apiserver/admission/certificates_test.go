package admission_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"strings"
	"testing"

	certificatesv1 "k8s.io/api/certificates/v1"

	"github.com/miniorch/miniorch/apiserver/admission"
	"github.com/miniorch/miniorch/apiserver/auth"
	"github.com/miniorch/miniorch/pkg/api"
)

// permits is an authorizer that allows one verb in one signer's name.
type permits struct{ verb, signer string }

func (p permits) Authorize(_ context.Context, a auth.Attributes) (bool, string, error) {
	return a.Resource == "signers" && a.Verb == p.verb && a.Name == p.signer, "", nil
}

func csr(signer string, change ...func(*certificatesv1.CertificateSigningRequest)) *certificatesv1.CertificateSigningRequest {
	r := &certificatesv1.CertificateSigningRequest{Spec: certificatesv1.CertificateSigningRequestSpec{SignerName: signer}}
	r.Name = "r"
	for _, f := range change {
		f(r)
	}
	return r
}

// https://kubernetes.io/docs/reference/access-authn-authz/certificate-signing-requests/#authorization
func TestCertificateSigners(t *testing.T) {
	signed := func(r *certificatesv1.CertificateSigningRequest) { r.Status.Certificate = []byte("c") }
	failed := func(r *certificatesv1.CertificateSigningRequest) {
		r.Status.Conditions = []certificatesv1.CertificateSigningRequestCondition{{Type: certificatesv1.CertificateFailed}}
	}
	bundle := &certificatesv1.ClusterTrustBundle{Spec: certificatesv1.ClusterTrustBundleSpec{SignerName: "example.com/a", TrustBundle: "pem"}}
	const mine = "example.com/a"
	for _, tc := range []struct {
		name, reason, sub string
		request           *admission.Request
		may               permits
		says              string
	}{
		{"approve", "he may for this signer", "approval", update(csr(mine), csr(mine)), permits{"approve", mine}, ""},
		{"approve for the domain", "he may for all of it", "approval", update(csr(mine), csr(mine)), permits{"approve", "example.com/*"}, ""},
		{"approve for another", "he may not", "approval", update(csr(mine), csr(mine)), permits{"approve", "example.com/b"}, `user not permitted to approve requests with signerName "example.com/a"`},
		{"a signer approves", "signing is not approving", "approval", update(csr(mine), csr(mine)), permits{"sign", mine}, "not permitted to approve"},
		{"sign", "he may", "status", update(csr(mine, signed), csr(mine)), permits{"sign", mine}, ""},
		{"sign without", "he may not", "status", update(csr(mine, signed), csr(mine)), permits{}, "not permitted to sign"},
		{"fail without", "that is the signer's to say too", "status", update(csr(mine, failed), csr(mine)), permits{}, "not permitted to sign"},
		{"other status", "no certificate, no signer", "status", update(csr(mine, signed), csr(mine, signed)), permits{}, ""},
		{"labels", "the main door decides nothing", "", update(csr(mine), csr(mine)), permits{}, ""},
		{"trust", "roots are published in the signer's name", "", create(bundle), permits{}, "not permitted to attest"},
		{"trust, mine", "he may", "", create(bundle), permits{"attest", mine}, ""},
		{"trust, labels", "what is trusted stays", "", update(bundle.DeepCopy(), bundle), permits{}, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.request.Subresource = tc.sub
			err := admission.CertificateSigners{Authorizer: tc.may}.Validate(t.Context(), tc.request)
			if (err == nil) != (tc.says == "") || err != nil && !strings.Contains(err.Error(), tc.says) {
				t.Errorf("%s: %v", tc.reason, err)
			}
		})
	}
}

// https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/#certificatesubjectrestriction
func TestNobodyAsksToBeAnAdministrator(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	asks := func(signer string, groups ...string) *admission.Request {
		der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "u", Organization: groups}}, key)
		if err != nil {
			t.Fatal(err)
		}
		r := csr(signer)
		r.Spec.Request = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})
		return create(r)
	}
	for _, tc := range []struct {
		reason  string
		request *admission.Request
		says    string
	}{
		{"a developer", asks(certificatesv1.KubeAPIServerClientSignerName, "dev"), ""},
		{"an administrator", asks(certificatesv1.KubeAPIServerClientSignerName, "dev", "system:masters"), "signer with system:masters group is not allowed"},
		{"others' certificates mean nothing here", asks("example.com/a", "system:masters"), ""},
		{"no request at all", create(csr(certificatesv1.KubeAPIServerClientSignerName)), "not PEM"},
	} {
		err := admission.CertificateSubjectRestriction{}.Validate(t.Context(), tc.request)
		if (err == nil) != (tc.says == "") || err != nil && !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: %v", tc.reason, err)
		}
	}
}

// update is a request that makes one object of another.
func update(obj, old api.Object) *admission.Request {
	r := create(obj)
	r.Operation, r.Old = admission.Update, old
	return r
}
