package scheduler

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	testclock "k8s.io/utils/clock/testing"

	"github.com/miniorch/miniorch/pkg/client/clienttest"
	"github.com/miniorch/miniorch/scheduler/framework"
	"github.com/miniorch/miniorch/scheduler/framework/sample"
)

// shape is a workload as upstream's scheduler_perf has it: what is there before, and which pods
// come.
type shape struct {
	name   string
	before func(i int) *corev1.Pod // nil: nothing
	pod    func(i int) *corev1.Pod
	churn  bool // a node comes or goes with each hundredth pod
	onFull bool // the nodes are full of less important pods
	gated  int  // so many wait for a gate meanwhile
	api    bool // measured through the API too
}

func plainPod(i int) *corev1.Pod {
	return sample.Pod(fmt.Sprint("p", i), "cpu", "100m", "memory", "500Mi")
}

func colored(color string, change func(p *corev1.Pod, t corev1.PodAffinityTerm)) func(int) *corev1.Pod {
	return func(i int) *corev1.Pod {
		p := plainPod(i)
		p.Labels = map[string]string{"color": color}
		change(p, corev1.PodAffinityTerm{LabelSelector: &metav1.LabelSelector{MatchLabels: p.Labels}})
		return p
	}
}

func spreadOver(key string, when corev1.UnsatisfiableConstraintAction, skew int32) func(int) *corev1.Pod {
	return colored("blue", func(p *corev1.Pod, t corev1.PodAffinityTerm) {
		p.Spec.TopologySpreadConstraints = []corev1.TopologySpreadConstraint{{TopologyKey: key, WhenUnsatisfiable: when, MaxSkew: skew, LabelSelector: t.LabelSelector}}
	})
}

func shapes() []shape {
	return []shape{
		{name: "Basic", api: true, pod: plainPod},
		{name: "PodAntiAffinity", pod: colored("green", func(p *corev1.Pod, t corev1.PodAffinityTerm) {
			t.TopologyKey = corev1.LabelHostname
			p.Spec.Affinity = &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{t}}}
		})},
		{name: "PodAntiAffinityOfMany", api: true, pod: func(i int) *corev1.Pod { // StatefulSets of three: each pod has labels of its own
			return colored(fmt.Sprint("set-", i/3%300), func(p *corev1.Pod, t corev1.PodAffinityTerm) {
				p.Labels = map[string]string{"color": p.Labels["color"], "name": p.Name}
				t.TopologyKey = corev1.LabelHostname
				p.Spec.Affinity = &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{t}}}
			})(i)
		}},
		{name: "PodAffinity", api: true, pod: colored("blue", func(p *corev1.Pod, t corev1.PodAffinityTerm) {
			t.TopologyKey = corev1.LabelTopologyZone
			p.Spec.Affinity = &corev1.Affinity{PodAffinity: &corev1.PodAffinity{RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{t}}}
		})},
		{name: "PreferredPodAffinity", pod: colored("red", func(p *corev1.Pod, t corev1.PodAffinityTerm) {
			t.TopologyKey = corev1.LabelHostname
			p.Spec.Affinity = &corev1.Affinity{PodAffinity: &corev1.PodAffinity{PreferredDuringSchedulingIgnoredDuringExecution: []corev1.WeightedPodAffinityTerm{{Weight: 1, PodAffinityTerm: t}}}}
		})},
		{name: "PreferredPodAntiAffinity", api: true, pod: colored("yellow", func(p *corev1.Pod, t corev1.PodAffinityTerm) {
			t.TopologyKey = corev1.LabelHostname
			p.Spec.Affinity = &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{PreferredDuringSchedulingIgnoredDuringExecution: []corev1.WeightedPodAffinityTerm{{Weight: 1, PodAffinityTerm: t}}}}
		})},
		{name: "NodeAffinity", pod: func(i int) *corev1.Pod {
			return sample.With(plainPod(i), func(p *corev1.Pod) { p.Spec.NodeSelector = map[string]string{corev1.LabelTopologyZone: "zone1"} })
		}},
		{name: "TopologySpreading", api: true, pod: spreadOver(corev1.LabelTopologyZone, corev1.DoNotSchedule, 5)},
		{name: "TopologySpreadingHosts", pod: spreadOver(corev1.LabelHostname, corev1.DoNotSchedule, 1)},
		{name: "PreferredTopologySpreading", api: true, pod: spreadOver(corev1.LabelTopologyZone, corev1.ScheduleAnyway, 5)},
		{name: "Mixed", before: colored("green", func(*corev1.Pod, corev1.PodAffinityTerm) {}), pod: mixed},
		{name: "Strangers", pod: func(i int) *corev1.Pod { // each pod requests something else
			return sample.Pod(fmt.Sprint("p", i), "cpu", fmt.Sprint(i%200+1, "m"), "memory", fmt.Sprint(i%199+1, "Mi"))
		}},
		{name: "ManyImages", pod: func(i int) *corev1.Pod { // each pod runs something else
			return sample.With(plainPod(i), func(p *corev1.Pod) { p.Spec.Containers[0].Image = fmt.Sprint("registry.example.com/app:", i%5000) })
		}},
		{name: "Churn", pod: plainPod, churn: true},
		{name: "Gated", pod: plainPod, gated: 10_000},
		{name: "Daemon", pod: func(i int) *corev1.Pod {
			return sample.With(sample.Pod(fmt.Sprint("p", i)), func(p *corev1.Pod) {
				p.Spec.Affinity = &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{
					NodeSelectorTerms: []corev1.NodeSelectorTerm{{MatchFields: []corev1.NodeSelectorRequirement{{Key: "metadata.name", Operator: "In", Values: []string{nodeName(i % 500)}}}}},
				}}}
			})
		}},
		{name: "Unschedulable", pod: func(i int) *corev1.Pod {
			if i%2 == 0 {
				return sample.Pod(fmt.Sprint("p", i), "cpu", "900")
			}
			return plainPod(i)
		}},
		{name: "Preemption", onFull: true, pod: func(i int) *corev1.Pod {
			return sample.With(sample.Pod(fmt.Sprint("p", i), "cpu", "3"), func(p *corev1.Pod) { n := int32(100); p.Spec.Priority = &n })
		}},
	}
}

// mixed takes turns among plain pods and those that are particular about others.
func mixed(i int) *corev1.Pod {
	kinds := [...]func(int) *corev1.Pod{
		plainPod, spreadOver(corev1.LabelTopologyZone, corev1.DoNotSchedule, 5), spreadOver(corev1.LabelHostname, corev1.ScheduleAnyway, 1),
		colored("red", func(p *corev1.Pod, t corev1.PodAffinityTerm) {
			t.TopologyKey = corev1.LabelHostname
			p.Spec.Affinity = &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{PreferredDuringSchedulingIgnoredDuringExecution: []corev1.WeightedPodAffinityTerm{{Weight: 1, PodAffinityTerm: t}}}}
		}),
	}
	return kinds[i%len(kinds)](i)
}

func nodeName(i int) string { return fmt.Sprintf("node-%05d", i) }

func perfNode(i int) *corev1.Node {
	n := sample.Node(nodeName(i), "cpu", "4", "memory", "32Gi", "pods", "110")
	n.Labels[corev1.LabelTopologyZone] = fmt.Sprint("zone", i%3+1)
	return n
}

// BenchmarkShapes measures the scheduler alone, in the shapes of upstream's scheduler_perf. Pods that
// were placed longest ago leave when the nodes get full.
func BenchmarkShapes(b *testing.B) {
	for _, s := range shapes() {
		for _, nodes := range []int{500, 5000} {
			b.Run(fmt.Sprintf("%s/nodes=%d", s.name, nodes), func(b *testing.B) { s.run(b, nodes) })
		}
	}
}

func (s shape) run(b *testing.B, nodes int) {
	p := newPerf(b)
	for i := range nodes {
		p.s.onNode(nil, perfNode(i))
		for k := range 4 {
			if s.onFull {
				p.place(sample.Pod(fmt.Sprintf("low-%d-%d", i, k), "cpu", "900m"), nodeName(i))
			}
		}
		if s.before != nil {
			p.place(sample.With(s.before(i), func(p *corev1.Pod) { p.Name = fmt.Sprint("before-", i) }), nodeName(i))
		}
	}
	for i := range s.gated {
		p.come(sample.With(s.pod(i), func(p *corev1.Pod) {
			p.Name, p.Spec.SchedulingGates = fmt.Sprint("gated-", i), []corev1.PodSchedulingGate{{Name: "later"}}
		}))
	}
	n, cpu := 0, cpuTime(b)
	for b.Loop() {
		if s.churn && n%100 == 50 {
			p.s.onNode(perfNode(nodes-1), nil)
		} else if s.churn && n%100 == 0 {
			p.s.onNode(nil, perfNode(nodes-1))
		}
		p.come(s.pod(n))
		p.schedule()
		p.leave(nodes / 2)
		n++
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "pods/s")
	b.ReportMetric(float64(n)/(cpuTime(b)-cpu).Seconds(), "pods/cpu-s") // what others on the machine do not change
	b.ReportMetric(float64(p.bound)/float64(n), "placed")
}

// perf is a scheduler without an API: what it decides is so at once.
type perf struct {
	*testing.B
	s      *Scheduler
	clock  *testclock.FakeClock
	there  map[string]*corev1.Pod // on nodes, by name
	placed []string               // the first to leave first
	bound  int
}

func newPerf(b *testing.B) *perf {
	p := &perf{B: b, clock: testclock.NewFakeClock(time.Unix(0, 0)), there: map[string]*corev1.Pod{}}
	server := clienttest.NewServer(b)
	s, err := New(server, clienttest.NewInformers(b, server), Config{
		Clock: p.clock, Rand: func() float64 { return 0.5 }, Logger: slog.New(slog.DiscardHandler),
		Profiles: []framework.Profile{DefaultProfile(Parts{Transport: server, Clock: p.clock})},
	})
	if err != nil {
		b.Fatal(err)
	}
	p.s = s
	return p
}

// come lets a pod come that has no node yet.
func (p *perf) come(pod *corev1.Pod) {
	pod.UID = types.UID(pod.Name)
	p.s.onPod(nil, pod)
}

// place lets a pod be on a node.
func (p *perf) place(pod *corev1.Pod, node string) {
	was := pod
	pod = pod.DeepCopy()
	pod.UID, pod.Spec.NodeName = types.UID(pod.Name), node
	p.there[pod.Name] = pod
	p.s.onPod(was, pod)
}

func (p *perf) gone(name string) {
	p.s.onPod(p.there[name], nil)
	delete(p.there, name)
}

// schedule lets the scheduler decide as long as it has something to decide.
func (p *perf) schedule() {
	for {
		j, _ := p.s.next(p.Context())
		if j != nil {
			p.place(j.Pod, j.decision.Node)
			p.placed = append(p.placed, j.Pod.Name)
			p.bound++
			continue
		}
		select {
		case c := <-p.s.chores:
			for _, name := range c.Candidates[0].Victims {
				p.gone(strings.TrimPrefix(name, "d/"))
			}
			p.s.choreDone(p.Context(), c, nil)
			p.clock.Step(10 * time.Second) // its back-off
			continue
		default:
		}
		return
	}
}

// leave lets those pods go that have been there longest, so that as many leave as come.
func (p *perf) leave(most int) {
	for len(p.placed) > most {
		p.gone(p.placed[0])
		p.placed = p.placed[1:]
	}
	for len(p.s.queue.parked.list) > 1000 {
		p.s.onPod(p.s.queue.parked.list[0].Pod, nil)
	}
}

// cpuTime returns the time that this process has computed.
func cpuTime(b *testing.B) time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
