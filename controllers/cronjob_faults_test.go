package controllers

import (
	"fmt"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/utils/ptr"

	"github.com/miniorch/miniorch/controllers/control"
	"github.com/miniorch/miniorch/controllers/controllertest"
	"github.com/miniorch/miniorch/controllers/cronjob"
	"github.com/miniorch/miniorch/pkg/api"
	"github.com/miniorch/miniorch/pkg/client"
)

func makeCronJobs(t client.Transport, informers *client.Informers, cfg control.Config) controllertest.Runner {
	return cronjob.New(t, informers, cfg)
}

// cronTrial is a CronJob called "c" over seven minutes; then it is suspended.
func cronTrial(name, want string, edits ...func(*batchv1.CronJobSpec)) controllertest.Trial {
	return controllertest.Trial{
		Name: name, Nodes: 1, Controllers: []controllertest.Make{makeCronJobs, makeJobs}, Leaders: 2, Seeds: 3, Want: want,
		Begin: func(w *controllertest.World) {
			w.Machines.Ends = succeed
			controllertest.Create(w, newCronJob("c", append(edits, concurrency(batchv1.ForbidConcurrent))...))
			time.Sleep(time.Until(began.Add(30 * time.Second)))
		},
		Acts: []func(*controllertest.World){
			func(w *controllertest.World) {
				// Rest was called at 0:45, and will be at 7:30: in the middle of a minute.
				controllertest.Edit(w, "default", "c", func(c *batchv1.CronJob) {
					c.Annotations = map[string]string{"until": time.Now().Add(6*time.Minute + 30*time.Second).Format(time.RFC3339)}
				})
			},
			func(w *controllertest.World) {
				controllertest.Edit(w, "default", "c", func(c *batchv1.CronJob) { c.Spec.Suspend = ptr.To(true) })
			},
		},
		Always: func(w *controllertest.World, _ int) {
			running := 0
			for _, j := range controllertest.List[*batchv1.Job](w, "default", "of=c") {
				if !api.IsJobFinished(j) {
					running++
				}
			}
			if running > 1 {
				w.Errorf("%d jobs run at once", running)
			}
		},
		AtRest: func(w *controllertest.World) bool {
			until, err := time.Parse(time.RFC3339, controllertest.Get[*batchv1.CronJob](w, "default", "c").Annotations["until"])
			return err != nil || !time.Now().Before(until)
		},
		State: func(w *controllertest.World) string {
			c := controllertest.Get[*batchv1.CronJob](w, "default", "c")
			return fmt.Sprintf("minutes %s, active %d", (&world{w}).minutes("c"), len(c.Status.Active))
		},
	}
}

// Whatever happens on the way, every run of a CronJob is made, once, and only as many are kept as it says.
func TestCronJobsUnderFaults(t *testing.T) {
	keep := func(n int32) func(*batchv1.CronJobSpec) {
		return func(s *batchv1.CronJobSpec) { s.SuccessfulJobsHistoryLimit = &n }
	}
	controllertest.Faults(t,
		cronTrial("all kept", "minutes 1 2 3 4 5 6 7, active 0", keep(20)),
		cronTrial("two kept", "minutes 6 7, active 0", keep(2)),
	)
}
