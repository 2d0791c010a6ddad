package discovery

import (
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"slices"

	apidiscoveryv2 "k8s.io/api/apidiscovery/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/version"

	"github.com/miniorch/miniorch/apiserver/resource"
)

// group is an API group with its versions, preferred one first.
type group struct {
	name     string
	versions []groupVersion
}

type groupVersion struct {
	version   string
	resources []resource.Descriptor
}

// groups sorts descriptors into groups, in the order in which groups first appear.
func groups(ds []resource.Descriptor) []group {
	var out []group
	for _, d := range ds {
		i := slices.IndexFunc(out, func(g group) bool { return g.name == d.Group })
		if i < 0 {
			i = len(out)
			out = append(out, group{name: d.Group})
		}
		g := &out[i]
		j := slices.IndexFunc(g.versions, func(v groupVersion) bool { return v.version == d.Version })
		if j < 0 {
			j = len(g.versions)
			g.versions = append(g.versions, groupVersion{version: d.Version})
		}
		g.versions[j].resources = append(g.versions[j].resources, d)
	}
	for _, g := range out {
		slices.SortStableFunc(g.versions, func(a, b groupVersion) int {
			return version.CompareKubeAwareVersionStrings(b.version, a.version)
		})
		for _, v := range g.versions {
			slices.SortStableFunc(v.resources, func(a, b resource.Descriptor) int { return cmp.Compare(a.Name, b.Name) })
		}
	}
	return out
}

// apiGroup is a group in plain discovery.
func apiGroup(g group) metav1.APIGroup {
	out := metav1.APIGroup{
		TypeMeta: metav1.TypeMeta{Kind: "APIGroup", APIVersion: "v1"},
		Name:     g.name,
	}
	for _, v := range g.versions {
		out.Versions = append(out.Versions, metav1.GroupVersionForDiscovery{
			GroupVersion: schema.GroupVersion{Group: g.name, Version: v.version}.String(), Version: v.version,
		})
	}
	out.PreferredVersion = out.Versions[0]
	return out
}

func groupList(gs []group) *metav1.APIGroupList {
	out := &metav1.APIGroupList{TypeMeta: metav1.TypeMeta{Kind: "APIGroupList", APIVersion: "v1"}, Groups: []metav1.APIGroup{}}
	for _, g := range gs {
		if g.name != "" {
			one := apiGroup(g)
			one.TypeMeta = metav1.TypeMeta{}
			out.Groups = append(out.Groups, one)
		}
	}
	return out
}

// resourceList is one version of a group in plain discovery.
func resourceList(gv schema.GroupVersion, v groupVersion) *metav1.APIResourceList {
	out := &metav1.APIResourceList{
		TypeMeta:     metav1.TypeMeta{Kind: "APIResourceList", APIVersion: "v1"},
		GroupVersion: gv.String(), APIResources: []metav1.APIResource{},
	}
	for _, d := range v.resources {
		out.APIResources = append(out.APIResources, metav1.APIResource{
			Name: d.Name, SingularName: d.Singular, Namespaced: d.Namespaced, Kind: d.Kind,
			Verbs: d.Verbs(), ShortNames: d.ShortNames, Categories: d.Categories,
			StorageVersionHash: storageVersionHash(d),
		})
		for _, sub := range d.Subresources {
			kind := bodyKind(d, sub)
			r := metav1.APIResource{Name: d.Name + "/" + sub.Name, Namespaced: d.Namespaced, Kind: kind.Kind, Verbs: sub.Verbs}
			if kind.GroupVersion() != gv {
				r.Group, r.Version = kind.Group, kind.Version
			}
			out.APIResources = append(out.APIResources, r)
		}
	}
	return out
}

// storageVersionHash changes when objects are stored in another version: whoever migrates them looks
// at it. It is empty for what is not stored.
func storageVersionHash(d resource.Descriptor) string {
	if d.Virtual != nil {
		return ""
	}
	stored := d.GVK()
	if d.View != nil {
		stored = d.View.Of.GVK()
	}
	sum := sha256.Sum256([]byte(stored.Group + "/" + stored.Version + "/" + stored.Kind))
	return base64.StdEncoding.EncodeToString(sum[:8])
}

// bodyKind is the kind of what a subresource takes and returns.
func bodyKind(d resource.Descriptor, sub resource.Subresource) schema.GroupVersionKind {
	kind := d.GVK()
	if sub.Kind != "" {
		kind.Kind = sub.Kind
	}
	if sub.Version != "" {
		kind.Group, kind.Version = sub.Group, sub.Version
	}
	return kind
}

// aggregated is all of discovery in one document: the core group, or all others.
func aggregated(gs []group, core bool) *apidiscoveryv2.APIGroupDiscoveryList {
	out := &apidiscoveryv2.APIGroupDiscoveryList{
		TypeMeta: metav1.TypeMeta{Kind: "APIGroupDiscoveryList", APIVersion: apidiscoveryv2.SchemeGroupVersion.String()},
		Items:    []apidiscoveryv2.APIGroupDiscovery{},
	}
	for _, g := range gs {
		if (g.name == "") != core {
			continue
		}
		item := apidiscoveryv2.APIGroupDiscovery{ObjectMeta: metav1.ObjectMeta{Name: g.name}}
		for _, v := range g.versions {
			item.Versions = append(item.Versions, aggregatedVersion(v))
		}
		out.Items = append(out.Items, item)
	}
	return out
}

func aggregatedVersion(v groupVersion) apidiscoveryv2.APIVersionDiscovery {
	out := apidiscoveryv2.APIVersionDiscovery{Version: v.version, Freshness: apidiscoveryv2.DiscoveryFreshnessCurrent}
	for _, d := range v.resources {
		scope := apidiscoveryv2.ScopeCluster
		if d.Namespaced {
			scope = apidiscoveryv2.ScopeNamespace
		}
		r := apidiscoveryv2.APIResourceDiscovery{
			Resource: d.Name, ResponseKind: groupVersionKind(d.GVK()), Scope: scope, SingularResource: d.Singular,
			Verbs: d.Verbs(), ShortNames: d.ShortNames, Categories: d.Categories,
		}
		for _, sub := range d.Subresources {
			r.Subresources = append(r.Subresources, apidiscoveryv2.APISubresourceDiscovery{
				Subresource: sub.Name, ResponseKind: groupVersionKind(bodyKind(d, sub)), Verbs: sub.Verbs,
			})
		}
		out.Resources = append(out.Resources, r)
	}
	return out
}

func groupVersionKind(k schema.GroupVersionKind) *metav1.GroupVersionKind {
	return &metav1.GroupVersionKind{Group: k.Group, Version: k.Version, Kind: k.Kind}
}
