package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"
)

// testClients does ordinary work with the clients that people have: our build of kubectl,
// the one on the PATH, and a client-go informer program.
func (w *world) testClients(t *testing.T) {
	t.Run("miniorchctl", func(t *testing.T) { w.ordinaryWork(t, filepath.Join(w.bin, "miniorchctl")) })
	t.Run("kubectl", func(t *testing.T) {
		program, err := exec.LookPath("kubectl")
		if err != nil {
			t.Skip("there is no kubectl on the PATH")
		}
		w.ordinaryWork(t, program)
	})
	t.Run("informer", w.informer)
}

func (w *world) ordinaryWork(t *testing.T, program string) {
	run := func(input string, args ...string) string {
		t.Helper()
		out, err := command(w.kubeconfig, input, program, args...)
		if err != nil {
			t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, out)
		}
		return out
	}
	manifest, err := os.ReadFile("testdata/work.yaml")
	check(t, err)
	expect(t, run(string(manifest), "apply", "-f", "-"), "namespace/work created", "deployment.apps/web created", "configmap/settings created")
	expect(t, run(string(manifest), "apply", "-f", "-"), "deployment.apps/web unchanged")
	expect(t, run("", "-n", "work", "rollout", "status", "deployment/web", "--timeout=3m"), "successfully rolled out")
	expect(t, run("", "-n", "work", "wait", "--for=condition=Available", "deployment/web", "--timeout=3m"), "condition met")

	expect(t, run("", "-n", "work", "get", "all"), "pod/web-", "service/web", "deployment.apps/web", "replicaset.apps/web-")
	expect(t, run("", "-n", "work", "get", "pods", "-o", "wide"), "READY", "IP", "NODE", strings.TrimSuffix(w.Plan.Pods.Addr().String(), "0.0"))
	expect(t, run("", "-n", "work", "get", "deployment", "web", "-o", "yaml"), "kind: Deployment", "progressDeadlineSeconds: 600")
	expect(t, run("", "-n", "work", "get", "configmap", "settings", "-o", "json"), `"color": "blue"`)
	if got := run("", "-n", "work", "get", "deployment", "web", "-o", "jsonpath={.status.readyReplicas}"); got != "1" {
		t.Errorf("jsonpath: %q, want 1", got)
	}
	expect(t, run("", "-n", "work", "describe", "deployment", "web"), "RollingUpdate", "ScalingReplicaSet")
	expect(t, run("", "-n", "work", "describe", "pod", "-l", "app=web"), "Scheduled", "Pulled", "Created", "Started")

	expect(t, run("", "-n", "work", "logs", "deployment/web"), "serving on")
	expect(t, run("", "-n", "work", "exec", "deployment/web", "--", "/bin/demo", "get", "http://web/"), "demo v1 in pod web-")
	expect(t, run("echoed", "-n", "work", "exec", "-i", "box", "--", "cat"), "echoed")
	if _, err := command(w.kubeconfig, "", program, "-n", "work", "exec", "box", "--", "sh", "-c", "exit 42"); exitCode(err) != 42 {
		t.Errorf("exec returns the command's exit code: %v, want 42", err)
	}
	w.followLogs(t, program)

	run("", "-n", "work", "scale", "deployment/web", "--replicas=3")
	run("", "-n", "work", "rollout", "status", "deployment/web", "--timeout=3m")
	run("", "-n", "work", "patch", "deployment", "web", "--type=json", "-p", `[{"op":"replace","path":"/spec/replicas","value":2}]`)
	run("", "-n", "work", "wait", "deployment/web", "--for=jsonpath={.status.replicas}=2", "--timeout=3m")
	run("", "-n", "work", "label", "pod", "box", "a=b")
	expect(t, run("", "-n", "work", "get", "pods", "-l", "a=b", "-o", "name"), "pod/box")
	expect(t, run("", "explain", "deployment.spec.replicas"), "Number of desired pods")
	run("", "delete", "namespace", "work", "--wait", "--timeout=3m")
	if out, err := command(w.kubeconfig, "", program, "get", "namespace", "work"); err == nil {
		t.Errorf("the namespace is still there:\n%s", out)
	}
}

func exitCode(err error) int {
	if exit, ok := err.(*exec.ExitError); ok {
		return exit.ExitCode()
	}
	return 0
}

// followLogs reads a log while it is written, to its end.
func (w *world) followLogs(t *testing.T, program string) {
	t.Helper()
	if out, err := command(w.kubeconfig, "", program, "-n", "work", "run", "lines", "--image=miniorch/demo:v1", "--restart=Never",
		"--command", "--", "/bin/demo", "lines", "--count=20", "--interval=50ms"); err != nil {
		t.Fatalf("run: %v\n%s", err, out)
	}
	eventually(t, "the container to have started", func() error {
		_, err := command(w.kubeconfig, "", program, "-n", "work", "logs", "lines")
		return err
	})
	out, err := command(w.kubeconfig, "", program, "-n", "work", "logs", "-f", "lines")
	if err != nil || strings.Count(out, "line ") != 20 {
		t.Errorf("logs -f ended with %v after %d of 20 lines:\n%s", err, strings.Count(out, "line "), out)
	}
	if out, err := command(w.kubeconfig, "", program, "-n", "work", "logs", "lines", "--tail=3"); err != nil || out != "line 17\nline 18\nline 19\n" {
		t.Errorf("logs --tail=3: %v\n%s", err, out)
	}
}

// informer runs client-go's shared informer and sees what happens.
func (w *world) informer(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	factory := informers.NewSharedInformerFactoryWithOptions(w.clients, 0, informers.WithNamespace("default"))
	var added, updated, deleted atomic.Int32
	informer := factory.Core().V1().ConfigMaps().Informer()
	_, err := informer.AddEventHandler(cache.FilteringResourceEventHandler{
		FilterFunc: func(o any) bool {
			c, ok := o.(*corev1.ConfigMap)
			return ok && strings.HasPrefix(c.Name, "informed-")
		},
		Handler: cache.ResourceEventHandlerFuncs{
			AddFunc:    func(any) { added.Add(1) },
			UpdateFunc: func(any, any) { updated.Add(1) },
			DeleteFunc: func(any) { deleted.Add(1) },
		},
	})
	check(t, err)
	factory.Start(ctx.Done())
	synced, stop := context.WithTimeout(ctx, patience)
	defer stop()
	if !cache.WaitForCacheSync(synced.Done(), informer.HasSynced) {
		t.Fatal("the informer does not sync")
	}
	objects := w.clients.CoreV1().ConfigMaps("default")
	for i := range 10 {
		object, err := objects.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint("informed-", i)}}, metav1.CreateOptions{})
		check(t, err)
		object.Data = map[string]string{"when": time.Now().String()}
		_, err = objects.Update(ctx, object, metav1.UpdateOptions{})
		check(t, err)
		check(t, objects.Delete(ctx, object.Name, metav1.DeleteOptions{}))
	}
	eventually(t, "the informer's events", func() error {
		if added.Load() != 10 || updated.Load() != 10 || deleted.Load() != 10 {
			return fmt.Errorf("%d added, %d updated, %d deleted; want 10 each", added.Load(), updated.Load(), deleted.Load())
		}
		return nil
	})
	cancel()
	factory.Shutdown()
}
