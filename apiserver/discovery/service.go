// Package discovery tells clients what there is: which groups, versions and resources, what
// can be done with them and by which names people call them. Everything is derived from
// the resource descriptors.
package discovery

import (
	"net/http"
	"runtime"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/version"

	"github.com/miniorch/miniorch/apiserver/resource"
)

// Version is what /version says. Clients compare it with their own: it names the release
// of Kubernetes whose API this is.
var Version = version.Info{
	Major: "1", Minor: "37", GitVersion: "v1.37.0+miniorch", GitTreeState: "clean",
	BuildDate: "1970-01-01T00:00:00Z", GoVersion: runtime.Version(), Compiler: runtime.Compiler,
	Platform: runtime.GOOS + "/" + runtime.GOARCH,
}

// Service serves /api, /apis and what lies between them and the resources.
type Service struct {
	descriptors func() []resource.Descriptor
	address     string
}

// New returns the service for the resources that descriptors lists at the time of a request.
// address is where the server is reached, host:port, and may be empty.
func New(descriptors func() []resource.Descriptor, address string) *Service {
	return &Service{descriptors: descriptors, address: address}
}

// Root serves /api: the versions of the core group.
func (s *Service) Root(w http.ResponseWriter, r *http.Request) {
	gs := groups(s.descriptors())
	f := negotiate(r, true)
	if f.aggregated {
		write(w, r, f, aggregated(gs, true))
		return
	}
	out := &metav1.APIVersions{
		TypeMeta: metav1.TypeMeta{Kind: "APIVersions"}, Versions: []string{},
		ServerAddressByClientCIDRs: []metav1.ServerAddressByClientCIDR{{ClientCIDR: "0.0.0.0/0", ServerAddress: s.address}},
	}
	for _, g := range gs {
		if g.name == "" {
			for _, v := range g.versions {
				out.Versions = append(out.Versions, v.version)
			}
		}
	}
	write(w, r, f, out)
}

// Groups serves /apis: all groups but the core.
func (s *Service) Groups(w http.ResponseWriter, r *http.Request) {
	gs := groups(s.descriptors())
	f := negotiate(r, true)
	if f.aggregated {
		write(w, r, f, aggregated(gs, false))
		return
	}
	write(w, r, f, groupList(gs))
}

// Index serves /: the paths of groups and versions, and those given.
func (s *Service) Index(others ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		paths := append([]string{"/api", "/apis"}, others...)
		for _, g := range groups(s.descriptors()) {
			root := "/apis/" + g.name
			if g.name == "" {
				root = "/api"
			} else {
				paths = append(paths, root)
			}
			for _, v := range g.versions {
				paths = append(paths, root+"/"+v.version)
			}
		}
		slices.Sort(paths)
		write(w, r, form{media: mediaJSON}, metav1.RootPaths{Paths: paths})
	}
}

// Group serves /apis/GROUP.
func (s *Service) Group(w http.ResponseWriter, r *http.Request, name string) bool {
	gs := groups(s.descriptors())
	i := slices.IndexFunc(gs, func(g group) bool { return g.name == name && name != "" })
	if i < 0 {
		return false
	}
	out := apiGroup(gs[i])
	write(w, r, negotiate(r, false), &out)
	return true
}

// Resources serves /api/VERSION and /apis/GROUP/VERSION.
func (s *Service) Resources(w http.ResponseWriter, r *http.Request, gv schema.GroupVersion) bool {
	for _, g := range groups(s.descriptors()) {
		for _, v := range g.versions {
			if g.name == gv.Group && v.version == gv.Version {
				write(w, r, negotiate(r, false), resourceList(gv, v))
				return true
			}
		}
	}
	return false
}

// ServeVersion serves /version.
func (s *Service) ServeVersion(w http.ResponseWriter, r *http.Request) {
	write(w, r, form{media: mediaJSON}, Version)
}
