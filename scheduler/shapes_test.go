package scheduler

import (
	"fmt"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

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
		{name: "Basic", pod: plainPod},
		{name: "PodAntiAffinity", pod: colored("green", func(p *corev1.Pod, t corev1.PodAffinityTerm) {
			t.TopologyKey = corev1.LabelHostname
			p.Spec.Affinity = &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{t}}}
		})},
		{name: "PodAntiAffinityOfMany", pod: func(i int) *corev1.Pod { // StatefulSets of three: each pod has labels of its own
			return colored(fmt.Sprint("set-", i/3%300), func(p *corev1.Pod, t corev1.PodAffinityTerm) {
				p.Labels = map[string]string{"color": p.Labels["color"], "name": p.Name}
				t.TopologyKey = corev1.LabelHostname
				p.Spec.Affinity = &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{t}}}
			})(i)
		}},
		{name: "PodAffinity", pod: colored("blue", func(p *corev1.Pod, t corev1.PodAffinityTerm) {
			t.TopologyKey = corev1.LabelTopologyZone
			p.Spec.Affinity = &corev1.Affinity{PodAffinity: &corev1.PodAffinity{RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{t}}}
		})},
		{name: "PreferredPodAffinity", pod: colored("red", func(p *corev1.Pod, t corev1.PodAffinityTerm) {
			t.TopologyKey = corev1.LabelHostname
			p.Spec.Affinity = &corev1.Affinity{PodAffinity: &corev1.PodAffinity{PreferredDuringSchedulingIgnoredDuringExecution: []corev1.WeightedPodAffinityTerm{{Weight: 1, PodAffinityTerm: t}}}}
		})},
		{name: "PreferredPodAntiAffinity", pod: colored("yellow", func(p *corev1.Pod, t corev1.PodAffinityTerm) {
			t.TopologyKey = corev1.LabelHostname
			p.Spec.Affinity = &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{PreferredDuringSchedulingIgnoredDuringExecution: []corev1.WeightedPodAffinityTerm{{Weight: 1, PodAffinityTerm: t}}}}
		})},
		{name: "NodeAffinity", pod: func(i int) *corev1.Pod {
			return sample.With(plainPod(i), func(p *corev1.Pod) { p.Spec.NodeSelector = map[string]string{corev1.LabelTopologyZone: "zone1"} })
		}},
		{name: "TopologySpreading", pod: spreadOver(corev1.LabelTopologyZone, corev1.DoNotSchedule, 5)},
		{name: "TopologySpreadingHosts", pod: spreadOver(corev1.LabelHostname, corev1.DoNotSchedule, 1)},
		{name: "PreferredTopologySpreading", pod: spreadOver(corev1.LabelTopologyZone, corev1.ScheduleAnyway, 5)},
		{name: "Mixed", before: colored("green", func(*corev1.Pod, corev1.PodAffinityTerm) {}), pod: mixed},
		{name: "Strangers", pod: func(i int) *corev1.Pod { // each pod requests something else
			return sample.Pod(fmt.Sprint("p", i), "cpu", fmt.Sprint(i%200+1, "m"), "memory", fmt.Sprint(i%199+1, "Mi"))
		}},
		{name: "ManyImages", pod: func(i int) *corev1.Pod { // each pod runs something else
			return sample.With(plainPod(i), func(p *corev1.Pod) { p.Spec.Containers[0].Image = fmt.Sprint("registry.example.com/app:", i%5000) })
		}},
		{name: "Churn", pod: plainPod, churn: true},
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

// BenchmarkShapes measures decisions alone, in the shapes of upstream's scheduler_perf. Pods that
// were placed longest ago leave when the nodes get full.
func BenchmarkShapes(b *testing.B) {
	for _, s := range shapes() {
		for _, nodes := range []int{500, 5000} {
			b.Run(fmt.Sprintf("%s/nodes=%d", s.name, nodes), func(b *testing.B) { s.run(b, nodes) })
		}
	}
}

func (s shape) run(b *testing.B, nodes int) {
	profile := DefaultProfile(Parts{})
	p, err := newProfiles([]framework.Profile{profile})
	if err != nil {
		b.Fatal(err)
	}
	fw, c, m := p.first(), newCache(), newMind()
	for i := range nodes {
		c.setNode(perfNode(i))
		for k := range 4 {
			if s.onFull {
				c.assume(framework.NewPodInfo(sample.Pod(fmt.Sprintf("low-%d-%d", i, k), "cpu", "900m")), nodeName(i))
			}
		}
		if s.before != nil {
			pod := s.before(i)
			pod.UID = types.UID(fmt.Sprint("before-", i))
			c.assume(framework.NewPodInfo(pod), nodeName(i))
		}
	}
	half := func() float64 { return 0.5 }
	var placed []types.UID
	n, bound, cpu := 0, 0, cpuTime(b)
	for b.Loop() {
		pod := s.pod(n)
		pod.UID = types.UID(fmt.Sprint("uid-", n))
		info := framework.NewPodInfo(pod)
		if s.churn && n%100 == 50 {
			c.removeNode(nodeName(nodes - 1))
		} else if s.churn && n%100 == 0 {
			c.setNode(perfNode(nodes - 1))
		}
		d := m.decide(fw, info, fw.Sign(info), c.snapshot(), half)
		if d.Node == "" && s.onFull {
			s.makeRoom(b, c, m, fw, d)
		}
		if d.Node != "" {
			c.assume(info, d.Node)
			placed = append(placed, pod.UID)
			bound++
		}
		for len(placed) > nodes/2 { // steady: as many leave as come
			c.removePod(placed[0])
			placed = placed[1:]
		}
		n++
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "pods/s")
	b.ReportMetric(float64(n)/(cpuTime(b)-cpu).Seconds(), "pods/cpu-s") // what others on the machine do not change
	b.ReportMetric(float64(bound)/float64(n), "placed")
}

// cpuTime returns the time that this process has computed.
func cpuTime(b *testing.B) time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// makeRoom evicts whom the preemption plugin chooses, at once.
func (s shape) makeRoom(b *testing.B, c *cache, m *mind, fw *framework.Framework, d *Decision) {
	n, st := fw.PostFilter(&framework.Attempt{Pod: d.Pod, Nodes: d.nodes, Refusals: d.refusals, Rand: func() float64 { return 0.5 }, Try: m.trial(fw, d.Pod, d.nodes)})
	if !st.OK() {
		b.Fatal(st.Error())
	}
	for _, name := range n.Candidates[0].Victims {
		c.removePod(types.UID(name[len("d/"):]))
	}
	d.Node = n.Node
}
