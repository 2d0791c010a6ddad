package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// testFiftyIndexes runs a Job in which indexes fail once, always, for good, and by eviction: all that
// can succeed do, once, and the Job's account is right.
func (w *world) testFiftyIndexes(t *testing.T) {
	manifest, err := os.ReadFile("testdata/fifty.yaml")
	check(t, err)
	trace := t.TempDir()
	w.apply(t, strings.ReplaceAll(string(manifest), "TRACE_DIR", trace))
	w.evictIndex2(t, trace)
	w.kubectl(t, "wait", "--for=condition=Failed", "job/fifty", "--timeout=3m")

	expect(t, w.kubectl(t, "get", "job", "fifty", "-o", `jsonpath={.status.conditions[?(@.type=="Failed")].reason}`), "FailedIndexes")
	status := w.kubectl(t, "get", "job", "fifty", "-o",
		"jsonpath={.status.succeeded} {.status.failed} {.status.active} {.status.completedIndexes} {.status.failedIndexes} {.status.uncountedTerminatedPods}")
	// Failed pods: 3 indexes fail once, 2 twice, 4 for good; the pod that was evicted is gone and does not count.
	const want = "44 11  0-2,4,6-12,14,16-22,24-42,44-49 3,5,13,15,23,43 {}"
	if status != want {
		t.Errorf("status is\n%s, want\n%s", status, want)
	}
	if wrong, err := os.ReadFile(filepath.Join(trace, "twice-at-once")); err == nil {
		t.Errorf("indexes that ran twice at once: %s", strings.Fields(string(wrong)))
	}
	pods := w.podsByIndex(t)
	for i := range 50 {
		ran, _ := os.ReadFile(filepath.Join(trace, "done-"+strconv.Itoa(i)))
		wantRan, wantPods := "done\n", "Succeeded"
		switch i {
		case 0, 10, 20:
			wantPods = "Failed Succeeded"
		case 5, 15:
			wantRan, wantPods = "", "Failed Failed"
		case 3, 13, 23, 43:
			wantRan, wantPods = "", "Failed"
		}
		if string(ran) != wantRan || strings.Join(pods[i], " ") != wantPods {
			t.Errorf("index %d has run to its end %q times, its pods %v; want %q and %s", i, ran, pods[i], wantRan, wantPods)
		}
	}
	w.kubectl(t, "delete", "job/fifty", "--wait")
	eventually(t, "no pods", func() error { return w.readyPods("job-name=fifty", 0) })
}

// evictIndex2 evicts the pod that waits for it.
func (w *world) evictIndex2(t *testing.T, trace string) {
	t.Helper()
	eventually(t, "index 2 to wait", func() error {
		_, err := os.Stat(filepath.Join(trace, "waiting"))
		return err
	})
	pod := w.kubectl(t, "get", "pods", "-l", "job-name=fifty,batch.kubernetes.io/job-completion-index=2", "-o", "jsonpath={.items[0].metadata.name}")
	eviction := &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Name: pod, Namespace: "default"}}
	check(t, w.clients.CoreV1().Pods("default").EvictV1(context.Background(), eviction))
}

// podsByIndex lists the phases of each index' pods, failures first, and fails the test for a pod that
// the Job still holds.
func (w *world) podsByIndex(t *testing.T) map[int][]string {
	t.Helper()
	pods, err := w.clients.CoreV1().Pods("default").List(context.Background(), metav1.ListOptions{LabelSelector: "job-name=fifty"})
	check(t, err)
	phases := map[int][]string{}
	for _, p := range pods.Items {
		index, err := strconv.Atoi(p.Labels["batch.kubernetes.io/job-completion-index"])
		check(t, err)
		if len(p.Finalizers) > 0 {
			t.Errorf("pod %s was counted and has the finalizers %v", p.Name, p.Finalizers)
		}
		phases[index] = append(phases[index], fmt.Sprint(p.Status.Phase))
	}
	for _, of := range phases {
		slices.Sort(of)
	}
	return phases
}
