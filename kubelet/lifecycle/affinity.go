package lifecycle

import (
	corev1 "k8s.io/api/core/v1"

	"github.com/miniorch/miniorch/pkg/api"
)

// MatchesNode reports whether the pod's nodeSelector and required node affinity, if any,
// hold for the node.
func MatchesNode(pod *corev1.Pod, node *corev1.Node) bool {
	for key, value := range pod.Spec.NodeSelector {
		if have, ok := node.Labels[key]; !ok || have != value {
			return false
		}
	}
	a := pod.Spec.Affinity
	if a == nil || a.NodeAffinity == nil || a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution == nil {
		return true
	}
	return api.NodeSelectorMatches(a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution, node)
}
