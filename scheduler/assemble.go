package scheduler

import (
	"errors"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/miniorch/miniorch/scheduler/config"
	"github.com/miniorch/miniorch/scheduler/framework"
)

// DefaultProfile is the profile of a cluster that configures none: all of the catalogue.
func DefaultProfile(p Parts) framework.Profile {
	profile := framework.Profile{SchedulerName: corev1.DefaultSchedulerName}
	for _, l := range catalogue() {
		plugin, err := l.build(p, nil, field.NewPath(l.name))
		if err != nil {
			panic("scheduler: the defaults of " + l.name + " are wrong: " + err.Error())
		}
		profile.Plugins = append(profile.Plugins, framework.Enabled{Plugin: plugin, Weight: l.weight})
	}
	return profile
}

// Profiles builds the profiles of a configuration file; without any, the default one.
func Profiles(c *config.Configuration, p Parts) ([]framework.Profile, error) {
	if c == nil || len(c.Profiles) == 0 {
		return []framework.Profile{DefaultProfile(p)}, nil
	}
	var all []framework.Profile
	for i := range c.Profiles {
		profile, err := assemble(&c.Profiles[i], p, field.NewPath("profiles").Index(i))
		if err != nil {
			return nil, err
		}
		all = append(all, profile)
	}
	return all, nil
}

// Check reports what is wrong with a configuration file, as far as it can be told without a
// cluster.
func Check(c *config.Configuration) error {
	all, err := Profiles(c, Parts{})
	if err == nil {
		_, err = newProfiles(all)
	}
	if err == nil {
		_, err = newExtenders(c)
	}
	return err
}

// assembly is a profile on its way from what the file says to plugins.
type assembly struct {
	*config.Profile
	path   *field.Path
	points map[framework.Point]config.PluginSet
	args   map[string]int // by plugin: where in PluginConfig
}

func assemble(c *config.Profile, p Parts, path *field.Path) (framework.Profile, error) {
	a := &assembly{Profile: c, path: path, points: pointsOf(c.Plugins), args: make(map[string]int)}
	for i, one := range c.PluginConfig {
		a.args[one.Name] = i
	}
	if err := a.check(); err != nil {
		return framework.Profile{}, err
	}
	profile := framework.Profile{SchedulerName: c.Name()}
	for _, l := range a.ordered() {
		e, err := a.build(l, p)
		if err != nil {
			return profile, err
		}
		if len(e.Off) == 0 || len(e.Off) < len(framework.PointsOf(e.Plugin)) {
			profile.Plugins = append(profile.Plugins, e)
		}
	}
	return profile, nil
}

func pointsOf(p *config.Plugins) map[framework.Point]config.PluginSet {
	if p == nil {
		p = &config.Plugins{}
	}
	return map[framework.Point]config.PluginSet{
		framework.AtPreEnqueue: p.PreEnqueue, framework.AtQueueSort: p.QueueSort, framework.AtPreFilter: p.PreFilter,
		framework.AtFilter: p.Filter, framework.AtPostFilter: p.PostFilter, framework.AtPreScore: p.PreScore,
		framework.AtScore: p.Score, framework.AtReserve: p.Reserve, framework.AtPermit: p.Permit,
		framework.AtPreBind: p.PreBind, framework.AtBind: p.Bind, framework.AtPostBind: p.PostBind, multiPoint: p.MultiPoint,
	}
}

const multiPoint framework.Point = "multiPoint"

// elsewhere are plugins that Kubernetes has and we have not, each with what becomes of the pods
// that need it. Files may name them, to no effect.
var elsewhere = map[string]string{
	"DynamicResources":      "pods with resource claims are refused",
	"GangScheduling":        "groups of pods are PodGroups' business here",
	"NodeDeclaredFeatures":  "nodes declare no features",
	"DeferredPodScheduling": "no pod is deferred",
}

// check refuses names that are not known or stand twice, and weights that cannot be.
func (a *assembly) check() error {
	known := make(map[string]bool)
	for _, l := range catalogue() {
		known[l.name] = true
	}
	var errs []error
	checkName := func(name string, at *field.Path) {
		if _, accepted := elsewhere[name]; !known[name] && !accepted {
			errs = append(errs, field.Invalid(at.Child("name"), name, "no plugin of this name"))
		}
	}
	for _, point := range sortedPoints(a.points) {
		at, set := a.path.Child("plugins", string(point)), a.points[point]
		for i, e := range set.Enabled {
			at := at.Child("enabled").Index(i)
			checkName(e.Name, at)
			if named(set.Enabled[:i], e.Name) {
				errs = append(errs, field.Duplicate(at.Child("name"), e.Name))
			}
			if e.Weight != nil && *e.Weight < 0 {
				errs = append(errs, field.Invalid(at.Child("weight"), *e.Weight, "must not be negative"))
			}
		}
		for i, d := range set.Disabled {
			if d.Name != "*" {
				checkName(d.Name, at.Child("disabled").Index(i))
			}
		}
	}
	for i, c := range a.PluginConfig {
		checkName(c.Name, a.path.Child("pluginConfig").Index(i))
	}
	return errors.Join(errs...)
}

func sortedPoints(m map[framework.Point]config.PluginSet) (points []framework.Point) {
	for p := range m {
		points = append(points, p)
	}
	slices.Sort(points)
	return points
}

// ordered returns the catalogue with the plugins first that the file enables by name, in its
// order.
func (a *assembly) ordered() []listed {
	place := make(map[string]int)
	for _, point := range sortedPoints(a.points) {
		for i, e := range a.points[point].Enabled {
			if at, ok := place[e.Name]; !ok || i < at {
				place[e.Name] = i
			}
		}
	}
	all := catalogue()
	slices.SortStableFunc(all, func(x, y listed) int {
		i, named := place[x.name]
		j, too := place[y.name]
		switch {
		case named && too:
			return i - j
		case named && !y.always && !x.always:
			return -1
		case too && !y.always && !x.always:
			return 1
		}
		return 0
	})
	return all
}

// build makes one plugin, switched off where the file does not want it.
func (a *assembly) build(l listed, p Parts) (framework.Enabled, error) {
	path, raw := a.path.Child("pluginConfig"), []byte(nil)
	if i, ok := a.args[l.name]; ok {
		path, raw = path.Index(i).Child("args"), a.PluginConfig[i].Args
	}
	plugin, err := l.build(p, raw, path)
	if err != nil {
		return framework.Enabled{}, err
	}
	e := framework.Enabled{Plugin: plugin, Weight: a.weight(l)}
	if l.always {
		return e, nil
	}
	for _, point := range framework.PointsOf(plugin) {
		if !a.on(l.name, point) {
			e.Off = append(e.Off, point)
		}
	}
	for _, pair := range [][2]framework.Point{{framework.AtPreFilter, framework.AtFilter}, {framework.AtPreScore, framework.AtScore}} {
		if slices.Contains(e.Off, pair[0]) && !slices.Contains(e.Off, pair[1]) && slices.Contains(framework.PointsOf(plugin), pair[1]) {
			return e, fmt.Errorf("%s: %s cannot do without it at %s: disable both or none", a.path.Child("plugins", string(pair[0])), l.name, pair[1])
		}
	}
	return e, nil
}

// on reports whether a plugin takes part at an extension point: what is said about the point
// counts more than what is said about all, and what is enabled more than what is disabled.
func (a *assembly) on(name string, point framework.Point) bool {
	for _, at := range []framework.Point{point, multiPoint} {
		set := a.points[at]
		if named(set.Enabled, name) {
			return true
		}
		if named(set.Disabled, name) || named(set.Disabled, "*") {
			return false
		}
	}
	return true
}

func named(list []config.Plugin, name string) bool {
	return slices.ContainsFunc(list, func(p config.Plugin) bool { return p.Name == name })
}

// weight returns the weight of a plugin's scores: as said about scores, as said about all
// points, or the default one.
func (a *assembly) weight(l listed) int64 {
	for _, at := range []framework.Point{framework.AtScore, multiPoint} {
		for _, e := range a.points[at].Enabled {
			if e.Name == l.name && e.Weight != nil && *e.Weight > 0 {
				return int64(*e.Weight)
			}
		}
	}
	return max(l.weight, 1)
}
