package rest_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/miniorch/miniorch/apiserver/auth"
	"github.com/miniorch/miniorch/apiserver/rest"
	"github.com/miniorch/miniorch/pkg/api"
	"github.com/miniorch/miniorch/pkg/client"
	"github.com/miniorch/miniorch/pkg/client/clienttest"
)

// The suite that every transport passes.
func TestClientIsATransport(t *testing.T) {
	clienttest.TestTransport(t, start(t, rest.Config{}).Client(auth.Admin()))
}

func TestClientVerbs(t *testing.T) {
	inBubble(t, func(t *testing.T, e *engine) {
		c := client.Of[*corev1.ConfigMap](e.Client(auth.Component(auth.UserControllerManager)))
		w, err := c.Watch(e.ctx, "default", metav1.ListOptions{SendInitialEvents: ptr(true), AllowWatchBookmarks: true, ResourceVersionMatch: metav1.ResourceVersionMatchNotOlderThan})
		if err != nil {
			t.Fatal(err)
		}
		defer w.Stop()
		if ev := <-w.ResultChan(); ev.Type != watch.Bookmark || ev.Object.(*corev1.ConfigMap).Annotations[metav1.InitialEventsAnnotationKey] != "true" {
			t.Errorf("first event = %+v, want the end of the initial events", ev)
		}
		made, err := c.Create(e.ctx, configMap("a", "k", "v"))
		if err != nil {
			t.Fatal(err)
		}
		if ev := <-w.ResultChan(); ev.Type != watch.Added || ev.Object.(*corev1.ConfigMap).ResourceVersion != made.ResourceVersion {
			t.Errorf("event = %+v", ev)
		}
		one, err := c.Get(e.ctx, "default", "a")
		if err != nil {
			t.Fatal(err)
		}
		if again, err := c.Get(e.ctx, "default", "a"); err != nil || again != one {
			t.Errorf("two reads gave two copies (%v)", err)
		}
		next := one.DeepCopy()
		next.Data["k"] = "w"
		if _, err = c.Update(e.ctx, next); err != nil {
			t.Fatal(err)
		}
		if next, err = c.Patch(e.ctx, "default", "a", types.MergePatchType, []byte(`{"data":{"l":"x"}}`), ""); err != nil || next.Data["k"] != "w" || next.Data["l"] != "x" {
			t.Fatalf("patched = %+v, %v", next, err)
		}
		if all, rv, err := c.List(e.ctx, "", metav1.ListOptions{Limit: 1}); err != nil || len(all) != 1 || rv == "" {
			t.Errorf("list = %v at %s, %v", all, rv, err)
		}
		if err := c.DeleteCollection(e.ctx, "default", metav1.DeleteOptions{}, metav1.ListOptions{}); err != nil {
			t.Fatal(err)
		}
		wantReason(t, c.Delete(e.ctx, "default", "a", metav1.DeleteOptions{}), metav1.StatusReasonNotFound)
		for _, want := range []watch.EventType{watch.Modified, watch.Modified, watch.Deleted} {
			if ev := <-w.ResultChan(); ev.Type != want {
				t.Errorf("event = %+v, want %s", ev, want)
			}
		}
	})
}

func TestClientIsAuthorized(t *testing.T) {
	inBubble(t, func(t *testing.T, e *engine) {
		c := client.Of[*corev1.Pod](e.Client(auth.User{Name: "eve", Groups: []string{auth.GroupAuthenticated}}))
		_, err := c.Get(e.ctx, "default", "p")
		status := wantReason(t, err, metav1.StatusReasonForbidden)
		if want := `pods "p" is forbidden: User "eve" cannot get resource "pods" in API group "" in the namespace "default"`; status.Message != want {
			t.Errorf("message = %q, want %q", status.Message, want)
		}
		_, err = c.Watch(e.ctx, "", metav1.ListOptions{})
		wantReason(t, err, metav1.StatusReasonForbidden)
		_, err = c.UpdateStatus(e.ctx, pod("p", ""))
		if status := wantReason(t, err, metav1.StatusReasonForbidden); !strings.Contains(status.Message, `cannot update resource "pods/status"`) {
			t.Errorf("message = %q", status.Message)
		}
	})
}

// A node that lies about its name.
func TestNodesKeepToThemselves(t *testing.T) {
	inBubble(t, func(t *testing.T, e *engine) {
		n1 := e.Client(auth.User{Name: "system:node:n1", Groups: []string{auth.GroupNodes, auth.GroupAuthenticated}})
		nodes := client.Of[*corev1.Node](n1)
		if _, err := nodes.Create(e.ctx, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1"}}); err != nil {
			t.Fatal(err)
		}
		_, err := nodes.Create(e.ctx, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n2"}})
		wantReason(t, err, metav1.StatusReasonForbidden)
		e.mustCreate("default", pod("p", "n2"))
		_, err = client.Of[*corev1.Pod](n1).Patch(e.ctx, "default", "p", types.MergePatchType, []byte(`{"status":{"phase":"Failed"}}`), "status")
		wantReason(t, err, metav1.StatusReasonForbidden)
		wantReason(t, client.Of[*corev1.Pod](n1).Delete(e.ctx, "default", "p", metav1.DeleteOptions{}), metav1.StatusReasonForbidden)
	})
}

func TestPodsAreCompleted(t *testing.T) {
	inBubble(t, func(t *testing.T, e *engine) {
		p := e.mustCreate("default", pod("p", "")).(*corev1.Pod)
		if p.Spec.ServiceAccountName != "default" || len(p.Spec.Volumes) != 1 || len(p.Spec.Tolerations) != 2 || *p.Spec.Priority != 0 {
			t.Errorf("spec = %+v", p.Spec)
		}
	})
}

func TestResourcesAreListed(t *testing.T) {
	inBubble(t, func(t *testing.T, e *engine) {
		resources, err := e.Client(auth.Admin()).Resources(e.ctx)
		if err != nil || len(resources) != len(kinds()) || resources[0] != api.ResourceFor[*corev1.Namespace]() {
			t.Errorf("resources = %v, %v", resources, err)
		}
	})
}

type issuer struct{ bound api.Object }

func (i *issuer) IssueToken(_ context.Context, sa *corev1.ServiceAccount, bound api.Object, req *authenticationv1.TokenRequest) (*authenticationv1.TokenRequest, error) {
	i.bound = bound
	req.Status.Token = "token of " + sa.Name
	return req, nil
}

func TestTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		issuer := &issuer{}
		e := start(t, rest.Config{Tokens: issuer})
		s := of[*corev1.ServiceAccount](e)
		p := e.mustCreate("default", pod("p", "n"))
		e.mustCreate("default", &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "other"}})
		request := func(account string, change func(*authenticationv1.TokenRequest)) (*authenticationv1.TokenRequest, error) {
			req := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{
				BoundObjectRef: &authenticationv1.BoundObjectReference{Kind: "Pod", APIVersion: "v1", Name: "p", UID: p.GetUID()},
			}}
			change(req)
			got, err := s.CreateSubresource(e.ctx, "default", account, "token", req, metav1.CreateOptions{})
			if err != nil {
				return nil, err
			}
			return got.(*authenticationv1.TokenRequest), nil
		}
		got, err := request("default", func(*authenticationv1.TokenRequest) {})
		if err != nil || got.Status.Token != "token of default" || *got.Spec.ExpirationSeconds != 3600 || issuer.bound.GetName() != "p" {
			t.Fatalf("token = %+v, %v", got, err)
		}
		for _, tc := range []struct {
			account string
			change  func(*authenticationv1.TokenRequest)
			reason  metav1.StatusReason
		}{
			{"none", func(*authenticationv1.TokenRequest) {}, metav1.StatusReasonNotFound},
			{"other", func(*authenticationv1.TokenRequest) {}, metav1.StatusReasonBadRequest},
			{"default", func(r *authenticationv1.TokenRequest) { r.Spec.BoundObjectRef.Name = "q" }, metav1.StatusReasonNotFound},
			{"default", func(r *authenticationv1.TokenRequest) { r.Spec.BoundObjectRef.UID = "q" }, metav1.StatusReasonConflict},
			{"default", func(r *authenticationv1.TokenRequest) { r.Spec.BoundObjectRef.Kind = "Lease" }, metav1.StatusReasonBadRequest},
			{"default", func(r *authenticationv1.TokenRequest) { r.Spec.ExpirationSeconds = ptr(int64(10)) }, metav1.StatusReasonInvalid},
		} {
			_, err := request(tc.account, tc.change)
			wantReason(t, err, tc.reason)
		}
	})
}

func TestServiceAddresses(t *testing.T) {
	inBubble(t, func(t *testing.T, e *engine) {
		service := func(name, ip string) *corev1.Service {
			return &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default"}, Spec: corev1.ServiceSpec{ClusterIP: ip, Ports: []corev1.ServicePort{{Port: 80}}}}
		}
		apiService := e.mustCreate("default", service("kubernetes", "")).(*corev1.Service)
		if apiService.Spec.ClusterIP != "10.96.0.1" {
			t.Errorf("the API's address = %s", apiService.Spec.ClusterIP)
		}
		a := e.mustCreate("default", service("a", "")).(*corev1.Service)
		_, err := e.create("default", service("b", a.Spec.ClusterIP))
		if status := wantReason(t, err, metav1.StatusReasonInvalid); !strings.Contains(status.Message, "provided IP is already allocated") {
			t.Errorf("message = %q", status.Message)
		}
		// A create that fails late gives its address back, and so does a dry run.
		_, err = e.create("default", service("a", "10.96.7.7"))
		wantReason(t, err, metav1.StatusReasonAlreadyExists)
		if _, err := of[*corev1.Service](e).Create(e.ctx, "default", service("c", "10.96.7.7"), metav1.CreateOptions{DryRun: []string{"All"}}); err != nil {
			t.Fatal(err)
		}
		e.mustCreate("default", service("c", "10.96.7.7"))
		if _, _, err := of[*corev1.Service](e).Delete(e.ctx, "default", "a", metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		e.mustCreate("default", service("b", a.Spec.ClusterIP))

		// A server that starts later knows what is taken.
		later := startAgain(e)
		_, err = later.create("default", service("d", "10.96.7.7"))
		wantReason(t, err, metav1.StatusReasonInvalid)
	})
}
