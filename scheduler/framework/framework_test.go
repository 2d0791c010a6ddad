package framework_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/utils/clock"

	"github.com/miniorch/miniorch/scheduler/framework"
	"github.com/miniorch/miniorch/scheduler/framework/sample"
)

// sorts and binds are what every profile must have.
type sorts struct{}

func (sorts) Name() string                        { return "Sorts" }
func (sorts) Less(a, b *framework.QueuedPod) bool { return a.Since.Before(b.Since) }

type binds struct {
	name string
	st   *framework.Status
}

func (b binds) Name() string { return b.name }
func (b binds) Bind(context.Context, *framework.CycleState, *framework.PodInfo, string) *framework.Status {
	return b.st
}

// says answers at every extension point and notes when it was asked.
type says struct {
	name                 string
	journal              *[]string
	pre, filter, reserve *framework.Status
	permit               *framework.Status
	patience             time.Duration
}

func (s says) note(what string)                                   { *s.journal = append(*s.journal, s.name+"."+what) }
func (s says) Name() string                                       { return s.name }
func (s says) Sign(b []byte, _ *framework.PodInfo) ([]byte, bool) { return append(b, s.name...), true }
func (s says) PreFilter(*framework.CycleState, *framework.PodInfo, framework.Snapshot) *framework.Status {
	s.note("PreFilter")
	return s.pre
}
func (s says) Filter(*framework.CycleState, *framework.PodInfo, *framework.NodeInfo) *framework.Status {
	s.note("Filter")
	return s.filter
}
func (s says) Reserve(context.Context, *framework.CycleState, *framework.PodInfo, string) *framework.Status {
	s.note("Reserve")
	return s.reserve
}
func (s says) Unreserve(context.Context, *framework.CycleState, *framework.PodInfo, string) {
	s.note("Unreserve")
}
func (s says) Permit(context.Context, *framework.CycleState, *framework.PodInfo, string) (*framework.Status, time.Duration) {
	s.note("Permit")
	return s.permit, s.patience
}

func build(t *testing.T, plugins ...framework.Plugin) *framework.Framework {
	t.Helper()
	f, err := framework.New(profile(append([]framework.Plugin{sorts{}, binds{name: "Binds"}}, plugins...)...))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func profile(plugins ...framework.Plugin) framework.Profile {
	p := framework.Profile{SchedulerName: "s"}
	for _, x := range plugins {
		p.Plugins = append(p.Plugins, framework.Enabled{Plugin: x})
	}
	return p
}

var (
	pod  = framework.NewPodInfo(sample.Pod("p"))
	node = sample.Info(sample.Node("n"))
)

func TestProfilesAreChecked(t *testing.T) {
	tests := []struct {
		name    string
		profile framework.Profile
		err     string
	}{
		{"no sort", profile(binds{name: "B"}), "needs a QueueSort and a Bind plugin"},
		{"no bind", profile(sorts{}), "needs a QueueSort and a Bind plugin"},
		{"twice", profile(sorts{}, binds{name: "B"}, binds{name: "B"}), "B is listed twice"},
		{"score without weight", profile(sorts{}, binds{name: "B"}, scores{}), "needs a weight"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := framework.New(tt.profile); err == nil || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("error %v, want %q", err, tt.err)
			}
		})
	}
}

type scores struct{}

func (scores) Name() string { return "Scores" }
func (scores) Score(*framework.CycleState, *framework.PodInfo, *framework.NodeInfo) int64 {
	return 1
}

func TestOrder(t *testing.T) {
	no := framework.Refuse("no")
	tests := []struct {
		name, reason string
		a, b         says
		run          func(f *framework.Framework) *framework.Status
		want         []string
		by           string // who refused
	}{
		{"filter", "in the order of the profile, up to the first refusal", says{filter: no}, says{}, filters, []string{"a.PreFilter", "b.PreFilter", "a.Filter"}, "a"},
		{"skip", "a plugin that skips is not asked about nodes", says{pre: framework.Skipped, filter: no}, says{}, filters, []string{"a.PreFilter", "b.PreFilter", "b.Filter"}, ""},
		{"prefilter", "a refusal of the pod ends it all", says{pre: no}, says{}, filters, []string{"a.PreFilter"}, "a"},
		{"reserve", "whoever reserved gives back, last first", says{}, says{reserve: no}, reserves, []string{"a.Reserve", "b.Reserve", "b.Unreserve", "a.Unreserve"}, "b"},
		{"permit", "a refusal goes before a wait", says{permit: &framework.Status{Code: framework.Wait}}, says{permit: no}, permits, []string{"a.Permit", "b.Permit"}, "b"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var journal []string
			tt.a.name, tt.a.journal = "a", &journal
			tt.b.name, tt.b.journal = "b", &journal
			st := tt.run(build(t, tt.a, tt.b))
			if diff := cmp.Diff(tt.want, journal); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tt.reason, diff)
			}
			if by := name(st); by != tt.by {
				t.Errorf("refused by %q, want %q", by, tt.by)
			}
		})
	}
}

func name(st *framework.Status) string {
	if st.OK() {
		return ""
	}
	return st.Plugin
}

func filters(f *framework.Framework) *framework.Status {
	state := framework.NewCycleState()
	if st := f.PreFilter(state, pod, framework.Snapshot{}); !st.OK() {
		return st
	}
	return f.Filter(state, pod, node)
}

func reserves(f *framework.Framework) *framework.Status {
	return f.Reserve(context.Background(), framework.NewCycleState(), pod, "n")
}

func permits(f *framework.Framework) *framework.Status {
	st, _ := f.Permit(context.Background(), framework.NewCycleState(), pod, "n")
	return st
}

func TestBindersTakeTurns(t *testing.T) {
	broken := errors.New("broken")
	f, err := framework.New(profile(sorts{}, binds{"A", framework.Skipped}, binds{"B", framework.Fail(broken)}, binds{"C", nil}))
	if err != nil {
		t.Fatal(err)
	}
	st := f.Bind(t.Context(), framework.NewCycleState(), pod, "n")
	if st.Plugin != "B" || !errors.Is(st.Error(), broken) {
		t.Errorf("A skips and B takes it, got %+v", st)
	}
	f, err = framework.New(profile(sorts{}, binds{"A", framework.Skipped}))
	if err != nil {
		t.Fatal(err)
	}
	if st := f.Bind(t.Context(), framework.NewCycleState(), pod, "n"); st.OK() {
		t.Error("nobody binds, and that is a success")
	}
}

func TestSignatures(t *testing.T) {
	journal := []string{}
	if got := build(t, says{name: "a", journal: &journal}).Sign(pod); got != "0a\x00" {
		t.Errorf("signature %q", got)
	}
	p := profile(sorts{}, binds{name: "B"}, says{name: "a", journal: &journal})
	p.Plugins = append(p.Plugins, framework.Enabled{Plugin: scores{}, Weight: 1})
	f, err := framework.New(p)
	if err != nil {
		t.Fatal(err)
	}
	if got := f.Sign(pod); got != "" {
		t.Errorf("a plugin signs nothing, so nothing may be shared; signature %q", got)
	}
}

func TestAwait(t *testing.T) {
	wait := &framework.Status{Code: framework.Wait}
	tests := []struct {
		name, reason string
		speak        func(f *framework.Framework)
		want         string
		after        time.Duration
	}{
		{"allowed", "both must allow", func(f *framework.Framework) {
			f.Allow("p", "a")
			time.Sleep(time.Second)
			f.Allow("p", "b")
		}, "", time.Second},
		{"rejected", "one is enough", func(f *framework.Framework) { f.Allow("p", "a"); f.Reject("p", "b", "no") }, "no", 0},
		{"first word counts", "it was rejected already", func(f *framework.Framework) { f.Reject("p", "b", "no"); f.Reject("p", "a", "never"); f.Allow("p", "b") }, "no", 0},
		{"silence", "the shortest patience of the plugins", func(*framework.Framework) {}, "pod was not permitted in time", 2 * time.Second},
		{"strangers", "other pods and plugins do not count", func(f *framework.Framework) { f.Allow("q", "a"); f.Allow("p", "c"); f.Allow("p", "a") }, "pod was not permitted in time", 2 * time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var journal []string
				f := build(t, says{name: "a", journal: &journal, permit: wait, patience: 3 * time.Second},
					says{name: "b", journal: &journal, permit: wait, patience: 2 * time.Second})
				st, patience := f.Permit(t.Context(), framework.NewCycleState(), pod, "n")
				if st.Code != framework.Wait || patience != 2*time.Second {
					t.Fatalf("Permit: %+v, %v", st, patience)
				}
				began := time.Now()
				go tt.speak(f)
				st = f.Await(t.Context(), clock.RealClock{}, "p", patience)
				var got string
				if !st.OK() {
					got = st.Error().Error()
				}
				if got != tt.want || time.Since(began) != tt.after {
					t.Errorf("%q after %v, want %q after %v: %s", got, time.Since(began), tt.want, tt.after, tt.reason)
				}
			})
		})
	}
}

func TestNodeInfoIsImmutable(t *testing.T) {
	one := framework.NewPodInfo(sample.Owned(sample.Pod("1", "cpu", "1", "example.com/gpu", "1"), "rs"))
	two := framework.NewPodInfo(sample.Owned(sample.Pod("2", "cpu", "2"), "rs"))
	empty := sample.Info(sample.Node("n"))
	a := empty.WithPod(one)
	b, c := a.WithPod(two), a.WithPod(one) // from the same ancestor
	type sums struct{ Pods, CPU, GPU int64 }
	of := func(i *framework.NodeInfo) sums {
		return sums{int64(len(i.Pods)), i.Requested.MilliCPU, i.Requested.Other("example.com/gpu")}
	}
	got := []sums{of(empty), of(a), of(b), of(c), of(b.WithoutPod(one)), of(b)}
	want := []sums{{}, {1, 1000, 1}, {2, 3000, 1}, {2, 2000, 2}, {1, 2000, 0}, {2, 3000, 1}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
