package podspec

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/miniorch/miniorch/apiserver/registry/kindtest"
)

// https://kubernetes.io/docs/concepts/scheduling-eviction/assign-pod-node/#matchlabelkeys
func TestMergeLabelKeys(t *testing.T) {
	p := kindtest.From[corev1.Pod](t, `
metadata: {labels: {version: "2", tenant: a}}
spec:
  affinity:
    podAffinity: {requiredDuringSchedulingIgnoredDuringExecution: [{topologyKey: z, labelSelector: {}, matchLabelKeys: [version, none], mismatchLabelKeys: [tenant]}]}
    podAntiAffinity: {preferredDuringSchedulingIgnoredDuringExecution: [{weight: 1, podAffinityTerm: {topologyKey: z, matchLabelKeys: [version]}}]}
  topologySpreadConstraints: [{topologyKey: z, maxSkew: 1, labelSelector: {matchLabels: {app: x}}, matchLabelKeys: [version]}]`)
	MergeLabelKeys(p)
	MergeLabelKeys(p) // once is enough
	version := metav1.LabelSelectorRequirement{Key: "version", Operator: "In", Values: []string{"2"}}
	tenant := metav1.LabelSelectorRequirement{Key: "tenant", Operator: "NotIn", Values: []string{"a"}}
	near := p.Spec.Affinity.PodAffinity.RequiredDuringSchedulingIgnoredDuringExecution[0]
	if diff := cmp.Diff([]metav1.LabelSelectorRequirement{version, tenant}, near.LabelSelector.MatchExpressions); diff != "" {
		t.Error("affinity:", diff)
	}
	if far := p.Spec.Affinity.PodAntiAffinity.PreferredDuringSchedulingIgnoredDuringExecution[0]; far.PodAffinityTerm.LabelSelector != nil {
		t.Error("a selector came from nowhere:", far)
	}
	spread := p.Spec.TopologySpreadConstraints[0]
	if diff := cmp.Diff([]metav1.LabelSelectorRequirement{version}, spread.LabelSelector.MatchExpressions); diff != "" {
		t.Error("spread:", diff)
	}
	for _, errs := range []field.ErrorList{
		validateLabelKeys(near.MatchLabelKeys, near.LabelSelector, "In", nil), validateLabelKeys(spread.MatchLabelKeys, spread.LabelSelector, "In", nil),
	} {
		if len(errs) > 0 {
			t.Error("what was written down is refused:", errs)
		}
	}
}
