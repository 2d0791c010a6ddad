package job

import (
	"fmt"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"
)

// BenchmarkDecide looks at a job of 5,000 completions when half of them are done and counted, some have
// just ended, and a thousand run.
func BenchmarkDecide(b *testing.B) {
	j := job(counted(2500, 0), func(j *batchv1.Job) {
		j.Spec.Completions, j.Spec.Parallelism = ptr.To[int32](5000), ptr.To[int32](1500)
	})
	o := observed{Job: j, Settled: true, Now: now}
	for i := range 4000 {
		p := pod(fmt.Sprint("p", i))
		switch {
		case i < 2500:
			p.Status.Phase, p.Finalizers = corev1.PodSucceeded, nil
		case i < 3000:
			p.Status.Phase = corev1.PodSucceeded
		}
		o.Pods = append(o.Pods, p)
		o.Free = append(o.Free, fmt.Sprint("p", i))
	}
	for i := range 500 {
		o.Free = append(o.Free, fmt.Sprint("free", i))
	}
	for b.Loop() {
		if plan := decide(o); len(plan.Create) != 500 || len(plan.Release) != 500 {
			b.Fatal(plan)
		}
	}
}
