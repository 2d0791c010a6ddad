// Package certificates describes the kinds of certificates.k8s.io/v1: requests for
// certificates, which somebody approves and somebody else signs, and whom to trust.
package certificates

import (
	"context"
	"slices"
	"strings"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/duration"

	"github.com/miniorch/miniorch/apiserver/auth"
	"github.com/miniorch/miniorch/apiserver/registry/kind"
	"github.com/miniorch/miniorch/apiserver/resource"
	"github.com/miniorch/miniorch/pkg/api"
)

type request = *certificatesv1.CertificateSigningRequest

// Kinds returns the descriptors of the group; now is the server's time.
func Kinds(now func() time.Time) []resource.Descriptor {
	return []resource.Descriptor{signingRequests(now), trustBundles(), podRequests()}
}

func signingRequests(now func() time.Time) resource.Descriptor {
	d := kind.Describe(kind.Of[request]{
		Singular:      "certificatesigningrequest",
		ShortNames:    []string{"csr"},
		New:           func() request { return &certificatesv1.CertificateSigningRequest{} },
		NewList:       func() runtime.Object { return &certificatesv1.CertificateSigningRequestList{} },
		PrepareUpdate: func(r, old request) { r.Spec, r.Status = old.Spec, old.Status },
		Validate:      validateRequest,
		FieldNames:    []string{"spec.signerName"},
		Fields:        func(r request) fields.Set { return fields.Set{"spec.signerName": r.Spec.SignerName} },
		Warnings: func(r, _ request, isUpdate bool) []string {
			if isUpdate || !strings.HasPrefix(r.Spec.SignerName, "kubernetes.io/") {
				return nil
			}
			return []string{"spec.signerName: nobody in this cluster signs for " + r.Spec.SignerName + " by himself"}
		},
		UnconditionalUpdate: true,
		Columns:             requestColumns(),
		Subresources: []resource.Subresource{
			kind.StatusOf(func(r, old request) { prepareStatus(r, old, now()) }, validateStatusUpdate),
			approval(now),
		},
	})
	// Who asks for a certificate is what the request is judged by, so it is not the asker's to say.
	d.PrepareCreate = func(ctx context.Context, obj api.Object) {
		user, _ := auth.UserFrom(ctx)
		prepareCreate(obj.(request), user)
	}
	return d
}

func prepareCreate(r request, user auth.User) {
	r.Status = certificatesv1.CertificateSigningRequestStatus{}
	r.Spec.Username, r.Spec.UID, r.Spec.Groups, r.Spec.Extra = user.Name, user.UID, slices.Clone(user.Groups), nil
	for key, values := range user.Extra {
		if r.Spec.Extra == nil {
			r.Spec.Extra = map[string]certificatesv1.ExtraValue{}
		}
		r.Spec.Extra[key] = slices.Clone(values)
	}
}

// approval is where a request is approved or denied; nothing else changes there.
func approval(now func() time.Time) resource.Subresource {
	sub := kind.StatusOf(func(r, old request) {
		r.Spec = old.Spec
		conditions := r.Status.Conditions
		r.Status = old.Status
		r.Status.Conditions = conditions
		dateConditions(r, old, now())
	}, validateApprovalUpdate)
	sub.Name = "approval"
	return sub
}

// prepareStatus puts decisions back as they are, which are made through the other door. One that is
// too many or too few stays so: validation refuses it.
func prepareStatus(r, old request, now time.Time) {
	r.Spec = old.Spec
	for _, t := range decisions {
		is, was := positions(r, t), positions(old, t)
		if len(is) != len(was) {
			continue
		}
		for n := range is {
			r.Status.Conditions[is[n]] = old.Status.Conditions[was[n]]
		}
	}
	dateConditions(r, old, now)
}

// dateConditions notes when a condition was last written and since when it says what it says, where
// who wrote it did not.
func dateConditions(r, old request, now time.Time) {
	at := metav1.NewTime(now)
	for i := range r.Status.Conditions {
		c := &r.Status.Conditions[i]
		if c.LastUpdateTime.IsZero() {
			c.LastUpdateTime = at
		}
		if !c.LastTransitionTime.IsZero() {
			continue
		}
		c.LastTransitionTime = at
		for _, was := range old.Status.Conditions {
			if was.Type == c.Type && was.Status == c.Status && !was.LastTransitionTime.IsZero() {
				c.LastTransitionTime = was.LastTransitionTime
				break
			}
		}
	}
}

func requestColumns() []kind.Column[request] {
	return []kind.Column[request]{
		kind.NameColumn[request](),
		kind.AgeColumn[request](),
		kind.TextColumn("SignerName", "Who is to sign.", func(r request) string {
			if r.Spec.SignerName == "" {
				return kind.None
			}
			return r.Spec.SignerName
		}),
		kind.TextColumn("Requestor", "Who asked for it.", func(r request) string { return r.Spec.Username }),
		kind.TextColumn("RequestedDuration", "How long it shall be valid.", func(r request) string {
			if r.Spec.ExpirationSeconds == nil {
				return kind.None
			}
			return duration.HumanDuration(time.Duration(*r.Spec.ExpirationSeconds) * time.Second)
		}),
		kind.TextColumn("Condition", "What has become of it.", printCondition),
	}
}

func printCondition(r request) string {
	var approved, denied, failed bool
	for _, c := range r.Status.Conditions {
		approved = approved || c.Type == certificatesv1.CertificateApproved
		denied = denied || c.Type == certificatesv1.CertificateDenied
		failed = failed || c.Type == certificatesv1.CertificateFailed
	}
	text := "Pending"
	switch {
	case denied:
		text = "Denied"
	case approved:
		text = "Approved"
	}
	if failed {
		text += ",Failed"
	}
	if len(r.Status.Certificate) > 0 {
		text += ",Issued"
	}
	return text
}
