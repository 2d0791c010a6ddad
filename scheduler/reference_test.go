package scheduler

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/miniorch/miniorch/pkg/api"
	"github.com/miniorch/miniorch/scheduler/framework"
	"github.com/miniorch/miniorch/scheduler/framework/sample"
)

// cluster is the state that the reference works on: plain API objects.
type cluster struct {
	nodes map[string]*corev1.Node
	pods  map[string]*corev1.Pod // with a node
}

// reference schedules one pod the plain way: all nodes, one after the other, from the objects
// alone. It returns the nodes that are equally good, their score, or the refusal.
func (c *cluster) reference(pod *corev1.Pod) (best []string, score int64, refusal string) {
	names := slices.Sorted(maps.Keys(c.nodes))
	reasons := map[string]int{}
	var passed []string
	for _, name := range names {
		if why := c.refuses(pod, c.nodes[name]); len(why) > 0 {
			for _, r := range why {
				reasons[r]++
			}
			continue
		}
		passed = append(passed, name)
	}
	if len(passed) == 0 {
		var parts []string
		for r, n := range reasons {
			parts = append(parts, fmt.Sprint(n, " ", r))
		}
		slices.Sort(parts)
		return nil, 0, fmt.Sprintf("0/%d nodes are available: %s.", len(names), strings.Join(parts, ", "))
	}
	totals := c.totals(pod, passed)
	score = slices.Max(totals)
	for i, name := range passed {
		if totals[i] == score {
			best = append(best, name)
		}
	}
	return best, score, ""
}

func (c *cluster) on(node string) []*corev1.Pod {
	var out []*corev1.Pod
	for _, p := range c.pods {
		if p.Spec.NodeName == node {
			out = append(out, p)
		}
	}
	return out
}

func (c *cluster) refuses(pod *corev1.Pod, n *corev1.Node) []string {
	if n.Spec.Unschedulable {
		return []string{"node(s) were unschedulable"}
	}
	for _, t := range n.Spec.Taints {
		if t.Effect == corev1.TaintEffectNoSchedule && !tolerated(pod, t) {
			return []string{fmt.Sprintf("node(s) had untolerated taint {%s: %s}", t.Key, t.Value)}
		}
	}
	for k, v := range pod.Spec.NodeSelector {
		if n.Labels[k] != v {
			return []string{"node(s) didn't match Pod's node affinity/selector"}
		}
	}
	for _, other := range c.on(n.Name) {
		if port := hostPort(pod); port != 0 && port == hostPort(other) {
			return []string{"node(s) didn't have free ports for the requested pod ports"}
		}
	}
	if why := c.lacks(pod, n); len(why) > 0 {
		return why
	}
	return c.refusesCompany(pod, n)
}

func (c *cluster) lacks(pod *corev1.Pod, n *corev1.Node) (why []string) {
	pods := c.on(n.Name)
	if int64(len(pods)) >= n.Status.Allocatable.Pods().Value() {
		why = append(why, "Too many pods")
	}
	for _, name := range []corev1.ResourceName{"cpu", "memory"} {
		free := n.Status.Allocatable[name].DeepCopy()
		for _, p := range pods {
			free.Sub(api.PodRequests(p)[name])
		}
		want := api.PodRequests(pod)[name]
		if !want.IsZero() && want.Cmp(free) > 0 {
			why = append(why, "Insufficient "+string(name))
		}
	}
	return why
}

func (c *cluster) totals(pod *corev1.Pod, passed []string) []int64 {
	totals := make([]int64, len(passed))
	mild := make([]int64, len(passed))
	for i, name := range passed {
		n := c.nodes[name]
		for _, t := range n.Spec.Taints {
			if t.Effect == corev1.TaintEffectPreferNoSchedule && !tolerated(pod, t) {
				mild[i]++
			}
		}
		var cpu, memory, wantCPU, wantMemory int64
		for _, p := range append(c.on(name), pod) {
			asks := api.PodRequests(p)
			cpu += atLeast(asks.Cpu().MilliValue(), 100)
			memory += atLeast(asks.Memory().Value(), 200<<20)
			wantCPU += asks.Cpu().MilliValue()
			wantMemory += asks.Memory().Value()
		}
		hasCPU, hasMemory := n.Status.Allocatable.Cpu().MilliValue(), n.Status.Allocatable.Memory().Value()
		totals[i] = (share(cpu, hasCPU) + share(memory, hasMemory)) / 2
		if len(api.PodRequests(pod)) > 0 {
			difference := float64(wantCPU)/float64(hasCPU) - float64(wantMemory)/float64(hasMemory)
			totals[i] += int64((1 - math.Sqrt(difference*difference/4)) * 100)
		}
	}
	for i := range passed {
		totals[i] += 3*reversed(mild[i], slices.Max(mild)) + c.nearImages(pod, passed[i])
	}
	for i, s := range c.company(pod, passed) {
		totals[i] += 2 * s
	}
	for i, s := range c.evenness(pod, passed) {
		totals[i] += 2 * s
	}
	return totals
}

// nearImages scores a node by the pod's images that it has: the more other nodes have one, the more
// it counts.
func (c *cluster) nearImages(pod *corev1.Pod, node string) int64 {
	size := func(name, image string) int64 {
		for _, i := range c.nodes[name].Status.Images {
			if slices.Contains(i.Names, image) {
				return i.SizeBytes
			}
		}
		return 0
	}
	image, have := pod.Spec.Containers[0].Image+":latest", 0
	for name := range c.nodes {
		if size(name, image) > 0 {
			have++
		}
	}
	const least, most = 23 << 20, 1000 << 20
	bytes := int64(float64(size(node, image)) * (float64(have) / float64(len(c.nodes))))
	return 100 * (min(max(bytes, least), most) - least) / (most - least)
}

func atLeast(n, ifZero int64) int64 { return cmp.Or(n, ifZero) }

func share(used, has int64) int64 { return max(0, (has-used)*100/has) }

func reversed(n, most int64) int64 {
	if most == 0 {
		return 100
	}
	return 100 - n*100/most
}

func tolerated(pod *corev1.Pod, t corev1.Taint) bool {
	return slices.ContainsFunc(pod.Spec.Tolerations, func(x corev1.Toleration) bool { return x.Key == t.Key })
}

func hostPort(p *corev1.Pod) int32 {
	if ports := p.Spec.Containers[0].Ports; len(ports) > 0 {
		return ports[0].HostPort
	}
	return 0
}

// randomly makes objects.
type randomly struct{ *rand.Rand }

func (r randomly) oneOf(s ...string) string { return s[r.IntN(len(s))] }

func (r randomly) node(name string) *corev1.Node {
	n := sample.Node(name, "cpu", r.oneOf("1", "2", "4"), "memory", r.oneOf("2Gi", "8Gi"), "pods", r.oneOf("5", "110"))
	n.Labels["disk"] = r.oneOf("ssd", "hdd")
	if r.IntN(8) > 0 {
		n.Labels["zone"] = r.oneOf("z1", "z2", "z3")
	}
	for _, image := range []string{"a", "b", "c"} {
		if r.IntN(3) == 0 {
			n.Status.Images = append(n.Status.Images, corev1.ContainerImage{Names: []string{image + ":latest"}, SizeBytes: int64(r.IntN(900)) << 20})
		}
	}
	n.Spec.Unschedulable = r.IntN(10) == 0
	for _, e := range []corev1.TaintEffect{corev1.TaintEffectNoSchedule, corev1.TaintEffectPreferNoSchedule} {
		if r.IntN(4) == 0 {
			n.Spec.Taints = append(n.Spec.Taints, corev1.Taint{Key: r.oneOf("x", "y"), Value: "v", Effect: e})
		}
	}
	return n
}

func (r randomly) pod(name string) *corev1.Pod {
	p := sample.Pod(name)
	if r.IntN(4) > 0 {
		p = sample.Pod(name, "cpu", r.oneOf("100m", "500m", "3"), "memory", r.oneOf("100Mi", "1Gi"))
	}
	if r.IntN(4) == 0 { // a stranger: no other is like it
		p = sample.Pod(name, "cpu", fmt.Sprint(1+r.IntN(2000), "m"), "memory", fmt.Sprint(1+r.IntN(2000), "Mi"))
	}
	p.Spec.Containers[0].Image = r.oneOf("a", "a", "b", "c", "d")
	p.Namespace = r.oneOf("d", "d", "e")
	p.Labels = map[string]string{"app": r.oneOf("a", "b", "c"), "tier": r.oneOf("x", "y")}
	if r.IntN(2) == 0 {
		r.sociable(p)
	}
	if r.IntN(4) == 0 {
		p.Spec.NodeSelector = map[string]string{"disk": r.oneOf("ssd", "hdd", "tape")}
	}
	if r.IntN(4) == 0 {
		p.Spec.Tolerations = []corev1.Toleration{{Key: r.oneOf("x", "y"), Operator: corev1.TolerationOpExists}}
	}
	if r.IntN(6) == 0 {
		p.Spec.Containers[0].Ports = []corev1.ContainerPort{{HostPort: 8080, Protocol: corev1.ProtocolTCP}}
	}
	return p
}

// TestDecideAgainstReference plays random histories of a cluster and compares every decision,
// made from incremental snapshots and shared evaluations, with the reference's.
func TestDecideAgainstReference(t *testing.T) {
	fw, err := framework.New(DefaultProfile(Parts{}))
	if err != nil {
		t.Fatal(err)
	}
	for seed := range uint64(20) {
		r := randomly{rand.New(rand.NewPCG(seed, 1))}
		ref := &cluster{nodes: map[string]*corev1.Node{}, pods: map[string]*corev1.Pod{}}
		c, m := newCache(), newMind()
		c.setNamespace("d", map[string]string{"team": "one"})
		c.setNamespace("e", map[string]string{"team": "two"})
		for i := range 3 + r.IntN(25+50*int(seed%3)) {
			n := r.node(fmt.Sprintf("n%03d", i))
			ref.nodes[n.Name] = n
			c.setNode(n)
		}
		for i := range 80 {
			r.disturb(ref, c)
			pod := r.pod(fmt.Sprintf("p%03d", i))
			info := framework.NewPodInfo(pod)
			d := m.decide(fw, info, fw.Sign(info), c.snapshot(), r.Float64)
			best, score, refusal := ref.reference(pod)
			if d.Refusal != refusal || d.Score != score || d.Node != "" && !slices.Contains(best, d.Node) {
				t.Fatalf("seed %d, pod %d: decided %v, the reference %v with %d, %q", seed, i, d, best, score, refusal)
			}
			if d.Node != "" {
				pod.Spec.NodeName = d.Node
				ref.pods[pod.Name] = pod
				c.assume(info, d.Node)
			}
			if r.IntN(2) == 0 && d.Node != "" {
				c.setPod(pod) // the watch confirms
			}
		}
	}
}

// disturb changes something in the cluster now and then.
func (r randomly) disturb(ref *cluster, c *cache) {
	nodes, pods := slices.Sorted(maps.Keys(ref.nodes)), slices.Sorted(maps.Keys(ref.pods))
	switch r.IntN(8) {
	case 0: // a node changes
		n := r.node(r.oneOf(nodes...))
		ref.nodes[n.Name] = n
		c.setNode(n)
	case 1: // a node goes, its pods stay for now
		if name := r.oneOf(nodes...); r.IntN(4) == 0 && len(nodes) > 1 {
			delete(ref.nodes, name)
			c.removeNode(name)
		}
	case 2: // a node comes, perhaps back
		n := r.node(fmt.Sprintf("n%03d", r.IntN(160)))
		ref.nodes[n.Name] = n
		c.setNode(n)
	case 5: // a pod is on its way out
		if len(pods) > 0 {
			p := ref.pods[r.oneOf(pods...)].DeepCopy()
			p.DeletionTimestamp = &metav1.Time{Time: time.Unix(1, 0)}
			ref.pods[p.Name] = p
			c.setPod(p)
		}
	case 3, 4: // a pod goes
		if len(pods) > 0 {
			p := ref.pods[r.oneOf(pods...)]
			delete(ref.pods, p.Name)
			c.removePod(p.UID)
		}
	}
}
