package endpointslice

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"
)

func TestHints(t *testing.T) {
	zones := map[string]string{"node-0": "a", "node-1": "b"}
	for _, tc := range []struct {
		reason, distribution string
		edits                []func(*corev1.Pod)
		n                    int
		want                 string
	}{
		{"nothing is preferred", "", nil, 0, ""},
		{"the same zone", "PreferSameZone", nil, 0, "zone a"},
		{"by its older name", "PreferClose", nil, 1, "zone b"},
		{"the same node, and then the zone", "PreferSameNode", nil, 1, "node node-1 zone b"},
		{"a node without a zone", "PreferSameNode", nil, 2, "node node-2"},
		{"no zone, no hint", "PreferSameZone", nil, 2, ""},
		{"who is not ready is meant for nobody", "PreferSameZone", []func(*corev1.Pod){unready}, 0, ""},
		{"nor who goes", "PreferSameZone", []func(*corev1.Pod){going}, 0, ""},
	} {
		t.Run(tc.reason, func(t *testing.T) {
			svc := service(func(s *corev1.Service) {
				if tc.distribution != "" {
					s.Spec.TrafficDistribution = ptr.To(tc.distribution)
				}
			})
			plan := decide(observed{Service: svc, Pods: []*corev1.Pod{pod(tc.n, tc.edits...)}, Zones: zones})
			var words []string
			if h := plan.Create[0].Endpoints[0].Hints; h != nil {
				for _, n := range h.ForNodes {
					words = append(words, "node "+n.Name)
				}
				for _, z := range h.ForZones {
					words = append(words, "zone "+z.Name)
				}
			}
			if got := strings.Join(words, " "); got != tc.want {
				t.Errorf("hints %q, want %q", got, tc.want)
			}
		})
	}
}
