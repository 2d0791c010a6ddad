package clients

import (
	"bufio"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestKubectl is what needs more than one command and its answer; apiserver's own TestKubectl has
// the rest of a person's day.
func TestKubectl(t *testing.T) {
	c := startCluster(t)
	manifest, err := os.ReadFile("testdata/guestbook.yaml")
	check(t, err)
	t.Run("a manifest of many documents", func(t *testing.T) { c.manifest(string(manifest)) })
	t.Run("edit", c.edit)
	t.Run("get --watch", c.watch)
	t.Run("patch in every way", func(t *testing.T) {
		c.run("kubectl", "", `patch deployment frontend --type=strategic -p {"spec":{"template":{"spec":{"containers":[{"name":"web","image":"x:2"}]}}}}`, "patched")
		c.run("kubectl", "", `patch deployment frontend --type=merge -p {"metadata":{"labels":{"stage":"prod"}}}`, "patched")
		c.run("kubectl", "", `patch deployment frontend --type=json -p [{"op":"add","path":"/spec/paused","value":true}]`, "patched")
		c.run("kubectl", "", `patch deployment frontend --subresource=scale --type=merge -p {"spec":{"replicas":7}}`, "patched")
		c.run("kubectl", "", "get deployment frontend -o jsonpath={.spec.template.spec.containers[*].image}/{.metadata.labels.stage}/{.spec.paused}/{.spec.replicas}", "x:2/prod/true/7")
	})
	t.Run("explain", func(t *testing.T) {
		c.run("kubectl", "", "explain deployment --recursive", "maxUnavailable\t<IntOrString>", "terminationGracePeriodSeconds\t<integer>")
		c.run("kubectl", "", "explain service.spec.ports --output=plaintext-openapiv2", "nodePort", "<integer>")
	})
	t.Run("delete by manifest", func(t *testing.T) {
		c.run("kubectl", string(manifest), "delete -f - --wait=false", `deployment.apps "frontend" deleted`, `secret "redis" deleted`)
	})
}

func (c *cluster) manifest(text string) {
	c.run("kubectl", text, "apply --dry-run=server -f -", "deployment.apps/frontend created (server dry run)")
	c.run("kubectl", text, "apply -f -", "deployment.apps/frontend created", "job.batch/seed created", "cronjob.batch/report created", "endpointslice.discovery.k8s.io/legacy created", "lease.coordination.k8s.io/lock created")
	c.run("kubectl", text, "diff -f -")
	c.run("kubectl", text, "apply -f -", "deployment.apps/frontend unchanged", "service/frontend unchanged", "job.batch/seed unchanged", "lease.coordination.k8s.io/lock unchanged")
	changed := strings.Replace(text, "replicas: 3", "replicas: 4", 1)
	c.fail("kubectl", changed, "diff -f -", "-  replicas: 3", "+  replicas: 4")
	c.run("kubectl", changed, "apply -f -", "deployment.apps/frontend configured", "service/frontend unchanged")
	c.run("kubectl", text, "apply --server-side --force-conflicts -f -", "deployment.apps/frontend serverside-applied")
	c.run("kubectl", text, "diff --server-side --force-conflicts -f -")
	pruned := text[:strings.Index(text, "---\n# the cache")]
	c.run("kubectl", pruned, "apply --prune -l app=guestbook --prune-allowlist=core/v1/ConfigMap --prune-allowlist=core/v1/Secret -f -", "secret/redis pruned")
	c.run("kubectl", text, "apply -f -", "secret/redis created")
}

// edit changes an object through an editor, which here is a shell script.
func (c *cluster) edit(t *testing.T) {
	editor := filepath.Join(c.home, "editor")
	t.Setenv("EDITOR", editor)
	t.Setenv("KUBE_EDITOR", "")
	t.Setenv("TMPDIR", c.home) // kubectl keeps what it could not send
	script := func(text string) {
		check(t, os.WriteFile(editor, []byte("#!/bin/sh\n"+text+"\n"), 0o700))
	}
	script(`sed -i 's/colour: green/colour: blue/' "$1"`)
	c.run("kubectl", "", "edit configmap settings", "configmap/settings edited")
	c.run("kubectl", "", "get configmap settings -o jsonpath={.data.colour}", "blue")
	script(`true`)
	c.run("kubectl", "", "edit configmap settings", "Edit cancelled, no changes made")
	script(`sed -i 's/^data:/unknown: 1\ndata:/' "$1"`)
	c.fail("kubectl", "", "edit configmap settings", `configmaps "settings" is invalid`)
	script(`sed -i 's/replicas: .*/replicas: 2/' "$1"`)
	c.run("kubectl", "", "edit deployment frontend", "deployment.apps/frontend edited")
}

// watch follows a list through a change.
func (c *cluster) watch(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	cmd := c.command(ctx, "kubectl", "get", "configmaps", "-l", "app=guestbook", "--watch", "--output-watch-events")
	out, err := cmd.StdoutPipe()
	check(t, err)
	check(t, cmd.Start())
	defer func() { cancel(); _ = cmd.Wait() }()
	lines := bufio.NewScanner(out)
	next := func(want ...string) {
		t.Helper()
		if !lines.Scan() {
			t.Fatalf("the watch ended; wanted %q", want)
		}
		c.demand("get --watch", lines.Text(), want)
	}
	next("EVENT", "NAME", "DATA", "AGE")
	next("ADDED", "settings", "2")
	c.run("kubectl", "", `patch configmap settings -p {"data":{"more":"1"}}`, "patched")
	next("MODIFIED", "settings", "3")
	c.run("kubectl", "", "create configmap later --from-literal=a=b", "created")
	c.run("kubectl", "", "label configmap later app=guestbook", "labeled")
	next("ADDED", "later", "1")
	c.run("kubectl", "", "delete configmap later", "deleted")
	next("DELETED", "later")
}
