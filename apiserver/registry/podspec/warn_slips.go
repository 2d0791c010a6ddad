package podspec

import (
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/miniorch/miniorch/apiserver/registry/kind"
)

// What is below is valid, works as documented, and is hardly what anybody means.

// deprecatedLabels are old names of labels, with their successors.
var deprecatedLabels = map[string]string{
	"beta.kubernetes.io/arch":                  "deprecated since v1.14; use \"kubernetes.io/arch\" instead",
	"beta.kubernetes.io/os":                    "deprecated since v1.14; use \"kubernetes.io/os\" instead",
	"beta.kubernetes.io/instance-type":         "deprecated since v1.17; use \"node.kubernetes.io/instance-type\" instead",
	"failure-domain.beta.kubernetes.io/region": "deprecated since v1.17; use \"topology.kubernetes.io/region\" instead",
	"failure-domain.beta.kubernetes.io/zone":   "deprecated since v1.17; use \"topology.kubernetes.io/zone\" instead",
}

// warnSlips names what is likely a mistake in the spec of a pod.
func warnSlips(s *corev1.PodSpec, path *field.Path) []string {
	var all []string
	for _, old := range slices.Sorted(maps.Keys(deprecatedLabels)) {
		if _, ok := s.NodeSelector[old]; ok {
			all = append(all, kind.Unserved(path.Child("nodeSelector").Key(old), "%s", deprecatedLabels[old]))
		}
	}
	for i, t := range s.TopologySpreadConstraints {
		if text, ok := deprecatedLabels[t.TopologyKey]; ok {
			all = append(all, kind.Unserved(path.Child("topologySpreadConstraints").Index(i).Child("topologyKey"), "%s is %s", t.TopologyKey, text))
		}
	}
	seen := map[string]bool{}
	for i, a := range s.HostAliases {
		if seen[a.IP] {
			all = append(all, kind.Unserved(path.Child("hostAliases").Index(i).Child("ip"), "duplicate ip %q", a.IP))
		}
		seen[a.IP] = true
	}
	seen = map[string]bool{}
	for i, p := range s.ImagePullSecrets {
		switch at := path.Child("imagePullSecrets").Index(i).Child("name"); {
		case p.Name == "":
			all = append(all, kind.Unserved(at, "invalid empty name %q", p.Name))
		case seen[p.Name]:
			all = append(all, kind.Unserved(at, "duplicate name %q", p.Name))
		}
		seen[p.Name] = true
	}
	if g := s.TerminationGracePeriodSeconds; g != nil && *g < 0 {
		all = append(all, kind.Unserved(path.Child("terminationGracePeriodSeconds"), "must be >= 0; negative values are invalid and will be treated as 1"))
	}
	return append(all, warnPorts(s, path)...)
}

// warnPorts names the ports that are said twice.
func warnPorts(s *corev1.PodSpec, path *field.Path) []string {
	type port struct {
		number   int32
		protocol corev1.Protocol
		host     string
	}
	var all []string
	first := map[port]string{}
	for i := range s.Containers {
		for j, p := range s.Containers[i].Ports {
			at := path.Child("containers").Index(i).Child("ports").Index(j)
			key := port{p.ContainerPort, p.Protocol, fmt.Sprint(p.HostIP, "/", p.HostPort)}
			if where, ok := first[key]; ok {
				all = append(all, kind.Unserved(at, "duplicate port definition with %s", where))
				continue
			}
			first[key] = at.String()
		}
	}
	return all
}

// warnFractions names the amounts that are less than a byte.
func warnFractions(r *corev1.ResourceRequirements, path *field.Path) []string {
	var all []string
	for _, list := range []struct {
		name string
		of   corev1.ResourceList
	}{{"requests", r.Requests}, {"limits", r.Limits}} {
		for _, name := range []corev1.ResourceName{corev1.ResourceMemory, corev1.ResourceEphemeralStorage} {
			if q, ok := list.of[name]; ok && q.MilliValue()%1000 != 0 {
				all = append(all, kind.Unserved(path.Child(list.name).Key(string(name)), "fractional byte value %q is invalid, must be an integer", q.String()))
			}
		}
	}
	return all
}
