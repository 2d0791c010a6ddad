package auth

import (
	"context"
	"errors"
	"net/http"
	"slices"
)

// Rule says what somebody may do: verbs on resources, or on paths.
type Rule struct {
	Verbs, APIGroups, Resources, ResourceNames, NonResourceURLs []string
}

// RuleLister is what an Authorizer may be as well: it can tell all that a user may do in a
// namespace. incomplete says why the list may lack something, if it may.
type RuleLister interface {
	Rules(ctx context.Context, user User, namespace string) (rules []Rule, incomplete error)
}

// Rules implements RuleLister.
func (Components) Rules(_ context.Context, u User, _ string) ([]Rule, error) {
	all := []string{"*"}
	if trusted(u) {
		return []Rule{{Verbs: all, APIGroups: all, Resources: all}, {Verbs: all, NonResourceURLs: all}}, nil
	}
	var rules []Rule
	if u.InGroup(GroupAuthenticated) {
		for _, r := range selfReviews {
			rules = append(rules, Rule{Verbs: []string{"create"}, APIGroups: []string{r.group}, Resources: []string{r.resource}})
		}
		if readsServices(u.Name) {
			read := []string{"get", "list", "watch"}
			rules = append(rules, Rule{Verbs: read, APIGroups: []string{""}, Resources: []string{"services"}},
				Rule{Verbs: read, APIGroups: []string{"discovery.k8s.io"}, Resources: []string{"endpointslices"}})
		}
		rules = append(rules, Rule{Verbs: []string{"get"}, NonResourceURLs: withBelow(discoveryPaths)})
	}
	return append(rules, Rule{Verbs: []string{"get"}, NonResourceURLs: withBelow(openPaths)}), nil
}

func withBelow(paths []string) []string {
	var all []string
	for _, p := range paths {
		all = append(all, p, p+"/*")
	}
	return all
}

// selfReviews are questions about oneself, which everybody may ask who is known.
var selfReviews = []struct{ group, resource string }{
	{"authorization.k8s.io", "selfsubjectaccessreviews"},
	{"authorization.k8s.io", "selfsubjectrulesreviews"},
	{"authentication.k8s.io", "selfsubjectreviews"},
}

func asksAboutSelf(a Attributes) bool {
	return a.Verb == "create" && a.Subresource == "" && a.User.InGroup(GroupAuthenticated) &&
		slices.ContainsFunc(selfReviews, func(r struct{ group, resource string }) bool { return a.Group == r.group && a.Resource == r.resource })
}

// Review answers whose a token is, for other servers that were shown it. Those who ask are one of
// the audiences, or the API server's own if they name none; matched are those that the token is for.
// A token that is not good is no error: ok is false, and why says more.
type Review struct {
	User    User
	OK      bool
	Matched []string
	Why     error
}

// Reviewer looks at tokens.
type Reviewer struct {
	Tokens *Tokens       // nil: no service accounts' tokens
	Others Authenticator // of all other bearer tokens, which are for the API server only
	// Audiences of the API server.
	Audiences []string
}

// Review finds out whose a token is.
func (r Reviewer) Review(ctx context.Context, token string, audiences []string) Review {
	if len(audiences) == 0 {
		audiences = r.Audiences
	}
	if r.Tokens != nil && r.Tokens.mine(token) {
		user, matched, err := r.Tokens.review(ctx, token, audiences)
		return Review{User: user, OK: err == nil, Matched: matched, Why: err}
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "/", nil)
	if err != nil {
		return Review{Why: err}
	}
	request.Header.Set("Authorization", "Bearer "+token)
	user, ok, err := r.Others.Authenticate(request)
	if err != nil || !ok {
		return Review{Why: errors.Join(err, errIfNot(ok))}
	}
	matched := intersect(audiences, r.Audiences)
	if len(matched) == 0 {
		return Review{Why: errors.New("token audiences do not include any of those asked for")}
	}
	return Review{User: user, OK: true, Matched: matched}
}

func errIfNot(ok bool) error {
	if ok {
		return nil
	}
	return errors.New("invalid bearer token")
}

func intersect(a, b []string) (both []string) {
	for _, one := range a {
		if slices.Contains(b, one) {
			both = append(both, one)
		}
	}
	return both
}

// Audiences are those of the API server.
func (t *Tokens) Audiences() []string { return t.cfg.Audiences }

// review is Check that also tells which of the audiences the token is for.
func (t *Tokens) review(ctx context.Context, raw string, audiences []string) (User, []string, error) {
	user, err := t.Check(ctx, raw, audiences)
	if err != nil {
		return User{}, nil, err
	}
	said, err := audiencesOf(raw)
	return user, intersect(audiences, said), err
}
