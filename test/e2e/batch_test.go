package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// testBatch runs Jobs to their ends, a CronJob's Job by hand, and a ReplicationController.
func (w *world) testBatch(t *testing.T) {
	manifest, err := os.ReadFile("testdata/batch.yaml")
	check(t, err)
	trace := t.TempDir()
	w.apply(t, strings.ReplaceAll(string(manifest), "TRACE_DIR", trace))

	t.Run("ten indexes and a failure", func(t *testing.T) { w.tenIndexes(t, trace) })
	t.Run("failure policy", func(t *testing.T) {
		w.kubectl(t, "wait", "--for=condition=Failed", "job/hopeless", "--timeout=2m")
		expect(t, w.kubectl(t, "get", "job", "hopeless", "-o", `jsonpath={.status.conditions[?(@.type=="Failed")]}`),
			"PodFailurePolicy", "failed with exit code 42 matching FailJob rule at index 0")
		expect(t, w.kubectl(t, "get", "job", "hopeless"), "Failed", "0/5")
	})
	t.Run("suspend and delete", w.suspendAndDelete)
	t.Run("cron job by hand", w.cronJobByHand)
	t.Run("replication controller", func(t *testing.T) {
		eventually(t, "two pods", func() error { return w.readyPods("app=old", 2) })
		w.kubectl(t, "scale", "rc/old", "--replicas=1")
		eventually(t, "one pod", func() error { return w.readyPods("app=old", 1) })
		expect(t, w.kubectl(t, "get", "rc", "old", "-o", "wide"), "busybox:1", "app=old")
		w.kubectl(t, "delete", "rc/old", "--wait")
		eventually(t, "no pods", func() error { return w.readyPods("app=old", 0) })
	})
	w.kubectl(t, "delete", "job/ten", "job/hopeless", "--wait")
	eventually(t, "no pods", func() error { return w.readyPods("job-name in (ten,hopeless)", 0) })
}

func (w *world) tenIndexes(t *testing.T, trace string) {
	w.kubectl(t, "wait", "--for=condition=Complete", "job/ten", "--timeout=2m")
	status := w.kubectl(t, "get", "job", "ten", "-o", "jsonpath={.status.succeeded} {.status.failed} {.status.completedIndexes} {.status.uncountedTerminatedPods}")
	if status != "10 1 0-9 {}" {
		t.Errorf("status is %q, want ten successes, one failure and nothing uncounted", status)
	}
	for i := range 10 {
		host, err := os.ReadFile(filepath.Join(trace, fmt.Sprint(i)))
		if want := fmt.Sprintf("ten-%d\n", i); err != nil || string(host) != want {
			t.Errorf("index %d ran on host %q (%v), want %q", i, host, err, want)
		}
	}
	out := w.kubectl(t, "get", "pods", "-l", "job-name=ten", "-o", `jsonpath={range .items[*]}{.metadata.labels.batch\.kubernetes\.io/job-completion-index}:{.status.phase}:{.metadata.finalizers}{"\n"}{end}`)
	if n := strings.Count(out, "3:Failed:\n") + strings.Count(out, ":Succeeded:\n"); n != 11 || strings.Count(out, "\n") != 11 {
		t.Errorf("eleven pods were needed, and nothing holds them:\n%s", out)
	}
	expect(t, w.kubectl(t, "get", "job", "ten"), "NAME", "STATUS", "COMPLETIONS", "Complete", "10/10")
	expect(t, w.kubectl(t, "describe", "job", "ten"), "Completed Indexes:", "0-9", "Job completed")
}

// suspendAndDelete: pods of a suspended job go and are not counted; kubectl deletes the job with them.
func (w *world) suspendAndDelete(t *testing.T) {
	eventually(t, "two pods", func() error { return w.readyPods("job-name=endless", 2) })
	w.kubectl(t, "patch", "job/endless", "--type=merge", "-p", `{"spec":{"suspend":true}}`)
	eventually(t, "no pods", func() error { return w.readyPods("job-name=endless", 0) })
	w.field(t, "job/endless", `.status.conditions[?(@.type=="Suspended")].status`, "True")
	if out := w.kubectl(t, "get", "job", "endless", "-o", "jsonpath={.status.failed}"); out != "" {
		t.Errorf("%s pods have failed, want none", out)
	}
	w.kubectl(t, "patch", "job/endless", "--type=merge", "-p", `{"spec":{"suspend":false}}`)
	eventually(t, "two pods", func() error { return w.readyPods("job-name=endless", 2) })
	w.kubectl(t, "delete", "job/endless", "--wait")
	eventually(t, "no pods", func() error { return w.readyPods("job-name=endless", 0) })
}

func (w *world) cronJobByHand(t *testing.T) {
	expect(t, w.kubectl(t, "get", "cronjob", "yearly"), "@yearly", "Europe/Rome", "False", "<none>")
	w.kubectl(t, "create", "job", "early", "--from=cronjob/yearly")
	w.kubectl(t, "wait", "--for=condition=Complete", "job/early", "--timeout=2m")
	expect(t, w.kubectl(t, "logs", "job/early"), "happy new year")
	owner := w.kubectl(t, "get", "job", "early", "-o", "jsonpath={.metadata.ownerReferences[0].kind}/{.metadata.ownerReferences[0].name}")
	if owner != "CronJob/yearly" {
		t.Errorf("the job belongs to %q", owner)
	}
	w.kubectl(t, "delete", "cronjob/yearly", "--wait")
	eventually(t, "no job", func() error {
		if out, err := w.run("get", "job", "early"); err == nil {
			return fmt.Errorf("it is still there:\n%s", out)
		}
		return nil
	})
	eventually(t, "no pods", func() error { return w.readyPods("job-name=early", 0) })
}
