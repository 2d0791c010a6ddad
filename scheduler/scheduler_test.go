package scheduler

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/miniorch/miniorch/apiserver/apiservertest"
	"github.com/miniorch/miniorch/apiserver/auth"
	"github.com/miniorch/miniorch/pkg/api"
	"github.com/miniorch/miniorch/pkg/client"
	"github.com/miniorch/miniorch/pkg/client/clienttest"
	"github.com/miniorch/miniorch/pkg/decision"
	"github.com/miniorch/miniorch/scheduler/framework"
	"github.com/miniorch/miniorch/scheduler/framework/sample"
)

// world is a real API server with a scheduler, in virtual time.
type world struct {
	*testing.T
	admin     client.Transport
	scheduler *Scheduler
	decisions *decision.Log
}

func newWorld(t *testing.T, admin client.Transport) *world {
	return &world{T: t, admin: admin, decisions: decision.NewLog(100)}
}

// inWorld runs test in a synctest bubble in which a scheduler runs.
func inWorld(t *testing.T, test func(w *world)) { inWorldWith(t, nil, Config{}, test) }

// inWorldWith lets the test stand between the scheduler and the API server.
func inWorldWith(t *testing.T, between func(client.Transport) client.Transport, cfg Config, test func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		server := apiservertest.Start(t)
		w := newWorld(t, server.Client(auth.Admin()))
		transport := server.Client(auth.User{Name: "system:kube-scheduler", Groups: []string{"system:authenticated"}})
		if between != nil {
			transport = between(transport)
		}
		quiet := slog.New(slog.DiscardHandler)
		recorder := client.NewRecorder(transport, "default-scheduler", client.RecorderConfig{Config: client.Config{Logger: quiet}})
		cfg.Recorder, cfg.Decisions, cfg.Logger = recorder, w.decisions, quiet
		informers := clienttest.NewInformers(t, transport)
		s, err := New(transport, informers, cfg)
		if err != nil {
			t.Fatal(err)
		}
		w.scheduler = s
		clienttest.Run(t, recorder.Run)
		clienttest.Run(t, informers.Run)
		clienttest.Run(t, s.Run)
		test(w)
	})
}

func (w *world) node(n *corev1.Node) {
	w.Helper()
	status := n.DeepCopy()
	n.UID = ""
	made, err := client.Of[*corev1.Node](w.admin).Create(w.Context(), n)
	if err != nil {
		w.Fatal(err)
	}
	made = made.DeepCopy()
	made.Status = status.Status
	if _, err := client.Of[*corev1.Node](w.admin).UpdateStatus(w.Context(), made); err != nil {
		w.Fatal(err)
	}
	synctest.Wait() // nodes and pods reach the scheduler by watches of their own, in any order
}

func (w *world) pod(p *corev1.Pod) {
	w.Helper()
	p.Namespace, p.UID = "default", ""
	if _, err := client.Of[*corev1.Pod](w.admin).Create(w.Context(), p); err != nil {
		w.Fatal(err)
	}
}

func (w *world) get(name string) *corev1.Pod {
	w.Helper()
	synctest.Wait()
	p, err := client.Of[*corev1.Pod](w.admin).Get(w.Context(), "default", name)
	if err != nil {
		w.Fatal(err)
	}
	return p
}

func (w *world) expectOn(name, node string) {
	w.Helper()
	if p := w.get(name); p.Spec.NodeName != node {
		w.Errorf("pod %s is on node %q, want %q; conditions: %v", name, p.Spec.NodeName, node, p.Status.Conditions)
	}
}

func (w *world) delete(name string) {
	w.Helper()
	now := int64(0)
	if err := client.Of[*corev1.Pod](w.admin).Delete(w.Context(), "default", name, metav1.DeleteOptions{GracePeriodSeconds: &now}); err != nil {
		w.Fatal(err)
	}
}

func (w *world) patch(t types.PatchType, obj api.Object, patch string) {
	w.Helper()
	r, _ := api.ResourceOf(obj)
	req := client.Request{Resource: r, Namespace: obj.GetNamespace(), Name: obj.GetName()}
	if _, err := w.admin.Patch(w.Context(), req, t, []byte(patch), metav1.PatchOptions{}); err != nil {
		w.Fatal(err)
	}
}

func (w *world) events(reason string) []string {
	w.Helper()
	synctest.Wait()
	all, _, err := client.Of[*corev1.Event](w.admin).List(w.Context(), "default", metav1.ListOptions{})
	if err != nil {
		w.Fatal(err)
	}
	var out []string
	for _, e := range all {
		if e.Reason == reason {
			out = append(out, e.InvolvedObject.Name+": "+e.Message)
		}
	}
	return out
}

func TestSchedules(t *testing.T) {
	inWorld(t, func(w *world) {
		w.node(sample.Node("n1"))
		w.node(sample.Node("n2"))
		for i := range 4 {
			w.pod(sample.Owned(sample.Pod(fmt.Sprint("p", i)), "rs"))
		}
		perNode := map[string]int{}
		for i := range 4 {
			p := w.get(fmt.Sprint("p", i))
			perNode[p.Spec.NodeName]++
			if c := api.PodCondition(p, corev1.PodScheduled); c == nil || c.Status != corev1.ConditionTrue {
				w.Errorf("conditions: %v", p.Status.Conditions)
			}
		}
		if perNode["n1"] != 2 || perNode["n2"] != 2 {
			w.Errorf("replicas per node: %v", perNode)
		}
		if got := w.events("Scheduled"); len(got) != 4 || !strings.HasPrefix(got[0], "p0: Successfully assigned default/p0 to n") {
			w.Errorf("events: %q", got)
		}
		records := w.decisions.Since(0)
		if len(records) != 4 || !strings.HasPrefix(records[0].Plan, "bind to n") || len(records[0].From) != 1 {
			w.Errorf("decisions: %+v", records)
		}
		w.pod(sample.With(sample.Pod("other"), func(p *corev1.Pod) { p.Spec.SchedulerName = "mine" }))
		w.expectOn("other", "")
	})
}

func TestSaysWhyNot(t *testing.T) {
	inWorld(t, func(w *world) {
		w.pod(sample.Pod("early"))
		synctest.Wait()
		if got := w.events("FailedScheduling"); len(got) != 1 || got[0] != "early: no nodes available to schedule pods" {
			w.Errorf("events: %q", got)
		}
		w.node(sample.Node("n1", "cpu", "1"))
		w.node(sample.With(sample.Node("n2"), func(n *corev1.Node) {
			n.Spec.Taints = []corev1.Taint{{Key: "k", Value: "v", Effect: corev1.TaintEffectNoSchedule}}
		}))
		time.Sleep(2 * time.Second) // the back-off of the first attempt
		w.expectOn("early", "n1")
		w.pod(sample.Pod("big", "cpu", "2"))
		const why = "0/2 nodes are available: 1 Insufficient cpu, 1 node(s) had untolerated taint {k: v}. " +
			"preemption: 0/2 nodes are available: 2 Preemption is not helpful for scheduling."
		c := api.PodCondition(w.get("big"), corev1.PodScheduled)
		if c == nil || c.Status != corev1.ConditionFalse || c.Reason != "Unschedulable" || c.Message != why {
			w.Errorf("condition: %+v", c)
		}
		if got := w.events("FailedScheduling"); len(got) != 2 || got[0] != "big: "+why {
			w.Errorf("events: %q", got)
		}
		before := len(w.decisions.Since(0))
		time.Sleep(4 * time.Minute)
		if got := len(w.decisions.Since(0)); got != before {
			w.Errorf("%d more decisions although nothing happened", got-before)
		}
	})
}

func TestEventsWake(t *testing.T) {
	tolerate := `{"spec":{"tolerations":[{"key":"k","operator":"Exists"}]}}`
	tests := []struct {
		name, reason string
		wake         func(w *world)
		node         string
	}{
		{"a node comes", "it has room", func(w *world) { w.node(sample.Node("n3")) }, "n3"},
		{"a node that does not help", "it is too small, so nobody looks again", func(w *world) { w.node(sample.Node("n3", "cpu", "1")) }, ""},
		{"a pod goes", "it leaves its room", func(w *world) { w.delete("filler") }, "n1"},
		{"a pod ends", "it uses nothing any more", func(w *world) {
			p := w.get("filler").DeepCopy()
			p.Status.Phase = corev1.PodSucceeded
			if _, err := client.Of[*corev1.Pod](w.admin).UpdateStatus(w.Context(), p); err != nil {
				w.Fatal(err)
			}
		}, "n1"},
		{"a taint goes", "the node takes the pod now", func(w *world) {
			w.patch(types.MergePatchType, sample.Node("n2"), `{"spec":{"taints":null}}`)
		}, "n2"},
		{"the pod changes", "it tolerates the taint now", func(w *world) {
			w.patch(types.MergePatchType, w.get("p"), tolerate)
		}, "n2"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				w.node(sample.Node("n1"))
				w.node(sample.With(sample.Node("n2"), func(n *corev1.Node) {
					n.Spec.Taints = []corev1.Taint{{Key: "k", Effect: corev1.TaintEffectNoSchedule}}
				}))
				w.pod(sample.Pod("filler", "cpu", "3"))
				w.expectOn("filler", "n1")
				w.pod(sample.Pod("p", "cpu", "2"))
				w.expectOn("p", "")
				time.Sleep(time.Minute)
				attempts := len(w.decisions.Since(0))
				tt.wake(w)
				w.expectOn("p", tt.node)
				if tt.node == "" && len(w.decisions.Since(0)) != attempts {
					w.Error("it was tried again: " + tt.reason)
				}
			})
		})
	}
}

func TestGates(t *testing.T) {
	inWorld(t, func(w *world) {
		w.node(sample.Node("n1"))
		w.pod(sample.With(sample.Pod("p"), func(p *corev1.Pod) { p.Spec.SchedulingGates = []corev1.PodSchedulingGate{{Name: "example.com/g"}} }))
		time.Sleep(time.Hour)
		w.expectOn("p", "")
		if c := api.PodCondition(w.get("p"), corev1.PodScheduled); c == nil || c.Reason != corev1.PodReasonSchedulingGated {
			w.Errorf("condition: %+v", c)
		}
		w.patch(types.MergePatchType, w.get("p"), `{"spec":{"schedulingGates":null}}`)
		w.expectOn("p", "n1")
	})
}

// unbinding fails bindings.
type unbinding struct {
	client.Transport
	fail func(n int32) error
	n    atomic.Int32
}

func (u *unbinding) Create(ctx context.Context, req client.Request, obj api.Object, opts metav1.CreateOptions) (api.Object, error) {
	if req.Subresource == "binding" {
		if err := u.fail(u.n.Add(1)); err != nil {
			if errors.Is(err, errLied) {
				return obj, nil
			}
			if errors.Is(err, errAnswerLost) {
				_, _ = u.Transport.Create(ctx, req, obj, opts)
			}
			return nil, err
		}
	}
	return u.Transport.Create(ctx, req, obj, opts)
}

var (
	errAnswerLost = errors.New("the answer was lost")
	errLied       = errors.New("says yes and does nothing")
)

func TestBindingFails(t *testing.T) {
	tests := []struct {
		name, reason string
		err          error
		tries        int32
	}{
		{"refused", "the room is given back, and the pod is tried again", apierrors.NewServiceUnavailable("restarting"), 3},
		{"lied", "what the watch never shows is forgotten after a while", errLied, 3},
		{"answer lost", "the watch shows that it was bound; nobody tries again", errAnswerLost, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			u := &unbinding{fail: func(n int32) error {
				if n <= 2 {
					return tt.err
				}
				return nil
			}}
			between := func(tr client.Transport) client.Transport { u.Transport = tr; return u }
			inWorldWith(t, between, Config{}, func(w *world) {
				w.node(sample.Node("n1", "cpu", "1"))
				w.pod(sample.Pod("p", "cpu", "1"))
				time.Sleep(90 * time.Second)
				w.expectOn("p", "n1")
				if got := u.n.Load(); got != tt.tries {
					w.Errorf("%d bindings were tried, want %d: %s", got, tt.tries, tt.reason)
				}
				w.delete("p")
				w.pod(sample.Pod("q", "cpu", "1"))
				w.expectOn("q", "n1")
			})
		})
	}
}

// permitting lets pods wait for a word.
type permitting struct{}

func (permitting) Name() string { return "Permitting" }
func (permitting) Permit(context.Context, *framework.CycleState, *framework.PodInfo, string) (*framework.Status, time.Duration) {
	return &framework.Status{Code: framework.Wait}, 5 * time.Second
}

func TestPermit(t *testing.T) {
	profiles := []framework.Profile{{}}
	between := func(tr client.Transport) client.Transport {
		profiles[0] = DefaultProfile(Parts{Transport: tr})
		profiles[0].Plugins = append(profiles[0].Plugins, framework.Enabled{Plugin: permitting{}})
		return tr
	}
	inWorldWith(t, between, Config{Profiles: profiles}, func(w *world) {
		w.node(sample.Node("n1"))
		w.pod(sample.Pod("p"))
		w.expectOn("p", "")
		w.scheduler.profiles.first().Allow(w.get("p").UID, "Permitting")
		w.expectOn("p", "n1")
		w.pod(sample.Pod("q"))
		time.Sleep(5 * time.Second)
		w.expectOn("q", "")
		if got := w.events("FailedScheduling"); len(got) != 1 || got[0] != "q: pod was not permitted in time" {
			w.Errorf("events: %q", got)
		}
		time.Sleep(2 * time.Second) // it is tried again
		w.scheduler.profiles.first().Allow(w.get("q").UID, "Permitting")
		w.expectOn("q", "n1")
	})
}

func TestExplain(t *testing.T) {
	inWorld(t, func(w *world) {
		w.node(sample.Node("n1"))
		w.node(sample.With(sample.Node("n2"), func(n *corev1.Node) { n.Spec.Unschedulable = true }))
		w.pod(sample.Owned(sample.Pod("p"), "rs"))
		x, ok := w.scheduler.Explain(w.get("p").UID)
		if !ok || x.Node != "n1" || len(x.Nodes) != 2 {
			w.Fatalf("explanation: %+v", x)
		}
		if got := fmt.Sprint(x.Scores, x.Nodes[0].Scores, x.Nodes[0].Total, x.Nodes[1].Refused); got != "[{TaintToleration 3} {NodeResourcesFit 1}] [100 97] 397 [{NodeUnschedulable [node(s) were unschedulable]}]" {
			t.Errorf("explanation: %s", got)
		}
		if _, ok := w.scheduler.Explain("nobody"); ok {
			w.Error("there is an explanation for nobody")
		}
	})
}

func TestRunAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := apiservertest.Start(t)
		w := &world{T: t, admin: server.Client(auth.Admin())}
		informers := clienttest.NewInformers(t, w.admin)
		s, err := New(w.admin, informers, Config{})
		if err != nil {
			t.Fatal(err)
		}
		clienttest.Run(t, informers.Run)
		w.node(sample.Node("n1"))
		for i := range 3 { // as a candidate that leads now and then
			w.pod(sample.Pod(fmt.Sprint("p", i)))
			w.expectOn(fmt.Sprint("p", i), "")
			ctx, stop := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- s.Run(ctx) }()
			w.expectOn(fmt.Sprint("p", i), "n1")
			stop()
			<-ended
		}
	})
}

// TestTwoCandidates lets two schedulers stand for election: one of them schedules, and when it
// goes the other goes on.
func TestTwoCandidates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := apiservertest.Start(t)
		w := &world{T: t, admin: server.Client(auth.Admin())}
		w.node(sample.Node("n1"))
		stand := func(ctx context.Context, id string) (ended chan error) {
			quiet := slog.New(slog.DiscardHandler)
			transport := server.Client(auth.User{Name: auth.UserScheduler, Groups: []string{auth.GroupAuthenticated}})
			informers := clienttest.NewInformers(t, transport)
			s, err := New(transport, informers, Config{Logger: quiet})
			if err != nil {
				t.Fatal(err)
			}
			clienttest.Run(t, informers.Run)
			election := client.Election{Transport: transport, Name: "kube-scheduler", Identity: id, Config: client.Config{Logger: quiet}}
			ended = make(chan error, 1)
			go func() { ended <- election.Run(ctx, s.Run) }()
			return ended
		}
		holder := func() string {
			l, err := client.Of[*coordinationv1.Lease](w.admin).Get(t.Context(), "kube-system", "kube-scheduler")
			if err != nil {
				t.Fatal(err)
			}
			return *l.Spec.HolderIdentity
		}
		first, stopFirst := context.WithCancel(t.Context())
		firstEnded := stand(first, "a")
		synctest.Wait()
		second, stopSecond := context.WithCancel(t.Context())
		secondEnded := stand(second, "b")
		w.pod(sample.Pod("p"))
		w.expectOn("p", "n1")
		time.Sleep(time.Minute)
		if got := holder(); got != "a" {
			t.Errorf("%q leads", got)
		}
		stopFirst()
		<-firstEnded
		w.pod(sample.Pod("q"))
		w.expectOn("q", "n1")
		if got := holder(); got != "b" {
			t.Errorf("%q leads", got)
		}
		stopSecond()
		<-secondEnded
	})
}
