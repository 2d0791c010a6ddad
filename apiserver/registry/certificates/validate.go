package certificates

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	utilvalidation "k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/miniorch/miniorch/apiserver/registry/kind"
)

// minSeconds is the shortest life of a certificate that may be asked for.
const minSeconds = 600

var usages = []certificatesv1.KeyUsage{
	certificatesv1.UsageSigning, certificatesv1.UsageDigitalSignature, certificatesv1.UsageContentCommitment, certificatesv1.UsageKeyEncipherment,
	certificatesv1.UsageKeyAgreement, certificatesv1.UsageDataEncipherment, certificatesv1.UsageCertSign, certificatesv1.UsageCRLSign,
	certificatesv1.UsageEncipherOnly, certificatesv1.UsageDecipherOnly, certificatesv1.UsageAny, certificatesv1.UsageServerAuth,
	certificatesv1.UsageClientAuth, certificatesv1.UsageCodeSigning, certificatesv1.UsageEmailProtection, certificatesv1.UsageSMIME,
	certificatesv1.UsageIPsecEndSystem, certificatesv1.UsageIPsecTunnel, certificatesv1.UsageIPsecUser, certificatesv1.UsageTimestamping,
	certificatesv1.UsageOCSPSigning, certificatesv1.UsageMicrosoftSGC, certificatesv1.UsageNetscapeSGC,
}

func validateRequest(r request) field.ErrorList {
	path := field.NewPath("spec")
	var errs field.ErrorList
	if err := parseRequest(r.Spec.Request); err != nil {
		errs = append(errs, field.Invalid(path.Child("request"), r.Spec.Request, err.Error()))
	}
	if len(r.Spec.Usages) == 0 {
		errs = append(errs, field.Required(path.Child("usages"), ""))
	}
	for i, u := range r.Spec.Usages {
		at := path.Child("usages").Index(i)
		errs = append(errs, kind.OneOf(u, at, usages...)...)
		if slices.Contains(r.Spec.Usages[:i], u) {
			errs = append(errs, field.Duplicate(at, u))
		}
	}
	if s := r.Spec.ExpirationSeconds; s != nil && *s < minSeconds {
		errs = append(errs, field.Invalid(path.Child("expirationSeconds"), *s, "may not specify a duration less than 600 seconds (10 minutes)"))
	}
	errs = append(errs, validateSigner(r.Spec.SignerName, path.Child("signerName"))...)
	return append(errs, validateConditions(r.Status.Conditions, field.NewPath("status", "conditions"))...)
}

// parseRequest checks that what is to be signed is a request for a certificate.
func parseRequest(data []byte) error {
	block, _ := pem.Decode(data)
	if block == nil || block.Type != "CERTIFICATE REQUEST" {
		return errors.New("PEM block type must be CERTIFICATE REQUEST")
	}
	if _, err := x509.ParseCertificateRequest(block.Bytes); err != nil {
		return err
	}
	return nil
}

// validateSigner takes "domain.tld/path": the domain is the signer's, the path says for what.
func validateSigner(name string, path *field.Path) field.ErrorList {
	if name == "" {
		return field.ErrorList{field.Required(path, "")}
	}
	domain, rest, found := strings.Cut(name, "/")
	if !found || rest == "" || strings.Contains(rest, "/") {
		return field.ErrorList{field.Invalid(path, name, "must be a fully qualified domain and path of the form 'example.com/signer-name'")}
	}
	errs := kind.Invalids(path, domain, utilvalidation.IsDNS1123Subdomain(domain))
	if !strings.Contains(domain, ".") {
		errs = append(errs, field.Invalid(path, domain, "should be a domain with at least two segments separated by dots"))
	}
	errs = append(errs, kind.Invalids(path, rest, utilvalidation.IsDNS1123Subdomain(rest))...)
	if name == "kubernetes.io/legacy-unknown" {
		errs = append(errs, field.Invalid(path, name, "the legacy signerName is not allowed via this API version"))
	}
	return errs
}

func validateConditions(conditions []certificatesv1.CertificateSigningRequestCondition, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	seen := map[certificatesv1.RequestConditionType]bool{}
	for i, c := range conditions {
		at := path.Index(i)
		if c.Type == "" {
			errs = append(errs, field.Required(at.Child("type"), ""))
		}
		switch c.Type {
		case certificatesv1.CertificateApproved, certificatesv1.CertificateDenied, certificatesv1.CertificateFailed:
			errs = append(errs, kind.RequiredOneOf(c.Status, at.Child("status"), corev1.ConditionTrue)...)
		default:
			errs = append(errs, kind.RequiredOneOf(c.Status, at.Child("status"), corev1.ConditionTrue, corev1.ConditionFalse, corev1.ConditionUnknown)...)
		}
		if seen[c.Type] {
			errs = append(errs, field.Duplicate(at.Child("type"), c.Type))
		}
		seen[c.Type] = true
	}
	if seen[certificatesv1.CertificateApproved] && seen[certificatesv1.CertificateDenied] {
		errs = append(errs, field.Invalid(path, "Approved,Denied", "Approved and Denied conditions are mutually exclusive"))
	}
	return errs
}

// decisions are the conditions that are made through the approval subresource.
var decisions = []certificatesv1.RequestConditionType{certificatesv1.CertificateApproved, certificatesv1.CertificateDenied}

// positions tells where the conditions of one type are.
func positions(r request, t certificatesv1.RequestConditionType) (found []int) {
	for i, c := range r.Status.Conditions {
		if c.Type == t {
			found = append(found, i)
		}
	}
	return found
}

// validateApprovalUpdate: what is decided stays decided.
func validateApprovalUpdate(r, old request) field.ErrorList {
	path := field.NewPath("status", "conditions")
	errs := validateConditions(r.Status.Conditions, path)
	for _, t := range append(decisions[:2:2], certificatesv1.CertificateFailed) {
		if len(positions(r, t)) < len(positions(old, t)) {
			errs = append(errs, field.Forbidden(path, fmt.Sprintf("updates may not remove a condition of type %q", t)))
		}
	}
	return errs
}

func validateStatusUpdate(r, old request) field.ErrorList {
	path := field.NewPath("status")
	errs := validateApprovalUpdate(r, old)
	for _, t := range decisions {
		if len(positions(r, t)) > len(positions(old, t)) {
			errs = append(errs, field.Forbidden(path.Child("conditions"), fmt.Sprintf("updates may not add a condition of type %q", t)))
		}
	}
	if bytes.Equal(r.Status.Certificate, old.Status.Certificate) {
		return errs
	}
	if len(old.Status.Certificate) > 0 {
		return append(errs, field.Forbidden(path.Child("certificate"), "updates may not modify existing certificate content"))
	}
	return append(errs, validateChain(r.Status.Certificate, path.Child("certificate"))...)
}

// validateChain checks that what a signer brings is certificates and nothing else.
func validateChain(data []byte, path *field.Path) field.ErrorList {
	rest, blocks := data, 0
	for {
		block, remainder := pem.Decode(rest)
		if block == nil {
			break
		}
		blocks++
		if block.Type != "CERTIFICATE" || len(block.Headers) > 0 {
			return field.ErrorList{field.Invalid(path, "<certificate data>", fmt.Sprintf("only CERTIFICATE PEM blocks without headers are allowed, found %q", block.Type))}
		}
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			return field.ErrorList{field.Invalid(path, "<certificate data>", err.Error())}
		}
		rest = remainder
	}
	if blocks == 0 {
		return field.ErrorList{field.Invalid(path, "<certificate data>", "must contain at least one CERTIFICATE PEM block")}
	}
	return nil
}
