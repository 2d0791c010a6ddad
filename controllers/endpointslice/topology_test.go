package endpointslice

import (
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func auto(s *corev1.Service) {
	s.Annotations = map[string]string{corev1.AnnotationTopologyMode: "Auto"}
}

// https://kubernetes.io/docs/concepts/services-networking/topology-aware-routing/, "Safeguards".
func TestShareByZone(t *testing.T) {
	equal := shares{zones: map[string]int64{"a": 4000, "b": 4000}}
	for _, tc := range []struct {
		reason string
		shares shares
		homes  string // the zone of each pod's node; "-" for none
		edits  []func(*corev1.Pod)
		want   string
		refuse string
	}{
		{"each zone uses its own", equal, "aabb", nil, "aabb", ""},
		{"who has too many gives", equal, "aaab", nil, "aabb", ""},
		{"a zone without endpoints is given some", equal, "aaaa", nil, "aabb", ""},
		{"as the CPU is", shares{zones: map[string]int64{"a": 6000, "b": 3000}}, "aaabbb", nil, "aaabba", ""},
		{"a zone without nodes gives all", equal, "aabbcc", nil, "aabbab", ""},
		{"who is not ready is nobody's", equal, "aabbb", []func(*corev1.Pod){unready}, ".abba", ""},
		{"too few for all zones", equal, "a", nil, ".", "insufficient number of endpoints (1)"},
		{"too unequal for so few", shares{zones: map[string]int64{"a": 9000, "b": 3000}}, "ab", nil, "..", "cannot be shared"},
		{"one zone is no choice", shares{zones: map[string]int64{"a": 1}}, "ab", nil, "..", "in one zone only"},
		{"a node that does not say", shares{zones: equal.zones, strangers: 1}, "aabb", nil, "....", "zone information"},
		{"a pod whose node does not say", equal, "aab-", nil, "....", "do not have a zone"},
		{"no nodes", shares{}, "ab", nil, "..", "zone information"},
	} {
		t.Run(tc.reason, func(t *testing.T) {
			o := observed{Service: service(auto), Zones: map[string]string{}, Shares: tc.shares}
			for n, zone := range tc.homes {
				p := pod(n)
				p.Spec.NodeName = fmt.Sprint("at-", n)
				if n < len(tc.edits) {
					tc.edits[n](p)
				}
				if o.Pods = append(o.Pods, p); zone != '-' {
					o.Zones[p.Spec.NodeName] = string(zone)
				}
			}
			plan := decide(o)
			got := ""
			for _, e := range plan.Create[0].Endpoints {
				if e.Hints == nil {
					got += "."
				} else {
					got += e.Hints.ForZones[0].Name
				}
			}
			refused := ""
			if plan.Unshared != nil {
				refused = plan.Unshared.Error()
			}
			if got != tc.want || (refused == "") != (tc.refuse == "") || !strings.Contains(refused, tc.refuse) {
				t.Errorf("hints %q, want %q; refused: %q, want %q", got, tc.want, refused, tc.refuse)
			}
		})
	}
}

func TestCapacityFollowsNodes(t *testing.T) {
	node := func(zone, cpu string, ready corev1.ConditionStatus, labels ...string) *corev1.Node {
		n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{corev1.LabelTopologyZone: zone}}}
		for _, l := range labels {
			n.Labels[l] = ""
		}
		n.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: ready}}
		n.Status.Allocatable = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(cpu)}
		return n
	}
	c := capacity{nodes: map[string]place{}}
	for _, step := range []struct {
		reason, name string
		node         *corev1.Node
		changed      bool
		want         string
	}{
		{"a node", "1", node("a", "2", "True"), true, "map[a:2000] 0"},
		{"the same", "1", node("a", "2", "True"), false, "map[a:2000] 0"},
		{"one of the control plane runs no clients", "0", node("a", "2", "True", "node-role.kubernetes.io/control-plane"), false, "map[a:2000] 0"},
		{"another zone", "2", node("b", "4", "True"), true, "map[a:2000 b:4000] 0"},
		{"it moves", "2", node("a", "4", "True"), true, "map[a:6000] 0"},
		{"one that does not say where", "3", node("", "4", "True"), true, "map[a:6000] 1"},
		{"it is not ready", "3", node("", "4", "False"), true, "map[a:6000] 0"},
		{"gone", "2", nil, true, "map[a:2000] 0"},
		{"gone already", "2", nil, false, "map[a:2000] 0"},
	} {
		changed := c.set(step.name, step.node)
		if got := fmt.Sprint(c.shares().zones, " ", c.shares().strangers); got != step.want || changed != step.changed {
			t.Errorf("%s: %s, changed %v; want %s, %v", step.reason, got, changed, step.want, step.changed)
		}
	}
}
