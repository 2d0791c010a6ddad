package certificates

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"testing"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/miniorch/miniorch/apiserver/registry/kindtest"
)

// issue makes a certificate for an hour or more, and the request of the same key.
func issue(t *testing.T, ca bool, life time.Duration) (chain string, stub []byte, cert *x509.Certificate) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	from := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	self := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: from, NotAfter: from.Add(life), IsCA: ca, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, self, self, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	if stub, err = x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key); err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), stub, self
}

func TestTrustBundles(t *testing.T) {
	authority, _, _ := issue(t, true, time.Hour)
	leaf, _, _ := issue(t, false, time.Hour)
	for _, c := range []struct {
		name, object, signer, anchors string
		want                          []string
	}{
		{"nobody's", "roots", "", authority, nil},
		{"a signer's", "example.com:a:v1", "example.com/a", authority, nil},
		{"a signer's by another name", "roots", "example.com/a", authority, []string{"metadata.name: Invalid value: \"roots\": ClusterTrustBundle for signerName example.com/a must be named with prefix example.com:a:"}},
		{"nobody's by a signer's name", "example.com:a:v1", "", authority, []string{"metadata.name: Invalid value"}},
		{"empty", "roots", "", "words", []string{"at least one trust anchor must be provided"}},
		{"no authority", "roots", "", leaf, []string{"entry 0 does not have the CA bit set"}},
		{"twice", "roots", "", authority + authority, []string{"duplicate trust anchor (indices [0 1])"}},
		{"a key", "roots", "", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", []string{"entry 0 has bad block type: PRIVATE KEY"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			kindtest.WantErrors(t, validateTrustBundle(&certificatesv1.ClusterTrustBundle{
				ObjectMeta: metav1.ObjectMeta{Name: c.object}, Spec: certificatesv1.ClusterTrustBundleSpec{SignerName: c.signer, TrustBundle: c.anchors},
			}), c.want...)
		})
	}
}

func TestPodRequests(t *testing.T) {
	chain, stub, cert := issue(t, false, 2*time.Hour)
	other, _, _ := issue(t, false, 2*time.Hour)
	good := &certificatesv1.PodCertificateRequest{Spec: certificatesv1.PodCertificateRequestSpec{
		SignerName: "example.com/a", PodName: "p", PodUID: "1", ServiceAccountName: "s", ServiceAccountUID: "2", NodeName: "n", NodeUID: "3", StubPKCS10Request: stub,
	}}
	d := podRequests()
	d.Default(good)
	kindtest.WantErrors(t, validatePodRequest(good))
	empty := &certificatesv1.PodCertificateRequest{}
	d.Default(empty)
	kindtest.WantErrors(t, validatePodRequest(empty), "spec.signerName: Required", "spec.podName: Required", "spec.serviceAccountName: Required", "spec.nodeName: Required",
		"spec.podUID: Required", "spec.serviceAccountUID: Required", "spec.nodeUID: Required", "spec.stubPKCS10Request: Required")
	bad := good.DeepCopy()
	*bad.Spec.MaxExpirationSeconds = 60
	bad.Spec.StubPKCS10Request = []byte("a")
	bad.Spec.UnverifiedUserAnnotations = map[string]string{"plain": "x"}
	kindtest.WantErrors(t, validatePodRequest(bad), "spec.maxExpirationSeconds: Invalid value: 60: must be in the range [3600, 7862400]", "spec.stubPKCS10Request: Invalid", "must be domain-prefixed")

	from, to := metav1.NewTime(cert.NotBefore), metav1.NewTime(cert.NotAfter)
	issued := good.DeepCopy()
	issued.Status = certificatesv1.PodCertificateRequestStatus{
		CertificateChain: chain, NotBefore: &from, NotAfter: &to, BeginRefreshAt: &from,
		Conditions: []metav1.Condition{{Type: "Issued", Status: "True", Reason: "a", LastTransitionTime: from}},
	}
	kindtest.WantErrors(t, validatePodRequestStatus(issued, good))
	kindtest.WantErrors(t, validatePodRequestStatus(good, issued), "immutable after PodCertificateRequest is issued, denied, or failed")
	wrong := issued.DeepCopy()
	wrong.Status.CertificateChain = other
	kindtest.WantErrors(t, validatePodRequestStatus(wrong, good), "leaf certificate was not issued to the requested public key")
	wrong = issued.DeepCopy()
	wrong.Status.NotAfter, wrong.Status.BeginRefreshAt = nil, &metav1.Time{Time: to.Add(time.Hour)}
	kindtest.WantErrors(t, validatePodRequestStatus(wrong, good), "status.notAfter: Required", "status.beginRefreshAt: Invalid")
	denied := issued.DeepCopy()
	denied.Status.Conditions[0].Type = "Denied"
	kindtest.WantErrors(t, validatePodRequestStatus(denied, good), "certificateChain: Forbidden", "notBefore: Forbidden", "notAfter: Forbidden", "beginRefreshAt: Forbidden")
	if got, want := kindtest.Row(podRequestColumns(), issued, time.Now(), true), " | p | s | n | example.com/a | Issued | <unknown>"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
