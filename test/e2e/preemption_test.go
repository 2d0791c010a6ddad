package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/miniorch/miniorch/pkg/api"
)

const urgent = `
apiVersion: v1
kind: Pod
metadata: {name: urgent, labels: {at: workshop}}
spec:
  priorityClassName: high
  terminationGracePeriodSeconds: 0
  containers:
  - name: main
    image: busybox:1
    command: [sh, -c, "cat /proc/uptime > /trace/urgent; sleep 3600"]
    resources: {limits: {example.com/place: "1"}}
    volumeMounts: [{name: trace, mountPath: /trace}]
  volumes: [{name: trace, hostPath: {path: TRACE_DIR}}]
`

// testPreemption gives a full node to a pod of higher priority: one of lower priority has to go, with all the
// time that it was promised, and the other one only waits for that.
func (w *world) testPreemption(t *testing.T) {
	manifest, err := os.ReadFile("testdata/preemption.yaml")
	check(t, err)
	trace := t.TempDir()
	w.kubectl(t, "patch", "node", "node-1", "--subresource=status", "--type=merge", "-p", `{"status":{"capacity":{"example.com/place":"2"}}}`)
	w.field(t, "node/node-1", `.status.allocatable.example\.com/place`, "2")
	w.apply(t, strings.ReplaceAll(string(manifest), "TRACE_DIR", trace))
	eventually(t, "both places to be taken", func() error { return w.readyPods("app=casual", 2) })

	changes, err := w.clients.CoreV1().Pods("default").Watch(context.Background(), metav1.ListOptions{LabelSelector: "at=workshop"})
	check(t, err)
	defer changes.Stop()
	w.apply(t, strings.ReplaceAll(urgent, "TRACE_DIR", trace))
	victim := preempted(t, changes)
	w.kubectl(t, "wait", "--for=condition=Ready", "pod/urgent", "--timeout=3m")
	w.field(t, "pod/urgent", ".spec.nodeName", "node-1")
	w.event(t, victim, "Preempted", "Preempted by pod")
	if told, ended, began := uptime(t, trace, victim+".told"), uptime(t, trace, victim+".ended"), uptime(t, trace, "urgent"); ended < told+2 || ended > began {
		t.Errorf("one was told to go at %.2f s and had ended at %.2f s, the other began at %.2f s", told, ended, began)
	}

	// Its ReplicaSet wants another, which waits until there is room again; it disturbs nobody.
	eventually(t, "one to wait", func() error {
		out := w.kubectl(t, "get", "pods", "-l", "app=casual", "-o", `jsonpath={range .items[*]}{.status.phase}:{.status.conditions[?(@.type=="PodScheduled")].message}{"\n"}{end}`)
		if !strings.Contains(out, "Pending:0/2 nodes are available: 2 Insufficient example.com/place. preemption: 0/2 nodes are available: 1 No preemption victims found") || strings.Count(out, "Running") != 1 {
			return fmt.Errorf("they are\n%s", out)
		}
		return nil
	})
	w.kubectl(t, "delete", "pod", "urgent", "--wait")
	eventually(t, "both places to be taken again", func() error { return w.readyPods("app=casual", 2) })
	w.kubectl(t, "delete", "replicaset/casual", "priorityclass/low", "priorityclass/high", "--wait")
	w.kubectl(t, "patch", "node", "node-1", "--subresource=status", "--type=merge", "-p", `{"status":{"capacity":{"example.com/place":null}}}`)
	eventually(t, "no pods", func() error { return w.readyPods("app=casual", 0) })
}

// preempted follows the pods until one is gone, and returns its name: it was told why, it had its time, and
// the place was promised to the other one before it was free.
func preempted(t *testing.T, changes watch.Interface) (victim string) {
	t.Helper()
	promised, ended, limit := false, false, time.After(patience)
	for {
		var change watch.Event
		select {
		case change = <-changes.ResultChan():
		case <-limit:
			t.Fatalf("nobody goes; promised: %t", promised)
		}
		pod, ok := change.Object.(*corev1.Pod)
		switch {
		case !ok:
			t.Fatalf("the watch ends with %v", change)
		case pod.Name == "urgent":
			promised = promised || pod.Status.NominatedNodeName == "node-1" && pod.Spec.NodeName == ""
			if pod.Spec.NodeName != "" && !ended {
				t.Fatal("it was bound while both others were there")
			}
		case change.Type == watch.Deleted:
			reason := api.PodCondition(pod, corev1.DisruptionTarget)
			if reason == nil || reason.Status != corev1.ConditionTrue || reason.Reason != corev1.PodReasonPreemptionByScheduler {
				t.Errorf("its condition says %+v", reason)
			}
			if !promised {
				t.Error("no node was nominated for the other one")
			}
			return pod.Name
		case pod.DeletionTimestamp == nil:
		case pod.Status.Phase != corev1.PodRunning:
			ended = true // it takes no place any more
		case victim == "":
			victim = pod.Name
			if grace := pod.DeletionGracePeriodSeconds; grace == nil || *grace != 60 {
				t.Errorf("its grace is %v, want the 60 s that it asked for", grace)
			}
		case victim != pod.Name:
			t.Errorf("%s and %s have to go, one is enough", victim, pod.Name)
		}
	}
}

// uptime reads the time that a pod wrote down: seconds since the machine's start.
func uptime(t *testing.T, dir, file string) (seconds float64) {
	t.Helper()
	eventually(t, "a time in "+file, func() error {
		content, err := os.ReadFile(filepath.Join(dir, file))
		if err == nil {
			_, err = fmt.Sscanf(string(content), "%f", &seconds)
		}
		return err
	})
	return seconds
}
