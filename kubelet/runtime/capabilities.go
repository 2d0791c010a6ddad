package runtime

import (
	"fmt"
	"slices"
	"strings"

	"github.com/containerd/containerd/v2/pkg/cap"
)

// capabilitySet is the default set less drop plus add, "ALL" being what this machine can
// give. Dropping happens first, so that "drop ALL, add X" leaves X.
func capabilitySet(defaults, add, drop []string) ([]string, error) {
	current, err := cap.Current()
	if err != nil {
		return nil, fmt.Errorf("reading own capabilities: %w", err)
	}
	set := slices.Clone(defaults)
	if hasAll(add) {
		set = slices.Clone(current)
	}
	if hasAll(drop) {
		set = nil
	}
	for _, name := range drop {
		name = capName(name)
		set = slices.DeleteFunc(set, func(have string) bool { return have == name })
	}
	for _, name := range add {
		name = capName(name)
		switch {
		case name == allCapabilities, slices.Contains(set, name):
		case !slices.Contains(cap.Known(), name):
			return nil, fmt.Errorf("unknown capability %q", name)
		case !slices.Contains(current, name):
			return nil, fmt.Errorf("capability %s is not available on this node", name)
		default:
			set = append(set, name)
		}
	}
	return set, nil
}

const allCapabilities = "CAP_ALL"

func hasAll(names []string) bool {
	return slices.ContainsFunc(names, func(n string) bool { return capName(n) == allCapabilities })
}

func capName(name string) string {
	name = strings.ToUpper(name)
	if strings.HasPrefix(name, "CAP_") {
		return name
	}
	return "CAP_" + name
}
