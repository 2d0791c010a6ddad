package client

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"

	apidiscovery "k8s.io/api/apidiscovery/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/miniorch/miniorch/pkg/api"
)

const aggregatedDiscovery = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"

// Resources lists every stored resource at its group's preferred version, by two calls to
// a server that aggregates its discovery, else by one per group.
func (t *httpTransport) Resources(ctx context.Context) ([]api.Resource, error) {
	var out []api.Resource
	for _, root := range []string{"/api", "/apis"} {
		media, body, err := t.do(ctx, call{verb: http.MethodGet, path: root, accept: aggregatedDiscovery + "," + mediaJSON})
		if err != nil {
			return nil, fmt.Errorf("discovering resources: %w", err)
		}
		var found []api.Resource
		if strings.Contains(media, "as=APIGroupDiscoveryList") {
			found, err = aggregated(body)
		} else {
			found, err = t.plain(ctx, root, body)
		}
		if err != nil {
			return nil, fmt.Errorf("discovering resources: %w", err)
		}
		out = append(out, found...)
	}
	return out, nil
}

// aggregated reads a list of groups. Versions stand in the order of preference; a resource
// that the first does not have is taken from the next.
func aggregated(body []byte) ([]api.Resource, error) {
	var groups apidiscovery.APIGroupDiscoveryList
	if err := json.Unmarshal(body, &groups); err != nil {
		return nil, fmt.Errorf("decoding the groups: %w", err)
	}
	var out []api.Resource
	for _, g := range groups.Items {
		seen := make(map[string]bool)
		for _, v := range g.Versions {
			for _, r := range v.Resources {
				if seen[r.Resource] || r.ResponseKind == nil || !stored(r.Verbs) {
					continue
				}
				seen[r.Resource] = true
				out = append(out, api.Resource{
					Group: g.Name, Version: v.Version, Name: r.Resource,
					Kind: r.ResponseKind.Kind, Namespaced: r.Scope == apidiscovery.ScopeNamespace,
				})
			}
		}
	}
	return out, nil
}

// plain reads the older form: the versions of /api or the groups of /apis, then the resources
// of each preferred version.
func (t *httpTransport) plain(ctx context.Context, root string, body []byte) ([]api.Resource, error) {
	var index struct {
		Versions []string          `json:"versions"` // of /api
		Groups   []metav1.APIGroup `json:"groups"`   // of /apis
	}
	if err := json.Unmarshal(body, &index); err != nil {
		return nil, fmt.Errorf("decoding the groups: %w", err)
	}
	var out []api.Resource
	for _, g := range index.Groups {
		found, err := t.groupVersion(ctx, root+"/"+g.PreferredVersion.GroupVersion, g.Name, g.PreferredVersion.Version)
		if err != nil {
			return nil, err
		}
		out = append(out, found...)
	}
	if slices.Contains(index.Versions, "v1") {
		return t.groupVersion(ctx, root+"/v1", "", "v1")
	}
	return out, nil
}

// stored tells whether a resource's objects stay until they are deleted.
func stored(verbs []string) bool { return slices.Contains(verbs, "delete") }

func (t *httpTransport) groupVersion(ctx context.Context, path, group, version string) ([]api.Resource, error) {
	_, body, err := t.do(ctx, call{verb: http.MethodGet, path: path, accept: mediaJSON})
	if err != nil {
		return nil, err
	}
	var list metav1.APIResourceList
	if err := json.Unmarshal(body, &list); err != nil {
		return nil, fmt.Errorf("decoding the resources of %s: %w", path, err)
	}
	var out []api.Resource
	for _, r := range list.APIResources {
		if !strings.Contains(r.Name, "/") && stored(r.Verbs) {
			out = append(out, api.Resource{Group: group, Version: version, Name: r.Name, Kind: r.Kind, Namespaced: r.Namespaced})
		}
	}
	return out, nil
}
