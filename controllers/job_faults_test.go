package controllers

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"github.com/miniorch/miniorch/controllers/control"
	"github.com/miniorch/miniorch/controllers/job"
	"github.com/miniorch/miniorch/pkg/api"
	"github.com/miniorch/miniorch/pkg/client"
	"github.com/miniorch/miniorch/pkg/client/clienttest"
)

var errKilled = errors.New("killed")

// mortal is a transport whose process dies at its n-th write: either the write is not made, or
// nobody hears that it was.
type mortal struct {
	client.Transport
	died chan struct{}

	mu    *sync.Mutex
	left  *int // guarded by mu: writes until death; negative: none comes
	after bool // the last write is made
}

func newMortal(t client.Transport, left int, after bool) mortal {
	return mortal{t, make(chan struct{}), &sync.Mutex{}, &left, after}
}

// write makes a write, or dies before or after it.
func (m mortal) write(do func() error) error {
	m.mu.Lock()
	*m.left--
	fatal, dead := *m.left == 0, false
	select {
	case <-m.died:
		dead = true
	default:
	}
	if fatal && !dead {
		close(m.died)
	}
	m.mu.Unlock()
	if dead || fatal && !m.after {
		return errKilled
	}
	err := do()
	if fatal {
		return errKilled
	}
	return err
}

func (m mortal) Create(ctx context.Context, req client.Request, obj api.Object, opts metav1.CreateOptions) (made api.Object, err error) {
	err = m.write(func() error { made, err = m.Transport.Create(ctx, req, obj, opts); return err })
	return made, err
}

func (m mortal) Update(ctx context.Context, req client.Request, obj api.Object, opts metav1.UpdateOptions) (made api.Object, err error) {
	err = m.write(func() error { made, err = m.Transport.Update(ctx, req, obj, opts); return err })
	return made, err
}

func (m mortal) Patch(ctx context.Context, req client.Request, pt types.PatchType, data []byte, opts metav1.PatchOptions) (made api.Object, err error) {
	err = m.write(func() error { made, err = m.Transport.Patch(ctx, req, pt, data, opts); return err })
	return made, err
}

func (m mortal) Delete(ctx context.Context, req client.Request, opts metav1.DeleteOptions) error {
	return m.write(func() error { return m.Transport.Delete(ctx, req, opts) })
}

// jobController runs a Job controller alone until stop is called, or until its transport dies.
func (w *world) jobController(m mortal) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	informers := clienttest.NewInformers(w, m)
	c := job.New(m, informers, control.Config{Logger: slog.New(slog.DiscardHandler), Decisions: w.decisions})
	var running sync.WaitGroup
	running.Go(func() { _ = informers.Run(ctx) })
	running.Go(func() {
		if informers.WaitForSync(ctx) == nil {
			_ = c.Run(ctx)
		}
	})
	running.Go(func() {
		select {
		case <-m.died:
			cancel()
		case <-ctx.Done():
		}
	})
	return func() {
		cancel()
		running.Wait()
	}
}

// trial is a job with the fate of its pods, and how it ends if nothing goes wrong.
type trial struct {
	name string
	job  *batchv1.Job
	ends func() func(*corev1.Pod) (int32, bool)
	want string
}

func trials() []trial {
	odd := func(p *corev1.Pod) (int32, bool) { return int32(indexOf(p) % 2), true }
	return []trial{
		{"queue of six", newJob("j", times(6, 3)), func() func(*corev1.Pod) (int32, bool) { return failFirst(4, 1) },
			"active 0, succeeded 6, failed 4, [SuccessCriteriaMet/CompletionsReached Complete/CompletionsReached]"},
		{"six indexes", newJob("j", indexed(6, 3), func(s *batchv1.JobSpec) { s.BackoffLimitPerIndex = ptr.To[int32](1) }),
			func() func(*corev1.Pod) (int32, bool) { return odd },
			"active 0, succeeded 3, failed 6, [FailureTarget/FailedIndexes Failed/FailedIndexes] done 0,2,4 lost 1,3,5"},
	}
}

// watchJob lets time pass until the job is finished, and checks what must hold all the time.
func (w *world) watchJob(strict bool, meanwhile func()) {
	w.Helper()
	var before batchv1.JobStatus
	for range 4 * 3600 {
		w.tick(250 * time.Millisecond)
		meanwhile()
		j := get[*batchv1.Job](w, "default", "j")
		if s := j.Status; s.Succeeded < before.Succeeded || s.Failed < before.Failed {
			w.Fatalf("counted backwards: from %d and %d to %d and %d", before.Succeeded, before.Failed, s.Succeeded, s.Failed)
		}
		before = j.Status
		alive, busy := 0, map[int]int{}
		for _, p := range w.jobPods("j") {
			if api.IsPodActive(p) {
				alive++
				busy[indexOf(p)]++
			}
		}
		if most := int(*j.Spec.Parallelism); strict && alive > most {
			w.Fatalf("%d pods are active, want at most %d", alive, most)
		}
		for i, n := range busy {
			if i >= 0 && n > 1 {
				w.Fatalf("index %d is run by %d pods at once", i, n)
			}
		}
		if api.IsJobFinished(j) {
			return
		}
	}
	w.Errorf("the job does not end: %s", describe(get[*batchv1.Job](w, "default", "j")))
}

func (w *world) logDecisions() {
	if !w.Failed() {
		return
	}
	for _, r := range w.decisions.Since(0) {
		w.Log(r.Time.Format("04:05.000"), r.Plan, r.Error)
	}
}

// The controller is killed at each of its writes in turn, before and after it is made, and another one
// goes on. The end is that of a run without faults.
func TestJobControllerKilledAtEveryWrite(t *testing.T) {
	for _, tc := range trials() {
		for _, after := range []bool{false, true} {
			for n, more := 1, true; more && !t.Failed(); n++ {
				t.Run(fmt.Sprintf("%s, write %d, made %v", tc.name, n, after), func(t *testing.T) {
					inWorldOf(t, 2, nil, false, func(w *world) {
						w.machines.ends = tc.ends()
						create(w, tc.job.DeepCopy())
						m := newMortal(w.admin, n, after)
						stop := w.jobController(m)
						dead := false
						w.watchJob(true, func() {
							select {
							case <-m.died:
								if !dead {
									dead = true
									stop()
									stop = w.jobController(newMortal(w.admin, -1, false))
								}
							default:
							}
						})
						w.tick(time.Second)
						stop()
						w.expectJob("j", tc.want)
						w.logDecisions()
						more = dead // without a death there were fewer writes than n
					})
				})
			}
		}
	}
}

// Views are stale, and the controller dies again and again; with two leaders, two do.
func TestJobsUnderFaults(t *testing.T) {
	for _, tc := range trials() {
		for leaders := 1; leaders <= 2; leaders++ {
			for seed := range uint64(15) {
				t.Run(fmt.Sprintf("%s, %d leaders, seed %d", tc.name, leaders, seed), func(t *testing.T) {
					inWorldOf(t, 2, nil, false, func(w *world) {
						chance := rand.New(rand.NewPCG(seed, uint64(leaders)))
						lag := 3 * time.Second / time.Duration(leaders*leaders*leaders)
						w.machines.ends = tc.ends()
						create(w, tc.job.DeepCopy())
						var current []mortal
						var stops []func()
						begin := func(i int) {
							left := 1 + chance.IntN(12)
							if len(w.decisions.Since(0)) > 300 {
								left = -1 // enough
							}
							m := newMortal(newLate(w.admin, lag, chance.Uint64()), left, chance.IntN(2) == 0)
							current[i], stops[i] = m, w.jobController(m)
						}
						for i := range leaders {
							current, stops = append(current, mortal{}), append(stops, nil)
							begin(i)
						}
						w.watchJob(leaders == 1, func() {
							for i := range leaders {
								select {
								case <-current[i].died:
									stops[i]()
									begin(i)
								default:
								}
							}
						})
						w.tick(10 * time.Second)
						for _, stop := range stops {
							stop()
						}
						w.expectJob("j", tc.want)
						w.logDecisions()
					})
				})
			}
		}
	}
}
