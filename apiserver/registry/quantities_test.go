package registry

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

func TestCapped(t *testing.T) {
	for _, c := range []struct{ name, given, want string }{
		{"as it is", "1500m", "1500m"},
		{"zero", "0", "0"},
		{"large and possible", "8E", "8E"},
		{"a number of a billion digits", "1e999999999", "9223372036854775807"},
		{"below", "-1e999999999", "-9223372036854775807"},
	} {
		got := capped(resource.MustParse(c.given))
		if want := resource.MustParse(c.want); got.Cmp(want) != 0 {
			t.Errorf("%s: %s became %s, want %s", c.name, c.given, got.String(), c.want)
		}
	}
}

// TestHugeQuantities: such a pod is handled at once. Without the cap this test takes
// longer than any time limit.
func TestHugeQuantities(t *testing.T) {
	const huge = `"1e999999999"`
	p := podWith(t, "overhead: {cpu: "+huge+"}, resources: {limits: {cpu: "+huge+", memory: 1}}, volumes: [{name: v, emptyDir: {sizeLimit: "+huge+"}}]",
		"resources: {limits: {cpu: "+huge+", memory: 1}, requests: {memory: "+huge+"}}, "+
			"env: [{name: A, valueFrom: {resourceFieldRef: {resource: limits.cpu, divisor: "+huge+"}}}]")
	preparePodCreate(p)
	wantErrors(t, validatePod(p), "must be less than or equal to memory limit of 1", "must be less than or equal to memory limit of 1", "only divisor's values")
	n := from[corev1.Node](t, "status: {capacity: {cpu: "+huge+", example.com/gpu: "+huge+"}}")
	defaultNode(n)
	wantErrors(t, validateNode(n))
}
