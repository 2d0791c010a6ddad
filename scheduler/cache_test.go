package scheduler

import (
	"fmt"
	"strings"
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
	if was, now := c.setPod(on(sample.Pod("p", "cpu", "1"), "a")); was != nil || now != nil || c.isAssumed("p") || c.node("a") != before {
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
	if was, now := c.setPod(on(sample.Pod("p", "cpu", "500m"), "b")); was == nil || now == nil || used(c, "b") != 500 {
		t.Error("a pod that was resized frees nothing")
	}
	grows := on(sample.Pod("p", "cpu", "2"), "b")
	grows.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: grows.Spec.Containers[0].Name, AllocatedResources: sample.Pod("p", "cpu", "500m").Spec.Containers[0].Resources.Requests}}
	if c.setPod(grows); used(c, "b") != 2000 {
		t.Errorf("a pod that wants to grow has %dm: others may not have what it wants", used(c, "b"))
	}
	grows = grows.DeepCopy()
	grows.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodResizePending, Status: corev1.ConditionTrue, Reason: corev1.PodReasonInfeasible}}
	if c.setPod(grows); used(c, "b") != 500 {
		t.Errorf("a pod that can never grow has %dm, want what it had", used(c, "b"))
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
	changes := func(old, now framework.Snapshot) string {
		var b strings.Builder
		now.ChangedSince(old, func(i int, was, is *framework.NodeInfo) { fmt.Fprintf(&b, "%d %t %t;", i, was != nil, is != nil) })
		return b.String()
	}
	if got := changes(before, after); got != "0 true true;" || !after.SameNodes(before) {
		t.Errorf("changed: %s", got)
	}
	c.setNode(sample.Node("aa"))
	c.removeNode("b")
	c.setPod(on(sample.Pod("q"), "a"))
	if got := changes(after, c.snapshot()); got != "0 true true;1 false true;-1 true false;" {
		t.Errorf("of other nodes: %s", got)
	}
}

func TestCacheNominations(t *testing.T) {
	c := newCache()
	p, q := framework.NewPodInfo(sample.Pod("p")), framework.NewPodInfo(sample.Pod("q"))
	c.nominate(p, "a") // before the node is known
	c.setNode(sample.Node("a"))
	c.setNode(sample.Node("b"))
	c.nominate(q, "a")
	if got := len(c.node("a").Nominated); got != 2 {
		t.Errorf("%d are nominated, want 2", got)
	}
	c.nominate(q, "b")
	c.nominate(p, "")
	if len(c.node("a").Nominated) != 0 || len(c.node("b").Nominated) != 1 || len(c.nominated) != 1 {
		t.Errorf("a: %v, b: %v", c.node("a").Nominated, c.node("b").Nominated)
	}
}
