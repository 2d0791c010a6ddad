package scheduler

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/miniorch/miniorch/scheduler/config"
	"github.com/miniorch/miniorch/scheduler/framework"
)

// file makes a configuration file of what follows its head.
func file(body string) []byte {
	return []byte("apiVersion: " + config.APIVersion + "\nkind: " + config.Kind + "\n" + body)
}

// plugins prints a profile: name, weight if it scores, and where it is switched off.
func plugins(p framework.Profile) string {
	var out []string
	for _, e := range p.Plugins {
		s := e.Name()
		if _, scores := e.Plugin.(framework.Score); scores {
			s += fmt.Sprint("*", e.Weight)
		}
		if len(e.Off) > 0 {
			s += fmt.Sprint(e.Off)
		}
		out = append(out, s)
	}
	return strings.Join(out, " ")
}

func TestProfiles(t *testing.T) {
	all := plugins(DefaultProfile(Parts{}))
	tests := []struct {
		name, reason, file string
		want               []string // each profile, as name: what its list has
	}{
		{"none", "the default profile", "", []string{"default-scheduler: " + all}},
		{"only names", "several with the same plugins", "profiles: [{}, {schedulerName: other}]", []string{"default-scheduler: " + all, "other: " + all}},
		{"disable everything but", "named ones, in their order", `
profiles:
- plugins:
    multiPoint:
      disabled: [{name: "*"}]
      enabled: [{name: PrioritySort}, {name: NodeResourcesFit, weight: 5}, {name: TaintToleration}, {name: DefaultBinder}]
`, []string{"default-scheduler: PrioritySort Unsupported NodeResourcesFit*5 TaintToleration*3 DefaultBinder"}},
		{"no scores", "each at one point", `
profiles:
- plugins:
    preScore: {disabled: [{name: "*"}]}
    score:
      disabled: [{name: "*"}]
      enabled: [{name: ImageLocality, weight: 9}]
    preScore:
      disabled: [{name: "*"}]
      enabled: [{name: ImageLocality}]
`, nil},
		{"one point", "the rest of the plugin stays", `
profiles:
- plugins:
    score:
      disabled: [{name: NodeResourcesFit}, {name: NodeResourcesBalancedAllocation}]
      enabled: [{name: TaintToleration, weight: 7}]
    multiPoint:
      disabled: [{name: DefaultPreemption}, {name: ImageLocality}, {name: DynamicResources}]
`, []string{"NodeResourcesFit*1[score]", "TaintToleration*7", "NodeResourcesBalancedAllocation*1[score]"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, err := config.Read(file(tt.file))
			if tt.want == nil {
				if err == nil {
					t.Error("a key that stands twice is accepted")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			got, err := Profiles(c, Parts{})
			if err != nil {
				t.Fatal(err)
			}
			if len(got) != len(tt.want) && len(got) > 1 {
				t.Fatalf("%d profiles", len(got))
			}
			for i, want := range tt.want {
				have := got[min(i, len(got)-1)]
				if _, err := framework.New(have); err != nil {
					t.Error(err)
				}
				if text := have.SchedulerName + ": " + plugins(have); !strings.Contains(text+" ", want+" ") {
					t.Errorf("%s: got\n%s\nwant\n%s", tt.reason, text, want)
				}
			}
			if tt.name == "one point" && strings.Contains(plugins(got[0]), "ImageLocality") {
				t.Error("what is disabled altogether is there")
			}
		})
	}
}

func TestConfigurationIsRefused(t *testing.T) {
	profile := func(s string) string { return "profiles: [{" + s + "}]" }
	args := func(plugin, s string) string {
		return profile("pluginConfig: [{name: " + plugin + ", args: {" + s + "}}]")
	}
	tests := []struct{ name, file, want string }{
		{"unknown field", "pace: fast", `unknown field "pace"`},
		{"unknown field below", profile("plugins: {multiPoint: {enabeld: []}}"), `unknown field "profiles[0].plugins.multiPoint.enabeld"`},
		{"unknown plugin", profile("plugins: {score: {enabled: [{name: NodeFast}]}}"), `profiles[0].plugins.score.enabled[0].name: Invalid value: "NodeFast"`},
		{"unknown plugin disabled", profile("plugins: {filter: {disabled: [{name: NodeFast}]}}"), "profiles[0].plugins.filter.disabled[0].name"},
		{"unknown plugin tuned", profile("pluginConfig: [{name: NodeFast}]"), "profiles[0].pluginConfig[0].name"},
		{"tuned twice", profile("pluginConfig: [{name: NodeAffinity}, {name: NodeAffinity}]"), "profiles[0].pluginConfig[1].name: Duplicate value"},
		{"two of a name", "profiles: [{schedulerName: a}, {schedulerName: a}]", "profiles[1].schedulerName: Duplicate value"},
		{"percentage", "percentageOfNodesToScore: 101", "percentageOfNodesToScore: Invalid value"},
		{"back-off", "podInitialBackoffSeconds: 5\npodMaxBackoffSeconds: 4", "podMaxBackoffSeconds: Invalid value"},
		{"no args", args("NodeName", "x: 1"), "profiles[0].pluginConfig[0].args: NodeName takes no arguments"},
		{"unknown arg", args("NodeResourcesFit", "strategy: x"), `profiles[0].pluginConfig[0].args: unknown field "strategy"`},
		{"strategy", args("NodeResourcesFit", "scoringStrategy: {type: Some}"), "profiles[0].pluginConfig[0].args.scoringStrategy.type: Unsupported value"},
		{"no shape", args("NodeResourcesFit", "scoringStrategy: {type: RequestedToCapacityRatio}"), "scoringStrategy.requestedToCapacityRatio: Required"},
		{"shape", args("NodeResourcesFit", "scoringStrategy: {type: RequestedToCapacityRatio, requestedToCapacityRatio: {shape: [{utilization: 10, score: 1}, {utilization: 5, score: 1}]}}"),
			"requestedToCapacityRatio.shape[1].utilization: Invalid value"},
		{"volumes' shape", args("VolumeBinding", "shape: [{utilization: 10, score: 11}]"), "args.shape[0].score: Invalid value"},
		{"resource weight", args("NodeResourcesFit", "scoringStrategy: {type: MostAllocated, resources: [{name: cpu, weight: 101}]}"), "scoringStrategy.resources[0].weight"},
		{"hard weight", args("InterPodAffinity", "hardPodAffinityWeight: 101"), "args.hardPodAffinityWeight: Invalid value"},
		{"candidates", args("DefaultPreemption", "minCandidateNodesPercentage: 0, minCandidateNodesAbsolute: 0"), "must be greater than zero"},
		{"defaults", args("PodTopologySpread", "defaultingType: List, defaultConstraints: [{maxSkew: 0}]"), "args.defaultConstraints[0].maxSkew"},
		{"added affinity", args("NodeAffinity", "addedAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchExpressions: [{key: a, operator: Near}]}]}}"),
			`args.addedAffinity: operator "Near" is not known`},
		{"half a plugin", profile("plugins: {preFilter: {disabled: [{name: NodeAffinity}]}}"), "profiles[0].plugins.preFilter: NodeAffinity cannot do without it at filter"},
		{"defaults twice", args("PodTopologySpread", "defaultingType: List, defaultConstraints: [{maxSkew: 1, topologyKey: z, whenUnsatisfiable: DoNotSchedule}, {maxSkew: 2, topologyKey: z, whenUnsatisfiable: DoNotSchedule}]"),
			"args.defaultConstraints[1]: Duplicate value"},
		{"resource group", args("NodeResourcesFit", "ignoredResourceGroups: [example.com/gpu]"), "args.ignoredResourceGroups[0]: Invalid value"},
		{"others' args", args("NodeResourcesFit", "kind: NodeAffinityArgs"), "want kubescheduler.config.k8s.io/v1, NodeResourcesFitArgs"},
		{"twice at a point", profile("plugins: {score: {enabled: [{name: NodeAffinity}, {name: NodeAffinity}]}}"), "profiles[0].plugins.score.enabled[1].name: Duplicate value"},
		{"negative weight", profile("plugins: {score: {enabled: [{name: NodeAffinity, weight: -1}]}}"), "profiles[0].plugins.score.enabled[0].weight: Invalid value"},
		{"extender", "extenders: [{prioritizeVerb: p}]", "extenders[0].urlPrefix: Required"},
		{"extender's scores", "extenders: [{urlPrefix: 'http://x', prioritizeVerb: p}]", "extenders[0].weight: Invalid value"},
		{"extender's address", "extenders: [{urlPrefix: 'x.example.com'}]", "extenders[0].urlPrefix: Invalid value"},
		{"extender in the clear", "extenders: [{urlPrefix: 'http://x', enableHTTPS: true}]", "must begin with https"},
		{"two that bind", "extenders: [{urlPrefix: 'http://x', bindVerb: b}, {urlPrefix: 'http://y', bindVerb: b}]", "extenders[1].bindVerb: Invalid value"},
		{"extender's resources", "extenders: [{urlPrefix: 'http://x', managedResources: [{name: cpu}]}]", "extenders[0].managedResources[0].name: Invalid value"},
		{"a resource of two", "extenders: [{urlPrefix: 'http://x', managedResources: [{name: a.b/c}]}, {urlPrefix: 'http://y', managedResources: [{name: a.b/c}]}]",
			"extenders[1].managedResources[0].name: Invalid value"},
		{"half a certificate", "extenders: [{urlPrefix: 'https://x', tlsConfig: {certFile: c}}]", "extenders[0].tlsConfig: Invalid value"},
		{"insecure", "extenders: [{urlPrefix: 'https://x', tlsConfig: {insecure: true, caFile: c}}]", "extenders[0].tlsConfig.insecure: Forbidden"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, err := config.Read(file(tt.file))
			if err == nil {
				_, err = Profiles(c, Parts{})
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
	if _, err := config.Read([]byte("apiVersion: v1\nkind: Pod")); err == nil || !strings.Contains(err.Error(), config.Kind) {
		t.Errorf("another kind of file: %v", err)
	}
}

// TestWhatHasNoEffectIsSaid: every field of a file acts, is refused, or is named in the log.
func TestWhatHasNoEffectIsSaid(t *testing.T) {
	tests := []struct{ name, file, want string }{
		{"nothing", "", ""},
		{"what acts", "podInitialBackoffSeconds: 2\npodMaxBackoffSeconds: 20\nprofiles: [{plugins: {score: {enabled: [{name: NodeAffinity, weight: 3}]}}}]", ""},
		{"percentage", "percentageOfNodesToScore: 50", "percentageOfNodesToScore: all nodes are looked at"},
		{"the default percentage", "percentageOfNodesToScore: 0", ""},
		{"a profile's percentage", "profiles: [{percentageOfNodesToScore: 50}]", "profiles[0].percentageOfNodesToScore: all nodes are looked at"},
		{"parallelism", "parallelism: 16", "parallelism: "},
		{"leader election", "leaderElection: {leaderElect: false}", "leaderElection: "},
		{"connection", "clientConnection: {qps: 100}", "clientConnection: "},
		{"profiling", "enableProfiling: true", "enableProfiling: "},
		{"contention", "enableContentionProfiling: false", "enableProfiling: "},
		{"caches", "delayCacheUntilActive: true", "delayCacheUntilActive: "},
		{"a plugin that is not here", "profiles: [{plugins: {multiPoint: {enabled: [{name: DynamicResources}]}}}]", "profiles[0].plugins.multiPoint.enabled[0]: DynamicResources is not here: pods with resource claims are refused"},
		{"its arguments", "profiles: [{pluginConfig: [{name: DynamicResources, args: {filterTimeout: 10s}}]}]", "profiles[0].pluginConfig[0]: DynamicResources is not here"},
		{"where a plugin has no say", "profiles: [{plugins: {permit: {enabled: [{name: NodeAffinity}]}}}]", "profiles[0].plugins.permit.enabled[0]: NodeAffinity does nothing at permit here"},
		{"the weight of a filter", "profiles: [{plugins: {filter: {enabled: [{name: NodeAffinity, weight: 3}]}}}]", "profiles[0].plugins.filter.enabled[0].weight: only scores have a weight"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, err := config.Read(file(tt.file))
			if err != nil {
				t.Fatal(err)
			}
			built, err := Profiles(c, Parts{})
			if err != nil {
				t.Fatal(err)
			}
			got := strings.Join(unserved(c, built), "; ")
			if tt.want == "" && got != "" || !strings.Contains(got, tt.want) || strings.Contains(got, "; ") {
				t.Errorf("said: %q, want %q", got, tt.want)
			}
		})
	}
}

// TestEveryFieldIsAccountedFor fails when a field is added to the format that no test above knows.
func TestEveryFieldIsAccountedFor(t *testing.T) {
	acts := []string{"TypeMeta", "PodInitialBackoffSeconds", "PodMaxBackoffSeconds", "Profiles", "Extenders"}
	said := []string{"Parallelism", "LeaderElection", "ClientConnection", "EnableProfiling", "EnableContentionProfiling", "PercentageOfNodesToScore", "DelayCacheUntilActive"}
	for _, f := range reflect.VisibleFields(reflect.TypeFor[config.Configuration]()) {
		if len(f.Index) == 1 && !slices.Contains(acts, f.Name) && !slices.Contains(said, f.Name) {
			t.Errorf("%s neither acts nor is said to have no effect", f.Name)
		}
	}
}
