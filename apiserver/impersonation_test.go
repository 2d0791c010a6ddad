package apiserver_test

import (
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/miniorch/miniorch/apiserver/auth"
	"github.com/miniorch/miniorch/pkg/client"
	"github.com/miniorch/miniorch/pkg/pki"
)

// TestImpersonation follows Kubernetes' page on authentication, "User impersonation". A
// server that ignored the headers would do as an administrator what was asked for as a guest.
func TestImpersonation(t *testing.T) {
	c := startCluster(t)
	issue := func(name string, groups ...string) *pki.Pair {
		pair := must(c.security.CA.Issue(pki.Subject{Name: name, Groups: groups, Client: true}))(t)
		return &pair
	}
	node, component := issue("system:node:a", auth.GroupNodes), issue(auth.UserScheduler)
	tests := []struct {
		name    string
		pair    *pki.Pair
		headers []string
		code    int
		reason  string
	}{
		{"a guest", &c.security.Admin, []string{"Impersonate-User", "jane"}, 403, "jane may not list"},
		{"an administrator", &c.security.Admin, []string{"Impersonate-User", "jane", "Impersonate-Group", auth.GroupMasters}, 200, "as the group may"},
		{"a stranger", &c.security.Admin, []string{"Impersonate-User", auth.Anonymous}, 401, "strangers are asked who they are"},
		{"an account", &c.security.Admin, []string{"Impersonate-User", "system:serviceaccount:default:default"}, 403, "accounts may nothing yet"},
		{"extras", &c.security.Admin, []string{"Impersonate-User", "jane", "Impersonate-Extra-Acme.com%2fproject", "x"}, 403, "still jane"},
		{"nobody in particular", &c.security.Admin, []string{"Impersonate-Group", auth.GroupMasters}, 400, "a group alone is nobody"},
		{"as a node", node, []string{"Impersonate-User", "root", "Impersonate-Group", auth.GroupMasters}, 403, "a node must not become more"},
		{"as a component", component, []string{"Impersonate-User", "root", "Impersonate-Group", auth.GroupMasters}, 403, "nor may a component"},
		{"as nobody", nil, []string{"Impersonate-User", "root", "Impersonate-Group", auth.GroupMasters}, 401, "nor a stranger"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if a := do(t, c.raw(tt.pair), "GET", c.url+"/api/v1/namespaces", nil, tt.headers...); a.StatusCode != tt.code {
				t.Errorf("%d %s, want %d: %s", a.StatusCode, a.body, tt.code, tt.reason)
			}
		})
	}
	t.Run("a node's proxy and DNS are themselves", func(t *testing.T) {
		for user, allowed := range map[string]bool{auth.UserProxy: true, auth.UserDNS: true, auth.UserScheduler: false} {
			t.Run(user, func(t *testing.T) {
				transport := must(client.NewHTTP(client.HTTPConfig{Server: c.url, CAData: c.security.CA.PEM(), CertData: node.Cert, KeyData: node.Key, As: user}))(t)
				_, _, err := client.Of[*corev1.Service](transport).List(t.Context(), "", metav1.ListOptions{})
				if (err == nil) != allowed {
					t.Errorf("listing Services: %v", err)
				}
				_, err = client.Of[*corev1.Service](transport).Create(t.Context(), &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "a", Namespace: "default"}})
				if !apierrors.IsForbidden(err) {
					t.Errorf("creating a Service: %v, want that it is forbidden", err)
				}
			})
		}
	})
	t.Run("admission sees who is meant", func(t *testing.T) {
		headers := []string{"Impersonate-User", "system:node:a", "Impersonate-Group", auth.GroupNodes}
		must(c.admin("").CoreV1().Nodes().Create(t.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "b"}}, metav1.CreateOptions{}))(t)
		if a := do(t, c.raw(&c.security.Admin), "DELETE", c.url+"/api/v1/nodes/b", nil, headers...); a.StatusCode != 403 {
			t.Errorf("node a deletes node b: %d %s", a.StatusCode, a.body)
		}
	})
}

func TestImpersonatedGroups(t *testing.T) {
	tests := []struct {
		name, user string
		groups     []string
		want       []string
		reason     string
	}{
		{"user", "jane", nil, []string{auth.GroupAuthenticated}, "everybody who is somebody"},
		{"account", "system:serviceaccount:shop:cart", nil,
			[]string{"system:serviceaccounts", "system:serviceaccounts:shop", auth.GroupAuthenticated}, "its own groups come with it"},
		{"account with groups", "system:serviceaccount:shop:cart", []string{"g"}, []string{"g", auth.GroupAuthenticated}, "only what was asked for"},
		{"no account", "system:serviceaccount:a:b:c", nil, []string{auth.GroupAuthenticated}, "a name with too many parts"},
		{"stranger", auth.Anonymous, nil, []string{auth.GroupUnauthenticated}, "a stranger has shown nothing"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			as, _, asked, err := auth.Impersonated(map[string][]string{"Impersonate-User": {tt.user}, "Impersonate-Group": tt.groups})
			if err != nil || !asked || !slices.Equal(as.Groups, tt.want) {
				t.Errorf("%v %v %v, want %v: %s", as.Groups, asked, err, tt.want, tt.reason)
			}
		})
	}
}
