package kubelet

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	nodev1 "k8s.io/api/node/v1"
	"k8s.io/utils/ptr"

	"github.com/miniorch/miniorch/kubelet/node"
	"github.com/miniorch/miniorch/pkg/client"
)

// checkRuntime fails if the pod's RuntimeClass names another runtime than the one that is here:
// who asks for a stronger wall around a pod must not get ours instead.
func (k *Kubelet) checkRuntime(ctx context.Context, pod *corev1.Pod) error {
	name := ptr.Deref(pod.Spec.RuntimeClassName, "")
	if name == "" {
		return nil
	}
	class, err := client.Of[*nodev1.RuntimeClass](k.transport).Get(ctx, "", name)
	if err != nil {
		return fmt.Errorf("reading the pod's RuntimeClass: %w", err)
	}
	if class.Handler != node.RuntimeHandler {
		return fmt.Errorf("no runtime for %q (handler of RuntimeClass %s) is configured: this node has %q alone", class.Handler, name, node.RuntimeHandler)
	}
	return nil
}
