package e2e

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// testRollouts takes new versions through a canary under load: one that is promoted to its end, two whose
// readiness probes fail, one that somebody does not like. Not one request fails. Then a Deployment
// becomes larger and smaller with the load on it.
func (w *world) testRollouts(t *testing.T) {
	manifest, err := os.ReadFile("testdata/rollouts.yaml")
	check(t, err)
	w.apply(t, string(manifest))
	eventually(t, "four pods of the shop", func() error { return w.readyPods("app=shop", 4) })
	l := startLoad(w.Plan.Hosts[2].IP.String()+":30085", 4)
	t.Run("promoted to its end", func(t *testing.T) { w.canaryPromoted(t, l) })
	t.Run("aborted when its pods fail", func(t *testing.T) { w.canaryFails(t, l) })
	t.Run("aborted when its pods never serve", func(t *testing.T) { w.canaryNeverServes(t, l) })
	t.Run("aborted by hand", func(t *testing.T) { w.canaryAborted(t, l) })
	l.end(t)
	w.kubectl(t, "delete", "deploy/shop", "svc/shop", "svc/shop-preview", "--wait")

	t.Run("autoscaler", w.testAutoscaler)
}

// newShop rolls a new template of the shop out; env tells it from the others.
func (w *world) newShop(t *testing.T, version, more string) {
	t.Helper()
	w.kubectl(t, "patch", "deploy/shop", "-p", fmt.Sprintf(`{"spec":{"template":{"spec":{"containers":[{"name":"web","env":[{"name":"DEMO_VERSION","value":%q}]%s}]}}}}`, version, more))
}

// stage waits until the shop's rollout is where the condition's reason and message say.
func (w *world) stage(t *testing.T, reason, message string) {
	t.Helper()
	eventually(t, "the stage "+reason, func() error {
		got := w.kubectl(t, "get", "deploy/shop", "-o", `jsonpath={range .status.conditions[?(@.type=="miniorch.dev/Rollout")]}{.reason}: {.message}{end}`)
		if !strings.HasPrefix(got, reason+": ") || !strings.Contains(got, message) {
			return fmt.Errorf("it is %q, want %q", got, message)
		}
		return nil
	})
}

// onlyServes waits until four pods serve and asks them all who they are.
func (w *world) onlyServes(t *testing.T, version string) {
	t.Helper()
	eventually(t, "four pods of the shop", func() error { return w.readyPods("app=shop", 4) })
	out := w.inPod(t, "deploy/shop", "/bin/demo", "get", "http://shop/", "--count", "40")
	if n := strings.Count(out, "demo "+version+" in pod"); n != 4 || strings.Count(out, "in pod") != 4 {
		t.Errorf("want answers of four pods of %s:\n%s", version, out)
	}
}

// serves waits until the clients of the Service have met a version.
func (l *load) serves(t *testing.T, version string) {
	t.Helper()
	eventually(t, "an answer of "+version, func() error {
		if l.answeredBy(version) == 0 {
			return fmt.Errorf("none in %d requests", l.answered.Load())
		}
		return nil
	})
}

func (w *world) canaryPromoted(t *testing.T, l *load) {
	w.newShop(t, "v2", "")
	w.stage(t, "Paused", "step 1 of 3, 25% of the pods are to be new: waits to be promoted")
	l.serves(t, "v2")
	expect(t, w.kubectl(t, "get", "replicasets", "-l", "app=shop", "-o", "jsonpath={.items[*].status.readyReplicas}"), "3", "1")
	preview := w.inPod(t, "deploy/shop", "/bin/demo", "get", "http://shop-preview/", "--count", "20")
	expect(t, preview, "20  demo v2 in pod", "0  failed")
	expect(t, w.kubectl(t, "rollout", "promote", "deployment/shop"), "deployment.apps/shop promoted (revision 2, step 1)")
	w.stage(t, "Finished", "all pods are to be of the newest revision")
	w.onlyServes(t, "v2")
	expect(t, w.kubectl(t, "rollout", "status", "deployment/shop"), "successfully rolled out")
	steps := []string{"revision 2 begins", "step 1 (25% pause) is reached: 1 of 4 pods are new", "step 2 (50% pause 1s) is reached: 2 of 4", "step 3 (100%) is reached: 4 of 4", "the rollout is finished"}
	expect(t, w.kubectl(t, "rollout", "story", "deployment/shop"), steps...)
	w.told(t, "RolloutStep", steps...)
}

// canaryFails: a pod that served gets sick, and nobody has to do anything.
func (w *world) canaryFails(t *testing.T, l *load) {
	w.newShop(t, "v3", "")
	w.stage(t, "Paused", "step 1 of 3")
	l.serves(t, "v3")
	w.inPod(t, "deploy/shop", "/bin/demo", "get", "http://shop-preview/sick")
	w.stage(t, "Aborted", "revision 3 was given up at step 1: 1 of 1 new pods are not available")
	w.onlyServes(t, "v2")
	w.isAborted(t, "revision 3 begins", "step 1 (25% pause) is reached: 1 of 4 pods are new", "step 1: 1 of 1 new pods are not available")
}

// canaryNeverServes: a pod that is never ready gets no request.
func (w *world) canaryNeverServes(t *testing.T, l *load) {
	w.kubectl(t, "patch", "deploy/shop", "-p", `{"spec":{"progressDeadlineSeconds":3}}`)
	w.newShop(t, "v4", `,"readinessProbe":{"httpGet":{"path":"/readyz","port":9}}`)
	w.stage(t, "Aborted", "revision 4 was given up at step 1: the new pods did not become available within 3s")
	w.onlyServes(t, "v2")
	w.isAborted(t, "revision 4 begins", "step 1: the new pods did not become available within 3s")
	if n := l.answeredBy("v4"); n > 0 {
		t.Errorf("%d requests went to pods that were not ready", n)
	}
	w.kubectl(t, "patch", "deploy/shop", "-p", `{"spec":{"progressDeadlineSeconds":60}}`)
}

func (w *world) canaryAborted(t *testing.T, l *load) {
	w.newShop(t, "v5", `,"readinessProbe":{"httpGet":{"path":"/readyz","port":8080}}`)
	w.stage(t, "Paused", "step 1 of 3")
	l.serves(t, "v5")
	expect(t, w.kubectl(t, "rollout", "abort", "deployment/shop"), "deployment.apps/shop aborted (revision 5)")
	w.stage(t, "Aborted", "revision 5 was given up at step 1: aborted by hand")
	w.onlyServes(t, "v2")
	w.isAborted(t, "step 1: aborted by hand")
}

// isAborted looks for what happened where users look.
func (w *world) isAborted(t *testing.T, story ...string) {
	t.Helper()
	expect(t, w.kubectl(t, "get", "deploy/shop", "-o", `jsonpath={.status.conditions[?(@.type=="Progressing")]}`), `"status":"False"`, "ProgressDeadlineExceeded", "was given up at step 1")
	if out, err := w.run("rollout", "status", "deployment/shop"); err == nil {
		t.Errorf("kubectl calls an aborted rollout finished:\n%s", out)
	}
	expect(t, w.kubectl(t, "rollout", "story", "deployment/shop"), story...)
	w.told(t, "RolloutAborted", story[len(story)-1])
}

// told waits until the shop has events with the reason that say so.
func (w *world) told(t *testing.T, reason string, messages ...string) {
	t.Helper()
	eventually(t, "events "+reason, func() error {
		out := w.kubectl(t, "get", "events", "--field-selector=involvedObject.name=shop,reason="+reason)
		for _, message := range messages {
			if !strings.Contains(out, message) {
				return fmt.Errorf("want %q in:\n%s", message, out)
			}
		}
		return nil
	})
}

// testAutoscaler: the nodes' own counters say how much a Deployment has to do, and it becomes as large as that.
func (w *world) testAutoscaler(t *testing.T) {
	eventually(t, "a measurement", func() error {
		out := w.kubectl(t, "get", "hpa/elastic", "-o", "jsonpath={.status.conditions[*].reason} {.status.currentMetrics[*].resource.current}")
		if !strings.Contains(out, "ValidMetricFound") || !strings.Contains(out, "averageUtilization") {
			return fmt.Errorf("it says %s", out)
		}
		return nil
	})
	size := func(n int) {
		t.Helper()
		eventually(t, fmt.Sprintf("%d pods", n), func() error { return w.readyPods("app=elastic", n) })
	}
	size(1)
	// One processor's fifth: four times what one pod is to have.
	w.kubectl(t, "run", "shoppers", "--image=miniorch/demo:v1", "--restart=Never", "--command", "--",
		"/bin/demo", "get", "http://elastic/burn?cpu=20ms", "--count=1000000", "--interval=60ms")
	size(2)
	size(3)
	eventually(t, "the bound to be told", func() error {
		if out := w.kubectl(t, "describe", "hpa", "elastic"); !strings.Contains(out, "TooManyReplicas") {
			return fmt.Errorf("it says:\n%s", out)
		}
		return nil
	})
	expect(t, w.kubectl(t, "top", "pods", "-l", "app=elastic"), "elastic-", "m ")
	w.kubectl(t, "delete", "pod", "shoppers", "--wait")
	size(1)
	expect(t, w.kubectl(t, "get", "events", "--field-selector=involvedObject.name=elastic,reason=SuccessfulRescale"),
		"New size: 2; reason: cpu resource utilization (percentage of request) above target", "New size: 3;", "New size: 1; reason: All metrics below target")
	w.kubectl(t, "delete", "deploy/elastic", "hpa/elastic", "svc/elastic", "--wait")
}
