package scheduler

import (
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/miniorch/miniorch/scheduler/config"
	"github.com/miniorch/miniorch/scheduler/framework"
)

// unserved lists what a configuration file sets and nobody here acts upon, for the log. built are
// the profiles that were made of it.
func unserved(c *config.Configuration, built []framework.Profile) (out []string) {
	if c == nil {
		return nil
	}
	say := func(set bool, what string) {
		if set {
			out = append(out, what)
		}
	}
	all := "all nodes are looked at, always: pods that are alike share the work"
	say(positive(c.PercentageOfNodesToScore), "percentageOfNodesToScore: "+all)
	say(c.Parallelism > 0, "parallelism: decisions are made one after the other")
	say(c.ClientConnection != (config.ClientConnection{}), "clientConnection: the scheduler is part of the master")
	say(c.LeaderElection != (config.LeaderElection{}), "leaderElection: see the master's --leader-elect")
	say(c.EnableProfiling != nil || c.EnableContentionProfiling != nil, "enableProfiling: see the master's --profiling")
	say(c.DelayCacheUntilActive, "delayCacheUntilActive: the caches are there anyway")
	for i := range c.Profiles {
		p, path := &c.Profiles[i], field.NewPath("profiles").Index(i)
		say(positive(p.PercentageOfNodesToScore), path.Child("percentageOfNodesToScore").String()+": "+all)
		if i < len(built) {
			out = append(out, unservedPlugins(p, built[i], path)...)
		}
	}
	return out
}

func positive(n *int32) bool { return n != nil && *n > 0 }

// unservedPlugins lists the plugins that a profile names where they do nothing.
func unservedPlugins(c *config.Profile, built framework.Profile, path *field.Path) (out []string) {
	has := make(map[string][]framework.Point)
	for _, e := range built.Plugins {
		has[e.Name()] = framework.PointsOf(e.Plugin)
	}
	points := pointsOf(c.Plugins)
	for _, point := range sortedPoints(points) {
		for i, e := range points[point].Enabled {
			at := path.Child("plugins", string(point), "enabled").Index(i)
			why, absent := elsewhere[e.Name]
			switch {
			case absent:
				out = append(out, fmt.Sprintf("%s: %s is not here: %s", at, e.Name, why))
			case point != multiPoint && !slices.Contains(has[e.Name], point):
				out = append(out, fmt.Sprintf("%s: %s does nothing at %s here", at, e.Name, point))
			case e.Weight != nil && (point != framework.AtScore && point != multiPoint || !slices.Contains(has[e.Name], framework.AtScore)):
				out = append(out, fmt.Sprintf("%s: only scores have a weight", at.Child("weight")))
			}
		}
	}
	for i, p := range c.PluginConfig {
		if why, absent := elsewhere[p.Name]; absent {
			out = append(out, fmt.Sprintf("%s: %s is not here: %s", path.Child("pluginConfig").Index(i), p.Name, why))
		}
	}
	return out
}
