package certificates

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"testing"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/miniorch/miniorch/apiserver/auth"
	"github.com/miniorch/miniorch/apiserver/registry/kindtest"
)

// sample is a valid request, and a certificate.
func sample(t *testing.T) (request, []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "a"}}, key)
	if err != nil {
		t.Fatal(err)
	}
	self := &x509.Certificate{SerialNumber: big.NewInt(1)}
	cert, err := x509.CreateCertificate(rand.Reader, self, self, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	r := &certificatesv1.CertificateSigningRequest{Spec: certificatesv1.CertificateSigningRequestSpec{
		Request:    pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}),
		SignerName: "example.com/serving", Usages: []certificatesv1.KeyUsage{certificatesv1.UsageServerAuth},
	}}
	return r, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert})
}

func condition(t certificatesv1.RequestConditionType) certificatesv1.CertificateSigningRequestCondition {
	return certificatesv1.CertificateSigningRequestCondition{Type: t, Status: corev1.ConditionTrue}
}

func TestValidate(t *testing.T) {
	good, _ := sample(t)
	short := int32(599)
	for _, c := range []struct {
		name   string
		change func(request)
		want   []string
	}{
		{"good", func(request) {}, nil},
		{"empty", func(r request) { r.Spec = certificatesv1.CertificateSigningRequestSpec{} },
			[]string{"spec.request: Invalid value", "spec.usages: Required value", "spec.signerName: Required value"}},
		{"not PEM", func(r request) { r.Spec.Request = []byte("a") }, []string{"PEM block type must be CERTIFICATE REQUEST"}},
		{"usages", func(r request) { r.Spec.Usages = []certificatesv1.KeyUsage{"fun", "any", "any"} }, []string{"spec.usages[0]: Unsupported value: \"fun\"", "spec.usages[2]: Duplicate value: \"any\""}},
		{"short", func(r request) { r.Spec.ExpirationSeconds = &short }, []string{"spec.expirationSeconds: Invalid value: 599"}},
		{"no path", func(r request) { r.Spec.SignerName = "example.com" }, []string{"must be a fully qualified domain and path of the form 'example.com/signer-name'"}},
		{"no domain", func(r request) { r.Spec.SignerName = "example/a" }, []string{"should be a domain with at least two segments separated by dots"}},
		{"legacy", func(r request) { r.Spec.SignerName = "kubernetes.io/legacy-unknown" }, []string{"the legacy signerName is not allowed"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := good.DeepCopy()
			c.change(r)
			kindtest.WantErrors(t, validateRequest(r), c.want...)
		})
	}
}

func TestDecisions(t *testing.T) {
	pending, cert := sample(t)
	approved, denied := pending.DeepCopy(), pending.DeepCopy()
	approved.Status.Conditions = append(approved.Status.Conditions, condition(certificatesv1.CertificateApproved))
	denied.Status.Conditions = append(denied.Status.Conditions, condition(certificatesv1.CertificateDenied))
	issued := approved.DeepCopy()
	issued.Status.Certificate = cert
	kindtest.WantErrors(t, validateApprovalUpdate(approved, pending))
	kindtest.WantErrors(t, validateApprovalUpdate(pending, approved), "updates may not remove a condition of type \"Approved\"")
	both := approved.DeepCopy()
	both.Status.Conditions = append(both.Status.Conditions, condition(certificatesv1.CertificateDenied))
	kindtest.WantErrors(t, validateApprovalUpdate(both, approved), "Approved and Denied conditions are mutually exclusive")
	doubtful := approved.DeepCopy()
	doubtful.Status.Conditions[0].Status = corev1.ConditionFalse
	kindtest.WantErrors(t, validateApprovalUpdate(doubtful, pending), "status.conditions[0].status: Unsupported value: \"False\"")
	kindtest.WantErrors(t, validateStatusUpdate(approved, pending), "updates may not add a condition of type \"Approved\"")
	kindtest.WantErrors(t, validateStatusUpdate(issued, approved))
	kindtest.WantErrors(t, validateStatusUpdate(approved, issued), "updates may not modify existing certificate content")
	broken := approved.DeepCopy()
	broken.Status.Certificate = pending.Spec.Request
	kindtest.WantErrors(t, validateStatusUpdate(broken, approved), "only CERTIFICATE PEM blocks without headers are allowed")

	door := approval(time.Now)
	changed := issued.DeepCopy()
	changed.Spec.SignerName = "evil.com/a"
	door.PrepareUpdate(t.Context(), changed, pending)
	if changed.Spec.SignerName != pending.Spec.SignerName || changed.Status.Certificate != nil || len(changed.Status.Conditions) != 1 {
		t.Errorf("approving changed more than conditions: %+v", changed)
	}
	for want, r := range map[string]request{"Pending": pending, "Denied": denied, "Approved": approved, "Approved,Issued": issued} {
		if got := printCondition(r); got != want {
			t.Errorf("condition %q, want %q", got, want)
		}
	}
	now := time.Now()
	if got, want := kindtest.Row(requestColumns(), pending, now, true), " | <unknown> | example.com/serving |  | <none> | Pending"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestRequestorIsWhoAsks(t *testing.T) {
	r, _ := sample(t)
	r.Spec.Username, r.Spec.Groups = "root", []string{"system:masters"}
	r.Status.Conditions = append(r.Status.Conditions, condition(certificatesv1.CertificateApproved))
	d := signingRequests(time.Now)
	d.PrepareCreate(auth.WithUser(t.Context(), auth.User{Name: "u", Groups: []string{"g"}, Extra: map[string][]string{"k": {"v"}}}), r)
	if r.Spec.Username != "u" || r.Spec.Groups[0] != "g" || len(r.Spec.Groups) != 1 || r.Spec.Extra["k"][0] != "v" || len(r.Status.Conditions) != 0 {
		t.Errorf("%+v", r)
	}
}

// https://kubernetes.io/docs/reference/kubernetes-api/authentication-resources/certificate-signing-request-v1/
func TestConditionsAreDated(t *testing.T) {
	first, now := time.Unix(1000, 0), time.Unix(2000, 0)
	old, _ := sample(t)
	old.Status.Conditions = append(old.Status.Conditions, condition(certificatesv1.CertificateApproved), condition("Other"))
	dateConditions(old, old, first)
	r := old.DeepCopy()
	r.Status.Conditions[0].Reason, r.Status.Conditions[0].LastUpdateTime = "Changed", metav1.Time{}
	other := condition("Other")
	other.Reason = "Again"
	r.Status.Conditions[1] = other
	r.Status.Conditions = append(r.Status.Conditions, condition(certificatesv1.CertificateFailed))
	prepareStatus(r, old, now)
	if got := r.Status.Conditions[0]; got.Reason != "" || !got.LastUpdateTime.Time.Equal(first) {
		t.Errorf("a status changed what was decided: %+v", got)
	}
	if got := r.Status.Conditions[1]; got.Reason != "Again" || !got.LastUpdateTime.Time.Equal(now) || !got.LastTransitionTime.Time.Equal(first) {
		t.Errorf("a condition that says the same since the first: %+v", got)
	}
	if got := r.Status.Conditions[2]; !got.LastUpdateTime.Time.Equal(now) || !got.LastTransitionTime.Time.Equal(now) {
		t.Errorf("a new condition: %+v", got)
	}
	kindtest.WantErrors(t, validateStatusUpdate(r, old))
}
