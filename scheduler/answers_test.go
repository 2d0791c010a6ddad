package scheduler

import (
	"fmt"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/miniorch/miniorch/scheduler/framework"
	"github.com/miniorch/miniorch/scheduler/framework/sample"
	"github.com/miniorch/miniorch/scheduler/plugins/noderesources"
)

// nosy reads a pod's label "wants", and notes about which nodes it is asked.
type nosy struct {
	absent
	asked *[]string
}

func (nosy) Sign(b []byte, p *framework.PodInfo) ([]byte, bool) {
	return append(b, p.Pod.Labels["wants"]...), true
}

func (n nosy) Filter(_ *framework.CycleState, p *framework.PodInfo, node *framework.NodeInfo) *framework.Status {
	*n.asked = append(*n.asked, node.Name)
	if wants := p.Pod.Labels["wants"]; wants != "" && node.Node.Labels["has"] != wants {
		return framework.Refuse("not there")
	}
	return nil
}

// TestStrangersShare: pods that are not alike as a whole share what single plugins have answered.
func TestStrangersShare(t *testing.T) {
	var asked []string
	base := DefaultProfile(Parts{})
	p := framework.Profile{SchedulerName: "default-scheduler", Plugins: []framework.Enabled{{Plugin: nosy{"Nosy", &asked}}, {Plugin: noderesources.New(noderesources.Args{}), Weight: 1}}}
	for _, e := range base.Plugins {
		if e.Name() == "PrioritySort" || e.Name() == "DefaultBinder" {
			p.Plugins = append(p.Plugins, e)
		}
	}
	fw, err := framework.New(p)
	if err != nil {
		t.Fatal(err)
	}
	c, m, n := newCache(), newMind(), 0
	node := func(name, has string) *corev1.Node {
		return sample.With(sample.Node(name, "cpu", "4"), func(n *corev1.Node) { n.Labels["has"] = has })
	}
	c.setNode(node("a", "x"))
	c.setNode(node("b", ""))
	decide := func(wants string) *Decision {
		n++
		pod := sample.Pod(fmt.Sprint("p", n), "cpu", fmt.Sprint(n, "m"))
		pod.UID, pod.Labels = types.UID(pod.Name), map[string]string{"wants": wants}
		info := framework.NewPodInfo(pod)
		asked = nil
		return m.decide(fw, info, fw.Sign(info), c.snapshot(), func() float64 { return 0 })
	}
	for _, step := range []struct {
		name, reason string
		change       func()
		wants        string
		asked        []string
		node         string
	}{
		{"first", "nobody has asked yet", nil, "x", []string{"a", "b"}, "a"},
		{"second", "now it is worth remembering", nil, "x", []string{"a", "b"}, "a"},
		{"third", "all is known", nil, "x", nil, "a"},
		{"a node changes", "it is asked about that one", func() { c.setNode(node("a", "")) }, "x", []string{"a"}, ""},
		{"back again", "likewise", func() { c.setNode(node("a", "x")) }, "x", []string{"a"}, "a"},
		{"a node comes", "places have moved", func() { c.setNode(node("0", "x")) }, "x", []string{"0", "a", "b"}, "0"},
		{"a pod that wants something else", "its answers are its own", nil, "y", []string{"0", "a", "b"}, ""},
		{"the first kind again", "it is still known", nil, "x", nil, "0"},
	} {
		if step.change != nil {
			step.change()
		}
		if d := decide(step.wants); d.Node != step.node || !slices.Equal(asked, step.asked) {
			t.Errorf("%s: asked about %v, want %v: %s; node %q, want %q", step.name, asked, step.asked, step.reason, d.Node, step.node)
		}
	}
}
