package certificates

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"strings"

	certificatesv1 "k8s.io/api/certificates/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/miniorch/miniorch/apiserver/registry/kind"
	"github.com/miniorch/miniorch/apiserver/resource"
)

// maxBundle is how large a bundle of certificates may be.
const maxBundle = 1 << 20

func trustBundles() resource.Descriptor {
	type bundle = *certificatesv1.ClusterTrustBundle
	return kind.Describe(kind.Of[bundle]{
		Singular:      "clustertrustbundle",
		New:           func() bundle { return &certificatesv1.ClusterTrustBundle{} },
		NewList:       func() runtime.Object { return &certificatesv1.ClusterTrustBundleList{} },
		PrepareCreate: func(b bundle) { b.Generation = 1 },
		PrepareUpdate: func(b, old bundle) {
			if !equality.Semantic.DeepEqual(b.Spec, old.Spec) {
				b.Generation = old.Generation + 1
			}
		},
		Validate: validateTrustBundle,
		ValidateUpdate: func(b, old bundle) field.ErrorList {
			return validation.ValidateImmutableField(b.Spec.SignerName, old.Spec.SignerName, field.NewPath("spec", "signerName"))
		},
		ValidateName: kind.PathSegment, // names of signers have colons in them
		FieldNames:   []string{"spec.signerName"},
		Fields:       func(b bundle) fields.Set { return fields.Set{"spec.signerName": b.Spec.SignerName} },
		Columns: []kind.Column[bundle]{
			kind.NameColumn[bundle](),
			kind.TextColumn("SignerName", "Whose certificates it is about.", func(b bundle) string { return kind.OrNone(b.Spec.SignerName) }),
			kind.AgeColumn[bundle](),
		},
	})
}

// validateTrustBundle ties a signer's bundles to it by their names, and wants authorities'
// certificates, each once.
func validateTrustBundle(b *certificatesv1.ClusterTrustBundle) field.ErrorList {
	var errs field.ErrorList
	name := field.NewPath("metadata", "name")
	if signer := b.Spec.SignerName; signer != "" {
		errs = append(errs, validateSigner(signer, field.NewPath("spec", "signerName"))...)
		prefix := strings.ReplaceAll(signer, "/", ":") + ":"
		rest, found := strings.CutPrefix(b.Name, prefix)
		if !found {
			errs = append(errs, field.Invalid(name, b.Name, fmt.Sprintf("ClusterTrustBundle for signerName %s must be named with prefix %s", signer, prefix)))
		} else {
			errs = append(errs, kind.Invalids(name, b.Name, validation.NameIsDNSSubdomain(rest, false))...)
		}
	} else {
		errs = append(errs, kind.Invalids(name, b.Name, validation.NameIsDNSSubdomain(b.Name, false))...)
	}
	return append(errs, validateAnchors(b.Spec.TrustBundle, field.NewPath("spec", "trustBundle"))...)
}

func validateAnchors(text string, path *field.Path) field.ErrorList {
	const omitted = "<value omitted>"
	if len(text) > maxBundle {
		return field.ErrorList{field.TooLong(path, "", maxBundle)}
	}
	var errs field.ErrorList
	seen := map[string]int{}
	n := 0
	for rest := []byte(text); ; n++ {
		block, remainder := pem.Decode(rest)
		if block == nil {
			break
		}
		rest = remainder
		if why := badAnchor(block); why != "" {
			errs = append(errs, field.Invalid(path, omitted, fmt.Sprintf("entry %d %s", n, why)))
			continue
		}
		if first, twice := seen[string(block.Bytes)]; twice {
			errs = append(errs, field.Invalid(path, omitted, fmt.Sprintf("duplicate trust anchor (indices [%d %d])", first, n)))
		}
		seen[string(block.Bytes)] = n
	}
	if n == 0 {
		errs = append(errs, field.Invalid(path, omitted, "at least one trust anchor must be provided"))
	}
	return errs
}

// badAnchor says why a block cannot be trusted, or "".
func badAnchor(block *pem.Block) string {
	if block.Type != "CERTIFICATE" {
		return "has bad block type: " + block.Type
	}
	if len(block.Headers) > 0 {
		return "has PEM block headers"
	}
	c, err := x509.ParseCertificate(block.Bytes)
	switch {
	case err != nil:
		return "does not parse as X.509"
	case !c.IsCA:
		return "does not have the CA bit set"
	case !c.BasicConstraintsValid:
		return "has invalid basic constraints"
	}
	return ""
}
