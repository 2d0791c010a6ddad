package apiserver_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// kubectl runs the kubectl on the PATH against a cluster, with a home of its own.
type kubectl struct {
	path, home, config string
}

func newKubectl(t *testing.T, c *cluster) kubectl {
	t.Helper()
	path, err := exec.LookPath("kubectl")
	if err != nil {
		t.Skip("there is no kubectl on the PATH")
	}
	home := t.TempDir()
	config := filepath.Join(home, "config")
	if err := c.security.WriteAdminKubeconfig(config, c.url, "test"); err != nil {
		t.Fatal(err)
	}
	return kubectl{path, home, config}
}

// run returns both outputs together and whether kubectl was content.
func (k kubectl) run(t *testing.T, stdin string, args ...string) (string, bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, k.path, args...)
	cmd.Env = append(os.Environ(), "HOME="+k.home, "KUBECONFIG="+k.config)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	return string(out), err == nil
}

const manifest = `
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: default, namespace: shop}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop, labels: {app: web}}
spec:
  replicas: 3
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - {name: c, image: miniorch/demo, ports: [{containerPort: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec:
  selector: {app: web}
  ports: [{port: 80}]
---
apiVersion: v1
kind: Pod
metadata: {name: two, namespace: shop}
spec:
  containers:
  - {name: a, image: miniorch/demo}
  - {name: b, image: miniorch/demo}
`

// TestKubectl is a person's day with an unmodified kubectl.
func TestKubectl(t *testing.T) {
	c := startCluster(t)
	k := newKubectl(t, c)
	bad := strings.NewReplacer("replicas: 3", "replicaz: 3", "{app: web}}\n    spec", "{app: other}}\n    spec").Replace(manifest)
	manifest4 := strings.Replace(manifest, "replicas: 3", "replicas: 4", 1)
	steps := []struct {
		name  string
		args  string
		stdin string
		fails bool
		want  []string
	}{
		{name: "version", args: "version", want: []string{"Server Version: v1.37.0+miniorch"}},
		{name: "cluster-info", args: "cluster-info", want: []string{"is running at " /* coloured */}},
		{name: "api-resources", args: "api-resources", want: []string{"deploy       apps/v1", "endpointslices"}},
		{name: "apply", args: "apply -f -", stdin: manifest, want: []string{"namespace/shop created", "deployment.apps/web created", "service/web created", "pod/two created"}},
		{name: "apply again", args: "apply -f -", stdin: manifest, want: []string{"namespace/shop unchanged", "deployment.apps/web unchanged", "service/web unchanged", "pod/two unchanged"}},
		{name: "apply a change", args: "apply -f -", stdin: strings.Replace(manifest, "replicas: 3", "replicas: 4", 1), want: []string{"deployment.apps/web configured"}},
		{name: "diff", args: "diff -f -", stdin: strings.Replace(manifest, "replicas: 3", "replicas: 9", 1), fails: true, want: []string{"-  replicas: 4", "+  replicas: 9"}},
		{name: "unknown field", args: "apply -f -", stdin: bad, fails: true, want: []string{`strict decoding error: unknown field "spec.replicaz"`}},
		{name: "invalid", args: "apply --validate=warn -f -", stdin: bad, fails: true, want: []string{`Warning: unknown field "spec.replicaz"`, "spec.template.metadata.labels: Invalid value"}},
		{name: "get", args: "get deploy,svc,pod -n shop", want: []string{"READY   UP-TO-DATE   AVAILABLE   AGE", "0/4", "ClusterIP", "Pending"}},
		{name: "get wide", args: "get deploy -n shop -o wide", want: []string{"CONTAINERS   IMAGES          SELECTOR", "miniorch/demo"}},
		{name: "get all", args: "get all -A", want: []string{"service/kubernetes", "deployment.apps/web"}},
		{name: "get YAML", args: "get pod two -n shop -o yaml", want: []string{"apiVersion: v1\nkind: Pod\n", "restartPolicy: Always", "phase: Pending"}},
		{name: "jsonpath", args: "get deploy web -n shop -o jsonpath={.spec.replicas}", want: []string{"4"}},
		{name: "selector", args: "get pods -A -l app=nothing", want: []string{"No resources found"}},
		{name: "field selector", args: "get pods -A --field-selector=metadata.name=two -o name", want: []string{"pod/two"}},
		{name: "sort", args: "get ns --sort-by=.metadata.name", want: []string{"shop"}},
		{name: "describe", args: "describe deployment web -n shop", want: []string{"Replicas:", "4 desired", "RollingUpdateStrategy"}},
		{name: "describe pod", args: "describe pod two -n shop", want: []string{"Status:           Pending", "Events:"}},
		{name: "explain", args: "explain deployment.spec.strategy.rollingUpdate.maxSurge", want: []string{"FIELD: maxSurge <IntOrString>", "The maximum number of pods"}},
		{name: "explain recursive", args: "explain pod.spec.containers --recursive", want: []string{"livenessProbe\t<Probe>", "-required-"}},
		{name: "scale", args: "scale deploy web -n shop --replicas=6", want: []string{"deployment.apps/web scaled"}},
		{name: "status", args: "get deploy web -n shop --subresource=status", want: []string{"READY   UP-TO-DATE"}},
		{name: "the scale itself", args: "get deploy web -n shop --subresource=scale -o yaml", want: []string{"kind: Scale", "replicas: 6"}},
		{name: "scaled", args: "get deploy web -n shop -o jsonpath={.spec.replicas}", want: []string{"6"}},
		{name: "label", args: "label pod two -n shop tier=front", want: []string{"pod/two labeled"}},
		{name: "annotate", args: "annotate pod two -n shop note=hello", want: []string{"pod/two annotated"}},
		{name: "patch", args: `patch deploy web -n shop --type=json -p [{"op":"replace","path":"/spec/replicas","value":2}]`, want: []string{"patched"}},
		{name: "set image", args: "set image deploy/web c=miniorch/demo:2 -n shop", want: []string{"image updated"}},
		{name: "immutable field", args: `patch deploy web -n shop -p {"spec":{"selector":{"matchLabels":{"app":"x"}}}}`, fails: true, want: []string{"field is immutable"}},
		{name: "logs of nothing", args: "logs two -n shop -c a", want: []string{""}},
		{name: "logs of a container that is not there", args: "logs two -n shop -c z", fails: true, want: []string{"container z is not valid for pod two"}},
		{name: "create token", args: "create token default -n shop", want: []string{"eyJ"}},
		{name: "dry run", args: "create configmap dry --from-literal=a=b --dry-run=server", want: []string{"configmap/dry created (server dry run)"}},
		{name: "dry run left nothing", args: "get configmap dry", fails: true, want: []string{`configmaps "dry" not found`}},
		{name: "secret", args: "create secret generic s --from-literal=a=b -n shop", want: []string{"secret/s created"}},
		{name: "wait", args: "wait --for=jsonpath={.status.phase}=Pending pod/two -n shop --timeout=10s", want: []string{"condition met"}},
		{name: "server-side apply against kubectl's own earlier writes", args: "apply --server-side -f -", stdin: manifest4, fails: true, want: []string{`conflicts with "kubectl-patch" using apps/v1:`, `.spec.template.spec.containers[name="c"].image`, "service/web serverside-applied"}},
		{name: "server-side apply by force", args: "apply --server-side --force-conflicts -f -", stdin: manifest, want: []string{"deployment.apps/web serverside-applied"}},
		{name: "server-side apply against another", args: "apply --server-side --field-manager=other -f -", stdin: manifest4, fails: true, want: []string{`conflict with "kubectl": .spec.replicas`}},
		{name: "server-side apply by another by force", args: "apply --server-side --field-manager=other --force-conflicts -f -", stdin: manifest4, want: []string{"deployment.apps/web serverside-applied"}},
		{name: "server-side dry run", args: "apply --server-side --dry-run=server --field-manager=other -f -", stdin: "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: dry}\n", want: []string{"configmap/dry serverside-applied (server dry run)"}},
		{name: "owners", args: "get deploy web -n shop -o yaml --show-managed-fields", want: []string{"manager: other", "operation: Apply"}},
		{name: "diff on the server", args: "diff --server-side --field-manager=other -f -", stdin: strings.Replace(manifest4, "replicas: 4", "replicas: 8", 1), fails: true, want: []string{"+  replicas: 8"}},
		{name: "replace", args: "replace --force -f -", stdin: "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: r}\ndata: {a: b}\n", want: []string{"configmap/r replaced"}},
		{name: "delete", args: "delete pod two -n shop --force --grace-period=0", want: []string{"force deleted"}},
		{name: "delete with foreground", args: "delete cm r --cascade=foreground --wait=false", want: []string{`configmap "r" deleted`}},
		{name: "no such type", args: "get gadgets", fails: true, want: []string{`the server doesn't have a resource type "gadgets"`}},
		{name: "raw", args: "get --raw /readyz?verbose", want: []string{"readyz check passed"}},
	}
	for _, step := range steps {
		t.Run(step.name, func(t *testing.T) {
			out, ok := k.run(t, step.stdin, strings.Fields(step.args)...)
			if ok == step.fails {
				t.Errorf("kubectl %s: success %v\n%s", step.args, ok, out)
			}
			for _, want := range step.want {
				if !strings.Contains(out, want) {
					t.Errorf("kubectl %s: no %q in\n%s", step.args, want, out)
				}
			}
		})
	}
}
