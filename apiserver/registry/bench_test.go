package registry

import (
	"context"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/miniorch/miniorch/pkg/api"
)

// BenchmarkCreatePod measures what the kind adds to one create.
func BenchmarkCreatePod(b *testing.B) {
	full := from[corev1.Pod](b, fullPod)
	d := pods()
	ctx := context.Background()
	b.ReportAllocs()
	for b.Loop() {
		p := full.DeepCopy()
		d.Default(p)
		d.PrepareCreate(ctx, p)
		if errs := d.Validate(ctx, p); len(errs) > 0 {
			b.Fatal(errs)
		}
		d.Warnings(ctx, p, nil)
	}
}

// BenchmarkDeepCopy is what of that is the copy.
func BenchmarkDeepCopy(b *testing.B) {
	var full api.Object = from[corev1.Pod](b, fullPod)
	b.ReportAllocs()
	for b.Loop() {
		full.DeepCopyObject()
	}
}
