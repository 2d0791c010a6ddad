package core

import (
	"context"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/miniorch/miniorch/apiserver/registry/kindtest"
	"github.com/miniorch/miniorch/pkg/api"
)

// BenchmarkCreatePod measures what the kind adds to one create.
func BenchmarkCreatePod(b *testing.B) {
	full := kindtest.From[corev1.Pod](b, kindtest.FullPod)
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
	var full api.Object = kindtest.From[corev1.Pod](b, kindtest.FullPod)
	b.ReportAllocs()
	for b.Loop() {
		full.DeepCopyObject()
	}
}
