package auth

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// The headers in which a client asks to be treated as somebody else ("kubectl --as").
const (
	impersonateUser  = "Impersonate-User"
	impersonateUID   = "Impersonate-Uid"
	impersonateGroup = "Impersonate-Group"
	impersonateExtra = "Impersonate-Extra-"

	// VerbImpersonate is what the authorizer is asked for on each thing that is taken on.
	VerbImpersonate = "impersonate"
	// authenticationGroup holds the resources that stand for a user's UID and extras.
	authenticationGroup = "authentication.k8s.io"
)

// Impersonated reads whom the headers ask to be. asked is false when they do not. The
// attributes, which still lack the user who asks, are what must be allowed, all of it.
func Impersonated(header http.Header) (as User, needs []Attributes, asked bool, err error) {
	as = User{Name: header.Get(impersonateUser), UID: header.Get(impersonateUID), Groups: slices.Clone(header.Values(impersonateGroup))}
	if as.Extra, err = impersonatedExtra(header); err != nil {
		return User{}, nil, true, err
	}
	if as.Name == "" {
		if as.UID != "" || len(as.Groups) > 0 || len(as.Extra) > 0 || len(header.Values(impersonateUser)) > 0 {
			return User{}, nil, true, errors.New("impersonation needs the name of a user")
		}
		return User{}, nil, false, nil
	}
	needs = impersonationNeeds(as)
	as.Groups = impersonatedGroups(as)
	return as, needs, true, nil
}

// impersonatedExtra collects the extras, whose keys are in the names of headers.
func impersonatedExtra(header http.Header) (map[string][]string, error) {
	var extra map[string][]string
	for name, values := range header {
		key, ok := strings.CutPrefix(name, impersonateExtra)
		if !ok {
			continue
		}
		key, err := url.PathUnescape(strings.ToLower(key))
		if err != nil {
			return nil, errors.New("malformed name of a header: " + name)
		}
		if extra == nil {
			extra = map[string][]string{}
		}
		extra[key] = append(extra[key], values...)
	}
	return extra, nil
}

func impersonationNeeds(as User) []Attributes {
	needs := []Attributes{{Version: "v1", Resource: "users", Name: as.Name}}
	if ns, name, ok := serviceAccount(as.Name); ok {
		needs[0] = Attributes{Version: "v1", Resource: "serviceaccounts", Namespace: ns, Name: name}
	}
	for _, g := range as.Groups {
		needs = append(needs, Attributes{Version: "v1", Resource: "groups", Name: g})
	}
	if as.UID != "" {
		needs = append(needs, Attributes{Group: authenticationGroup, Version: "v1", Resource: "uids", Name: as.UID})
	}
	for key, values := range as.Extra {
		for _, v := range values {
			needs = append(needs, Attributes{Group: authenticationGroup, Version: "v1", Resource: "userextras", Subresource: key, Name: v})
		}
	}
	for i := range needs {
		needs[i].Verb = VerbImpersonate
	}
	return needs
}

// impersonatedGroups adds the groups that come with being somebody at all.
func impersonatedGroups(as User) []string {
	groups := as.Groups
	if ns, _, ok := serviceAccount(as.Name); ok && len(groups) == 0 {
		groups = []string{GroupServiceAccounts, GroupServiceAccounts + ":" + ns}
	}
	if as.Name == Anonymous {
		if !slices.Contains(groups, GroupUnauthenticated) {
			groups = append(groups, GroupUnauthenticated)
		}
		return groups
	}
	return authenticated(groups)
}

// serviceAccount takes the name of a service account's user apart.
func serviceAccount(user string) (namespace, name string, ok bool) {
	rest, ok := strings.CutPrefix(user, ServiceAccountPrefix)
	if !ok {
		return "", "", false
	}
	namespace, name, ok = strings.Cut(rest, ":")
	return namespace, name, ok && namespace != "" && name != "" && !strings.Contains(name, ":")
}

// DropImpersonation removes the headers, which must not be read twice.
func DropImpersonation(header http.Header) {
	for name := range header {
		if name == impersonateUser || name == impersonateUID || name == impersonateGroup || strings.HasPrefix(name, impersonateExtra) {
			header.Del(name)
		}
	}
}
