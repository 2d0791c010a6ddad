package auth

import (
	"context"
	"strings"
)

// Components is the authorizer until role-based access control is there: administrators
// and the cluster's own components may do everything on resources, nobody else may do
// anything but look at health and version, and ask about themselves.
//
// Proxy and DNS only read, and only Services and where they lead. They live in the node's
// process and send what they ask with the node's certificate, as themselves: a node may
// take on these two lesser names and no other.
type Components struct{}

// openPaths may be read by anybody, strangers included: load balancers and
// node agents that have no credentials yet ask for them.
var openPaths = []string{"/livez", "/readyz", "/healthz", "/version"}

// discoveryPaths may be read by everybody who has shown who they are, as every client
// needs them before it can say what it wants.
var discoveryPaths = []string{"/api", "/apis", "/openapi", "/.well-known/openid-configuration", "/openid/v1/jwks"}

// Authorize implements Authorizer.
func (Components) Authorize(_ context.Context, a Attributes) (bool, string, error) {
	if !a.IsResource() && a.Verb == "get" {
		if under(a.Path, openPaths) {
			return true, "", nil
		}
		if a.User.InGroup(GroupAuthenticated) && under(a.Path, discoveryPaths) {
			return true, "", nil
		}
	}
	if asksAboutSelf(a) {
		return true, "", nil
	}
	if a.Verb == VerbImpersonate { // or every component could become an administrator
		return a.User.InGroup(GroupMasters) || isNode(a.User) && a.Resource == "users" && readsServices(a.Name), "", nil
	}
	if readsServices(a.User.Name) && a.User.InGroup(GroupAuthenticated) && !a.User.InGroup(GroupMasters) {
		return readsOnly(a) && leadsToServices(a), "", nil
	}
	return trusted(a.User), "", nil
}

// readsServices tells the users that do nothing else.
func readsServices(user string) bool { return user == UserProxy || user == UserDNS }

func readsOnly(a Attributes) bool { return a.Verb == "get" || a.Verb == "list" || a.Verb == "watch" }

func leadsToServices(a Attributes) bool {
	if a.Subresource != "" {
		return false
	}
	return a.Group == "" && a.Resource == "services" || a.Group == "discovery.k8s.io" && a.Resource == "endpointslices"
}

func isNode(u User) bool { return u.InGroup(GroupNodes) && strings.HasPrefix(u.Name, NodePrefix) }

func trusted(u User) bool {
	switch {
	case u.InGroup(GroupMasters):
		return true
	case !u.InGroup(GroupAuthenticated):
		return false
	case u.Name == UserAPIServer, u.Name == UserControllerManager, u.Name == UserScheduler:
		return true
	}
	return isNode(u)
}

// under reports whether path is one of roots or lies below one of them.
func under(path string, roots []string) bool {
	for _, root := range roots {
		if rest, ok := strings.CutPrefix(path, root); ok && (rest == "" || rest[0] == '/') {
			return true
		}
	}
	return false
}
