// Package unsupported refuses pods that demand what this scheduler does not do yet: running
// them anyway could break what they rely on.
package unsupported

import (
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/miniorch/miniorch/scheduler/framework"
)

// Plugin is Unsupported.
type Plugin struct{}

// Name returns the plugin's name.
func (Plugin) Name() string { return "Unsupported" }

// Sign tells what the plugin reads.
func (Plugin) Sign(b []byte, pod *framework.PodInfo) ([]byte, bool) {
	return append(b, strings.Join(Demands(&pod.Pod.Spec), ",")...), true
}

// PreFilter refuses the pod if it demands what is not done.
func (Plugin) PreFilter(_ *framework.CycleState, pod *framework.PodInfo, _ framework.Snapshot) *framework.Status {
	if d := Demands(&pod.Pod.Spec); len(d) > 0 {
		return framework.RefuseForGood("pod demands what this scheduler does not support: " + strings.Join(d, ", "))
	}
	return nil
}

// Demands returns the fields that demand what is not done.
func Demands(s *corev1.PodSpec) (fields []string) {
	if len(s.ResourceClaims) > 0 {
		fields = append(fields, "resource claims")
	}
	return fields
}
