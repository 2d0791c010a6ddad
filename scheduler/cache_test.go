package scheduler

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/miniorch/miniorch/scheduler/framework"
	"github.com/miniorch/miniorch/scheduler/framework/sample"
)

func on(p *corev1.Pod, node string) *corev1.Pod {
	p.Spec.NodeName = node
	return p
}

func used(c *cache, node string) int64 { return c.node(node).Requested.MilliCPU }

func TestCacheAssume(t *testing.T) {
	c, start := newCache(), time.Unix(0, 0)
	c.setNode(sample.Node("a"))
	pod := sample.Pod("p", "cpu", "1")
	c.assume(framework.NewPodInfo(pod), "a")
	if used(c, "a") != 1000 || !c.isAssumed("p") {
		t.Error("an assumed pod does not count")
	}
	before := c.node("a")
	if c.setPod(on(sample.Pod("p", "cpu", "1"), "a")) || c.isAssumed("p") || c.node("a") != before {
		t.Error("a confirmation changes more than the assumption")
	}
	c.acknowledged("p", start)
	if got := c.expired(start.Add(time.Hour)); len(got) != 0 {
		t.Error("a confirmed pod expires")
	}

	c.assume(framework.NewPodInfo(sample.Pod("q", "cpu", "1")), "a")
	c.acknowledged("q", start.Add(time.Minute))
	if got := c.expired(start); len(got) != 0 || used(c, "a") != 2000 {
		t.Error("it expires before its deadline")
	}
	if got := c.expired(start.Add(time.Minute)); len(got) != 1 || used(c, "a") != 1000 || c.has("q") {
		t.Errorf("expired: %v, used: %d", got, used(c, "a"))
	}
}

func TestCacheIsToldOtherwise(t *testing.T) {
	c := newCache()
	c.setNode(sample.Node("a"))
	c.setNode(sample.Node("b"))
	c.assume(framework.NewPodInfo(sample.Pod("p", "cpu", "1")), "a")
	c.setPod(on(sample.Pod("p", "cpu", "1"), "b")) // somebody else bound it
	if used(c, "a") != 0 || used(c, "b") != 1000 {
		t.Errorf("a: %d, b: %d", used(c, "a"), used(c, "b"))
	}
	if !c.setPod(on(sample.Pod("p", "cpu", "500m"), "b")) || used(c, "b") != 500 {
		t.Error("a pod that was resized frees nothing")
	}
}

func TestCachePodsBeforeNodes(t *testing.T) {
	c := newCache()
	c.setPod(on(sample.Pod("p", "cpu", "1"), "a"))
	if c.node("a") != nil || c.snapshot().Len() != 0 {
		t.Error("a node that only a pod names is a node")
	}
	c.setNode(sample.Node("a"))
	if used(c, "a") != 1000 || c.snapshot().Len() != 1 {
		t.Error("the pod is forgotten")
	}
	c.removeNode("a")
	if c.snapshot().Len() != 0 {
		t.Error("the node is still there")
	}
	c.removePod("p")
	if len(c.infos) != 0 {
		t.Errorf("left over: %v", c.infos)
	}
}

func TestSnapshotsAreImmutable(t *testing.T) {
	c := newCache()
	for _, n := range []string{"a", "b"} {
		c.setNode(sample.Node(n))
	}
	before := c.snapshot()
	c.setPod(on(sample.Pod("p", "cpu", "1"), "a"))
	after := c.snapshot()
	if before.Get("a").Requested.MilliCPU != 0 || after.Get("a").Requested.MilliCPU != 1000 {
		t.Error("the old snapshot shows the new pod, or the new one does not")
	}
	var changed []int
	if !after.ChangedSince(before, func(i int) { changed = append(changed, i) }) || len(changed) != 1 || changed[0] != 0 {
		t.Errorf("changed: %v", changed)
	}
	c.setNode(sample.Node("c"))
	if c.snapshot().ChangedSince(after, func(int) {}) {
		t.Error("another set of nodes is taken for the same")
	}
}
