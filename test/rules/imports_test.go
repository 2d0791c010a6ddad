package rules

import (
	"maps"
	"slices"
	"strings"
	"testing"
)

const (
	components = "apiserver/... scheduler/... controllers/... kubelet/... proxy/... dns/..."
	product    = components + " pkg/... cli/... cmd/... deploy/..."
	everything = product + " test/..."
	// helpers are packages that only tests import.
	helpers = "apiserver/apiservertest apiserver/storage/storagetest apiserver/registry/kindtest controllers/controllertest kubelet/csi/csitest pkg/client/clienttest pkg/leaktest scheduler/framework/sample test/..."
)

// rule says what some packages do not import.
type rule struct {
	who    string // patterns of packages
	except string // patterns of those of them that may
	not    string // patterns of what must not be imported
	but    string // patterns of what of it may be

	through bool // nor do the packages that they import, and so on
	tests   bool // nor do their tests and helpers of tests

	why string
}

var rules = []rule{
	// Components meet only at the API (DESIGN, principle 3): each can be switched off and
	// replaced by a stranger's program that talks to the API.
	{who: "apiserver/...", not: "scheduler/... controllers/... kubelet/... proxy/... dns/...", tests: true, why: "components meet only at the API, and the API server needs none of the others"},
	{who: "scheduler/...", not: "apiserver/... controllers/... kubelet/... proxy/... dns/...", why: "components meet only at the API"},
	{who: "scheduler/...", not: "controllers/... kubelet/... proxy/... dns/...", tests: true, why: "a test may run a real API server, nothing else"},
	{who: "controllers/...", not: "apiserver/... scheduler/... kubelet/... proxy/... dns/...", why: "components meet only at the API"},
	{who: "controllers/...", not: "scheduler/... kubelet/... proxy/... dns/...", tests: true, why: "a test may run a real API server, nothing else"},
	{who: "kubelet/...", not: "apiserver/... scheduler/... controllers/... proxy/... dns/...", tests: true, why: "components meet only at the API"},
	{who: "proxy/...", not: "apiserver/... scheduler/... controllers/... kubelet/... dns/...", tests: true, why: "components meet only at the API"},
	{who: "dns/...", not: "apiserver/... scheduler/... controllers/... kubelet/... proxy/...", tests: true, why: "components meet only at the API"},

	// Imports point downward only: cmd → components → pkg.
	{who: "pkg/...", not: components + " cli/... cmd/... deploy/...", tests: true, why: "what components share knows none of them"},
	{who: components, not: "cli/... cmd/... deploy/...", why: "a component does not know which program it is part of"},
	{who: "pkg/api", not: "pkg/...", why: "words come first: everybody imports them"},
	{who: "pkg/decision pkg/pki", not: "pkg/...", but: "pkg/api", why: "small things stay small"},
	{who: "pkg/client", not: "pkg/reconcile pkg/decision", why: "the client is of use without our loop"},
	{who: "cli/...", not: components, but: "kubelet/runtime/supervise", through: true, why: "the CLI is a client of the API; only how a dead containerd is cleaned up is told by its supervisor"},
	{who: "cmd/miniorch-master", not: "kubelet/... proxy/... dns/... cli/...", through: true, why: "a master runs no pods"},
	{who: "cmd/miniorch-node", not: "apiserver/... scheduler/... controllers/... cli/... go.etcd.io/...", through: true, why: "a node is a client of the API"},
	{who: "cmd/miniorch-master", not: "k8s.io/client-go/rest k8s.io/client-go/kubernetes/...", through: true, why: "a second scheme of all kinds and a second HTTP client cost the start 5 ms and 7 MB"},
	{who: "cmd/miniorchctl", not: components + " pkg/...", why: "the mains are thin"},

	// Inside the components.
	{who: "controllers/*", not: "controllers/*", but: "controllers/backends controllers/brake controllers/children controllers/control controllers/history controllers/names controllers/ownership controllers/podindex controllers/replicas",
		why: "a controller is a folder that can be lifted out; it may take along only what several share"},
	{who: "scheduler/plugins/*", not: "scheduler scheduler/plugins/...", why: "a plugin is a folder that can be lifted out"},
	{who: "scheduler/framework", not: "scheduler scheduler/plugins/... pkg/client", why: "the framework's words know no plugin, and reach nothing"},
	{who: "kubelet/lifecycle kubelet/env kubelet/container kubelet/sandbox scheduler/framework", not: "os os/... net/http log/... pkg/client", why: "these are pure: decisions and plain types"},
	{who: "apiserver/storage/...", not: "apiserver/rest/... apiserver/registry apiserver/resource apiserver/handlers apiserver", why: "a store stores whatever kinds there are"},
	{who: "apiserver/registry/...", not: "apiserver/rest/... apiserver/storage/... apiserver/handlers", why: "a kind is described without knowing who serves it"},
	{who: "apiserver/registry/*", not: "apiserver/registry apiserver/registry/*", but: "apiserver/registry/kind apiserver/registry/kindtest apiserver/registry/podspec", why: "groups share only the toolkit and the pod's spec"},

	// Each neighbour outside has one place that knows it; all others see an interface of ours.
	{who: product, except: "apiserver/storage/etcd", not: "go.etcd.io/...", tests: true, why: "the API server sees storage.Store"},
	{who: product, except: "kubelet/runtime/...", not: "github.com/containerd/... github.com/opencontainers/...", why: "the kubelet sees its own Runtime"},
	{who: product, except: "apiserver/... kubelet/server/...", not: "github.com/gorilla/...", why: "HTTP ends where it is served"},
	{who: product, except: "dns", not: "github.com/miekg/dns", why: "DNS messages end where they are served"},
	{who: product, except: "kubelet/csi/...", not: "github.com/container-storage-interface/... k8s.io/kubelet/...", why: "volumes see an interface of theirs"},
	{who: product, except: "deploy/images/...", not: "github.com/google/go-containerregistry/...", why: "the node has containerd for images"},
	{who: product, except: "cli/...", not: "github.com/spf13/cobra", why: "two programs have a few flags; only the CLI has commands"},

	// Kubernetes' types, not its machinery (DESIGN, principle 1).
	{who: everything, not: "k8s.io/kubernetes/... k8s.io/apiserver/... k8s.io/controller-manager/... k8s.io/kubelet/... sigs.k8s.io/controller-runtime/...", but: "k8s.io/kubelet/pkg/apis/pluginregistration/v1", through: true, tests: true,
		why: "storing, watching, scheduling, reconciling, running and routing are what this project exists to show"},
	{who: everything, not: "k8s.io/component-base/... k8s.io/component-helpers/...", tests: true, why: "flags, logs and metrics are plain ones here"},
	{who: everything, except: "cli/... cmd/miniorchctl test/...", not: "k8s.io/component-base/... k8s.io/kubectl/... k8s.io/cli-runtime/...", through: true, why: "only the CLI is made of kubectl, which brings component-base along"},
	{who: product, except: "cli/...", not: "k8s.io/client-go/...", but: "k8s.io/client-go/applyconfigurations/... k8s.io/client-go/tools/clientcmd/api/...",
		why: "informers, queues and the REST client are pkg/client and pkg/reconcile; merge schemas and the kubeconfig's types are only data"},

	// What is for tests stays in tests.
	{who: product, not: helpers + " testing testing/... net/http/httptest go.uber.org/goleak k8s.io/utils/clock/testing", why: "what is made for tests has no place in a program"},
	{who: "cmd/...", not: helpers + " testing go.uber.org/goleak", through: true, why: "nor by way of other packages"},

	{who: everything, not: "C", tests: true, why: "programs are static: they run in any namespace and on any distribution"},
	{who: product, not: "math/rand", why: "math/rand/v2 makes sources that can be injected, so that a run can be repeated from its seed"},
}

func TestImports(t *testing.T) {
	all := loaded(t)
	for _, r := range rules {
		met := false
		for _, p := range all.ours() {
			met = met || matches(r.who, p.name())
			if !matches(r.who, p.name()) || matches(r.except, p.name()) || !r.tests && matches(helpers, p.name()) {
				continue
			}
			for _, path := range all.offences(r, p) {
				t.Errorf("%s: %s", path, r.why)
			}
		}
		if !met {
			t.Errorf("no package is %q: the rule %q has nothing to say", r.who, r.why)
		}
	}
}

// offences are the imports of p that r forbids, each with the way that leads there.
func (all tree) offences(r rule, p *pkg) []string {
	next := p.Imports
	if r.tests {
		next = slices.Concat(p.Imports, p.TestImports, p.XTestImports)
	}
	ways := map[string]string{p.ImportPath: p.name()} // how each package was reached
	found := []string{}
	for step := map[string][]string{p.ImportPath: next}; len(step) > 0; {
		further := map[string][]string{}
		for _, from := range slices.Sorted(maps.Keys(step)) {
			for _, to := range step[from] {
				if _, seen := ways[to]; seen {
					continue
				}
				name := strings.TrimPrefix(to, module)
				ways[to] = ways[from] + " → " + name
				if matches(r.not, name) && !matches(r.but, name) {
					found = append(found, ways[to])
				}
				if dep := all[to]; r.through && dep != nil {
					further[to] = dep.Imports
				}
			}
		}
		step = further
	}
	return found
}

// A table that cannot fail proves nothing.
func TestOffencesAreSeen(t *testing.T) {
	all := tree{}
	add := func(name string, imports, tests []string) *pkg {
		p := &pkg{ImportPath: module + name, Imports: imports, TestImports: tests}
		all[p.ImportPath] = p
		return p
	}
	a := add("a", []string{module + "b"}, []string{module + "t"})
	add("b", []string{module + "c", "os"}, nil)
	add("c", nil, nil)
	for _, c := range []struct {
		reason string
		rule   rule
		want   []string
	}{
		{"named", rule{not: "b"}, []string{"a → b"}},
		{"by way of b, which was not asked", rule{not: "c"}, []string{}},
		{"by way of b", rule{not: "c os", through: true}, []string{"a → b → c", "a → b → os"}},
		{"allowed", rule{not: "b c", but: "c", through: true}, []string{"a → b"}},
		{"only its test", rule{not: "t"}, []string{}},
		{"its test too", rule{not: "t", tests: true}, []string{"a → t"}},
	} {
		if got := all.offences(c.rule, a); !slices.Equal(got, c.want) {
			t.Errorf("%s: got %q, want %q", c.reason, got, c.want)
		}
	}
}
