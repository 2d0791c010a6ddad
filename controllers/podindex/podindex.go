// Package podindex finds pods by the node that they are bound to.
package podindex

import (
	corev1 "k8s.io/api/core/v1"

	"github.com/miniorch/miniorch/pkg/client"
)

const byNode = "node" // index value: spec.nodeName

// ByNode makes On work on inf.
func ByNode(inf *client.Informer[*corev1.Pod]) {
	inf.Index(byNode, func(p *corev1.Pod) []string {
		if p.Spec.NodeName == "" {
			return nil
		}
		return []string{p.Spec.NodeName}
	})
}

// On returns the pods that are bound to a node.
func On(inf *client.Informer[*corev1.Pod], node string) []*corev1.Pod {
	return inf.ByIndex(byNode, node)
}
