package core

import (
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/miniorch/miniorch/apiserver/registry/kindtest"
)

// TestHugeQuantities: such a pod is handled at once. Without the cap this test takes
// longer than any time limit.
func TestHugeQuantities(t *testing.T) {
	const huge = `"1e999999999"`
	p := podWith(t, "overhead: {cpu: "+huge+"}, resources: {limits: {cpu: "+huge+", memory: 1}}, volumes: [{name: v, emptyDir: {sizeLimit: "+huge+"}}]",
		"resources: {limits: {cpu: "+huge+", memory: 1}, requests: {memory: "+huge+"}}, "+
			"env: [{name: A, valueFrom: {resourceFieldRef: {resource: limits.cpu, divisor: "+huge+"}}}]")
	preparePodCreate(p)
	kindtest.WantErrors(t, validatePod(p), "must be less than or equal to memory limit of 1", "must be less than or equal to memory limit of 1", "only divisor's values")
	n := kindtest.From[corev1.Node](t, "status: {capacity: {cpu: "+huge+", example.com/gpu: "+huge+"}}")
	defaultNode(n)
	kindtest.WantErrors(t, validateNode(n))
}
