// Package defaultbinder binds pods by posting a Binding to the API server.
package defaultbinder

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/miniorch/miniorch/pkg/api"
	"github.com/miniorch/miniorch/pkg/client"
	"github.com/miniorch/miniorch/scheduler/framework"
)

// Plugin is DefaultBinder.
type Plugin struct{ transport client.Transport }

// New returns a binder that writes through t.
func New(t client.Transport) Plugin { return Plugin{transport: t} }

// Name returns the plugin's name.
func (Plugin) Name() string { return "DefaultBinder" }

// Bind posts the binding. Its UID makes sure that it is this pod and not its successor of the
// same name.
func (p Plugin) Bind(ctx context.Context, _ *framework.CycleState, pod *framework.PodInfo, node string) *framework.Status {
	ns, name := pod.Pod.Namespace, pod.Pod.Name
	req := client.Request{Resource: api.ResourceFor[*corev1.Pod](), Namespace: ns, Name: name, Subresource: "binding"}
	_, err := p.transport.Create(ctx, req, &corev1.Binding{
		ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name, UID: pod.Pod.UID},
		Target:     corev1.ObjectReference{Kind: "Node", Name: node},
	}, metav1.CreateOptions{})
	if err != nil {
		return framework.Fail(fmt.Errorf("binding to node %q: %w", node, err))
	}
	return nil
}
