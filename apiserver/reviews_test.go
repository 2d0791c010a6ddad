package apiserver_test

import (
	"encoding/base64"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// TestReviews asks what can only be asked, in both formats, as clients do.
func TestReviews(t *testing.T) {
	c := startCluster(t)
	c.account("default")
	ctx := t.Context()
	for _, media := range mediaTypes {
		t.Run(media, func(t *testing.T) {
			admin := c.admin(media)
			me := must(admin.AuthenticationV1().SelfSubjectReviews().Create(ctx, &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{}))(t)
			if u := me.Status.UserInfo; u.Username == "" || len(u.Groups) == 0 {
				t.Errorf("who am I: %+v", u)
			}
			issued := must(admin.CoreV1().ServiceAccounts("default").CreateToken(ctx, "default",
				&authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{Audiences: []string{"vault"}}}, metav1.CreateOptions{}))(t)
			for _, tc := range []struct {
				name, token string
				audiences   []string
				good        bool
			}{
				{"for its audience", issued.Status.Token, []string{"other", "vault"}, true},
				{"for another audience", issued.Status.Token, []string{"other"}, false},
				{"for the API server", issued.Status.Token, nil, false},
				{"nonsense", "nonsense", nil, false},
			} {
				r := must(admin.AuthenticationV1().TokenReviews().Create(ctx, &authenticationv1.TokenReview{
					Spec: authenticationv1.TokenReviewSpec{Token: tc.token, Audiences: tc.audiences}}, metav1.CreateOptions{}))(t)
				if r.Status.Authenticated != tc.good || tc.good && (r.Status.User.Username != "system:serviceaccount:default:default" || r.Status.Audiences[0] != "vault") || !tc.good && r.Status.Error == "" {
					t.Errorf("a token %s: %+v", tc.name, r.Status)
				}
			}
			stranger := must(kubernetes.NewForConfig(c.as("somebody")))(t)
			on := &authorizationv1.ResourceAttributes{Namespace: "default", Verb: "get", Resource: "secrets"}
			may := func(k kubernetes.Interface) bool {
				r := must(k.AuthorizationV1().SelfSubjectAccessReviews().Create(ctx, &authorizationv1.SelfSubjectAccessReview{
					Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: on}}, metav1.CreateOptions{}))(t)
				return r.Status.Allowed
			}
			if !may(admin) || may(stranger) {
				t.Error("who may read secrets?")
			}
			_, err := stranger.AuthorizationV1().SubjectAccessReviews().Create(ctx, &authorizationv1.SubjectAccessReview{
				Spec: authorizationv1.SubjectAccessReviewSpec{User: "root", ResourceAttributes: on}}, metav1.CreateOptions{})
			if !apierrors.IsForbidden(err) {
				t.Errorf("anybody may ask about others: %v", err)
			}
			local := must(admin.AuthorizationV1().LocalSubjectAccessReviews("nowhere").Create(ctx, &authorizationv1.LocalSubjectAccessReview{
				ObjectMeta: metav1.ObjectMeta{Namespace: "nowhere"}, Spec: authorizationv1.SubjectAccessReviewSpec{
					User: "system:kube-scheduler", Groups: []string{"system:authenticated"}, ResourceAttributes: &authorizationv1.ResourceAttributes{Namespace: "nowhere", Verb: "get", Resource: "pods"}},
			}, metav1.CreateOptions{}))(t)
			if !local.Status.Allowed {
				t.Errorf("the scheduler may not read pods in a namespace that does not exist yet: %+v", local.Status)
			}
			if status := must(admin.CoreV1().ComponentStatuses().List(ctx, metav1.ListOptions{}))(t); len(status.Items) == 0 || status.Items[0].Conditions[0].Status != corev1.ConditionTrue {
				t.Errorf("components: %+v", status.Items)
			}
			if _, err := admin.CoreV1().ComponentStatuses().Watch(ctx, metav1.ListOptions{}); !apierrors.IsMethodNotSupported(err) {
				t.Errorf("watching what is computed: %v", err)
			}
		})
	}
}

// TestApproval: a request is approved at its own door, and issued at the status's.
func TestApproval(t *testing.T) {
	c := startCluster(t)
	ctx := t.Context()
	requests := c.admin(mediaTypes[0]).CertificatesV1().CertificateSigningRequests()
	made := must(requests.Create(ctx, &certificatesv1.CertificateSigningRequest{
		ObjectMeta: metav1.ObjectMeta{Name: "a"}, Spec: certificatesv1.CertificateSigningRequestSpec{
			SignerName: "example.com/a", Usages: []certificatesv1.KeyUsage{certificatesv1.UsageAny}, Username: "somebody-else",
			Request: must(base64.StdEncoding.DecodeString(signingRequest(t)))(t),
		}}, metav1.CreateOptions{}))(t)
	if made.Spec.Username == "somebody-else" || made.Spec.Username == "" {
		t.Errorf("it was made by %q", made.Spec.Username)
	}
	made.Status.Conditions = []certificatesv1.CertificateSigningRequestCondition{{Type: certificatesv1.CertificateApproved, Status: corev1.ConditionTrue, Reason: "a"}}
	if _, err := requests.UpdateStatus(ctx, made, metav1.UpdateOptions{}); !apierrors.IsInvalid(err) {
		t.Errorf("approved at the wrong door: %v", err)
	}
	approved := must(requests.UpdateApproval(ctx, "a", made, metav1.UpdateOptions{}))(t)
	if len(approved.Status.Conditions) != 1 {
		t.Errorf("approved: %+v", approved.Status)
	}
	approved.Status.Conditions = nil
	if _, err := requests.UpdateApproval(ctx, "a", approved, metav1.UpdateOptions{}); !apierrors.IsInvalid(err) {
		t.Errorf("an approval was taken back: %v", err)
	}
}

// TestAddressesByHand takes IPAddress through its API operations: others than Services may have some.
func TestAddressesByHand(t *testing.T) {
	c := startCluster(t)
	ctx := t.Context()
	addresses := c.admin(mediaTypes[1]).NetworkingV1().IPAddresses()
	for _, ip := range []string{"192.168.1.10", "2001:db8::1"} {
		must(addresses.Create(ctx, &networkingv1.IPAddress{
			ObjectMeta: metav1.ObjectMeta{Name: ip, Labels: map[string]string{"by": "hand"}},
			Spec:       networkingv1.IPAddressSpec{ParentRef: &networkingv1.ParentReference{Group: "example.com", Resource: "gateways", Namespace: "ns", Name: "g"}},
		}, metav1.CreateOptions{}))(t)
	}
	one := must(addresses.Get(ctx, "192.168.1.10", metav1.GetOptions{}))(t)
	one.Spec.ParentRef.Name = "h"
	if _, err := addresses.Update(ctx, one, metav1.UpdateOptions{}); !apierrors.IsInvalid(err) {
		t.Errorf("an address changed hands: %v", err)
	}
	if err := addresses.DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{LabelSelector: "by=hand"}); err != nil {
		t.Fatal(err)
	}
	if left := must(addresses.List(ctx, metav1.ListOptions{LabelSelector: "by=hand"}))(t); len(left.Items) != 0 {
		t.Errorf("left over: %d", len(left.Items))
	}
}
