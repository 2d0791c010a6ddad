// Package sample makes pods and nodes for tests of the scheduler and its plugins.
package sample

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/miniorch/miniorch/scheduler/framework"
)

// Requests returns a resource list: name, amount, name, amount, …
func Requests(pairs ...string) corev1.ResourceList {
	list := corev1.ResourceList{}
	for i := 0; i+1 < len(pairs); i += 2 {
		list[corev1.ResourceName(pairs[i])] = resource.MustParse(pairs[i+1])
	}
	return list
}

// Pod returns a pod with one container that requests pairs.
func Pod(name string, pairs ...string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "d", Name: name, UID: types.UID(name)},
		Spec: corev1.PodSpec{
			SchedulerName: corev1.DefaultSchedulerName,
			Containers:    []corev1.Container{{Name: "c", Image: "i", Resources: corev1.ResourceRequirements{Requests: Requests(pairs...)}}},
		},
	}
}

// Node returns a ready node with room for 4 CPUs, 8Gi of memory and 110 pods, or what pairs say.
func Node(name string, pairs ...string) *corev1.Node {
	list := Requests("cpu", "4", "memory", "8Gi", "pods", "110")
	for k, v := range Requests(pairs...) {
		list[k] = v
	}
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID(name), Labels: map[string]string{corev1.LabelHostname: name}},
		Status:     corev1.NodeStatus{Capacity: list, Allocatable: list},
	}
}

// With changes an object and returns it.
func With[T any](obj T, change func(T)) T {
	change(obj)
	return obj
}

// Owned makes a pod look like a replica of a controller.
func Owned(p *corev1.Pod, owner string) *corev1.Pod {
	yes := true
	p.OwnerReferences = []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: owner, UID: types.UID(owner), Controller: &yes}}
	return p
}

// Info returns a node with pods on it.
func Info(n *corev1.Node, pods ...*corev1.Pod) *framework.NodeInfo {
	i := framework.NewNodeInfo(n.Name, n)
	for _, p := range pods {
		i = i.WithPod(framework.NewPodInfo(p))
	}
	return i
}

// Fits asks a plugin's PreFilter, if it has one, and its Filter about a pod on a node, and
// returns the reasons of a refusal.
func Fits(p framework.Plugin, pod *corev1.Pod, node *framework.NodeInfo) []string {
	state, info := framework.NewCycleState(), framework.NewPodInfo(pod)
	if pre, ok := p.(framework.PreFilter); ok {
		if s := pre.PreFilter(state, info, framework.NewSnapshot([]*framework.NodeInfo{node})); s.IsSkip() {
			return nil
		} else if !s.OK() {
			return s.Reasons
		}
	}
	f, ok := p.(framework.Filter)
	if !ok {
		return nil
	}
	if s := f.Filter(state, info, node); !s.OK() {
		return s.Reasons
	}
	return nil
}

// Scores asks a plugin to score nodes for a pod and normalizes what it says; nil if it has
// nothing to say.
func Scores(p framework.Score, pod *corev1.Pod, nodes ...*framework.NodeInfo) []int64 {
	state, info, all := framework.NewCycleState(), framework.NewPodInfo(pod), framework.NewSnapshot(append([]*framework.NodeInfo{}, nodes...))
	if pre, ok := p.(framework.PreFilter); ok {
		pre.PreFilter(state, info, all)
	}
	if pre, ok := p.(framework.PreScore); ok && pre.PreScore(state, info, all).IsSkip() {
		return nil
	}
	var out []int64
	for _, n := range nodes {
		out = append(out, p.Score(state, info, n))
	}
	n, _ := p.(framework.Normalizer)
	framework.NormalizeAll(n, out)
	return out
}

// Topology counts over nodes, which must be in the order of their names.
func Topology(namespaces *framework.Namespaces, nodes ...*framework.NodeInfo) *framework.Topology {
	s := framework.NewSnapshot(append([]*framework.NodeInfo{}, nodes...))
	s.Namespaces = namespaces
	t := framework.NewTopology()
	t.Follow(s)
	return t
}

// FitsWide asks a Wide plugin about a pod on each node of a topology, and returns the reasons
// of the refusals, empty for nodes that passed.
func FitsWide(p framework.Wide, t *framework.Topology, pod *corev1.Pod) []string {
	survey, refused := p.Survey(t, framework.NewPodInfo(pod))
	out := make([]string, t.Nodes().Len())
	for i := range out {
		s := refused
		if s.OK() && survey.Filter != nil {
			s = survey.Filter(i)
		}
		if !s.OK() {
			out[i] = s.Reasons[0]
		}
	}
	return out
}

// RankWide asks a Wide plugin to score all nodes of a topology for a pod and normalizes what it
// says; nil if it has nothing to say.
func RankWide(p framework.Wide, t *framework.Topology, pod *corev1.Pod) []int64 {
	survey, _ := p.Survey(t, framework.NewPodInfo(pod))
	if survey.Rank == nil {
		return nil
	}
	out, all := make([]int64, t.Nodes().Len()), make([]int32, t.Nodes().Len())
	for i := range all {
		all[i] = int32(i)
	}
	survey.Rank(all, out)
	framework.NormalizeAll(survey.Normalizer, out)
	return out
}
