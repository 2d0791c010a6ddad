package controllers

import (
	"fmt"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"github.com/miniorch/miniorch/controllers/control"
	"github.com/miniorch/miniorch/controllers/controllertest"
	"github.com/miniorch/miniorch/controllers/job"
	"github.com/miniorch/miniorch/pkg/api"
	"github.com/miniorch/miniorch/pkg/client"
)

func makeJobs(t client.Transport, informers *client.Informers, cfg control.Config) controllertest.Runner {
	return job.New(t, informers, cfg)
}

// jobTrial is the story of one job, "j", with the fate of its pods.
func jobTrial(name, want string, j *batchv1.Job, ends func() func(*corev1.Pod) (int32, bool)) controllertest.Trial {
	before := map[types.UID]batchv1.JobStatus{}
	return controllertest.Trial{
		Name: name, Nodes: 2, Controllers: []controllertest.Make{makeJobs}, Leaders: 2, Seeds: 15, Want: want,
		Begin: func(w *controllertest.World) {
			w.Machines.Ends = ends()
			controllertest.Create(w, j.DeepCopy())
		},
		Always: func(w *controllertest.World, leaders int) {
			now := get[*batchv1.Job](&world{w}, "default", "j")
			checkJob(&world{w}, now, before[now.UID], leaders == 1)
			before[now.UID] = now.Status
		},
		AtRest: func(w *controllertest.World) bool {
			return api.IsJobFinished(get[*batchv1.Job](&world{w}, "default", "j"))
		},
		State: func(w *controllertest.World) string {
			j := get[*batchv1.Job](&world{w}, "default", "j")
			return describe(j) + leftovers(&world{w}, j)
		},
	}
}

// checkJob checks what must hold of a job all the time.
func checkJob(w *world, j *batchv1.Job, before batchv1.JobStatus, strict bool) {
	if s := j.Status; s.Succeeded < before.Succeeded || s.Failed < before.Failed {
		w.Errorf("counted backwards: from %d and %d to %d and %d", before.Succeeded, before.Failed, s.Succeeded, s.Failed)
	}
	alive, busy := 0, map[int]int{}
	for _, p := range w.jobPods("j") {
		if api.IsPodActive(p) {
			alive++
			busy[indexOf(p)]++
		}
	}
	if most := int(*j.Spec.Parallelism); strict && alive > most {
		w.Errorf("%d pods are active, want at most %d", alive, most)
	}
	for i, n := range busy {
		if i >= 0 && n > 1 {
			w.Errorf("index %d is run by %d pods at once", i, n)
		}
	}
}

// Views are stale, writes fail, and the controller dies, at each of its writes and at random; with
// two leaders, two do. The end is that of a run without faults.
func TestJobsUnderFaults(t *testing.T) {
	odd := func(p *corev1.Pod) (int32, bool) { return int32(indexOf(p) % 2), true }
	perIndex := func(s *batchv1.JobSpec) { s.BackoffLimitPerIndex = ptr.To[int32](1) }
	controllertest.Faults(t,
		jobTrial("queue of six", "active 0, succeeded 6, failed 4, [SuccessCriteriaMet/CompletionsReached Complete/CompletionsReached]",
			newJob("j", times(6, 3)), func() func(*corev1.Pod) (int32, bool) { return failFirst(4, 1) }),
		jobTrial("six indexes", "active 0, succeeded 3, failed 6, [FailureTarget/FailedIndexes Failed/FailedIndexes] done 0,2,4 lost 1,3,5",
			newJob("j", indexed(6, 3), perIndex), func() func(*corev1.Pod) (int32, bool) { return odd }),
	)
}

// leftovers says what of a finished job still waits to be counted; empty: nothing.
func leftovers(w *world, j *batchv1.Job) (out string) {
	if !api.IsJobFinished(j) {
		return ""
	}
	for _, p := range w.jobPods(j.Name) {
		if isTracked(p) {
			out += fmt.Sprintf("; pod %s waits to be counted", p.Name)
		}
	}
	if u := j.Status.UncountedTerminatedPods; u != nil && len(u.Failed)+len(u.Succeeded) > 0 {
		out += fmt.Sprintf("; not counted: %v", u)
	}
	return out
}
