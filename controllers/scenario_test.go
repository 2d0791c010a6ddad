package controllers

import (
	"cmp"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/miniorch/miniorch/pkg/api"
)

var rewrite = flag.Bool("rewrite", false, "write what happened into the scenarios instead of comparing")

// TestScenarios plays testdata/*.txt: lines that start with "> " are commands, what follows up
// to an empty line is what they print. Run with -rewrite after a change and read the diff.
func TestScenarios(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenarios: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var got string
			inWorld(t, 2, nil, func(w *world) { got = w.play(string(text)) })
			if *rewrite {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			} else if got != string(text) {
				t.Errorf("the scenario went otherwise:\n%s", got)
			}
		})
	}
}

// play runs the commands of a scenario and returns it with what they print.
func (w *world) play(text string) string {
	var out strings.Builder
	printing := false // between a command and the next empty line: old output, left out
	for _, line := range strings.Split(strings.TrimRight(text, "\n"), "\n") {
		command, ok := strings.CutPrefix(line, "> ")
		switch {
		case ok:
			printing = true
			fmt.Fprintf(&out, "%s\n%s", line, w.run(strings.Fields(command)))
		case line == "":
			printing = false
			fmt.Fprintln(&out)
		case !printing:
			fmt.Fprintln(&out, line)
		}
	}
	return out.String()
}

func (w *world) run(words []string) string {
	w.Helper()
	arg := func(i int) string { return words[min(i, len(words)-1)] }
	switch words[0] {
	case "deploy": // deploy <replicas> <image>
		n, _ := strconv.Atoi(arg(1))
		create(w, webDeployment(int32(n), arg(2)))
		create(w, webService())
	case "image": // image <image>: a new template
		edit(w, "default", "web", setImage(arg(1)))
	case "scale":
		n, _ := strconv.ParseInt(arg(1), 10, 32)
		size := int32(n)
		edit(w, "default", "web", func(d *appsv1.Deployment) { d.Spec.Replicas = &size })
	case "pause", "resume":
		edit(w, "default", "web", func(d *appsv1.Deployment) { d.Spec.Paused = words[0] == "pause" })
	case "break": // break <image>: its pods never become ready
		w.Machines.Sicken(arg(1), true)
	case "kill", "revive":
		w.Machines.Kill(arg(1), words[0] == "kill")
	case "delete": // delete <propagation>
		remove[*appsv1.Deployment](w, "default", "web", metav1.DeletionPropagation(arg(1)))
	case "tick":
		d, err := time.ParseDuration(arg(1))
		if err != nil {
			w.Fatal(err)
		}
		w.Tick(d)
	case "get":
		return w.table(arg(1))
	default:
		if !w.runOnSets(words) {
			w.Fatalf("unknown command %q", words)
		}
	}
	return ""
}

// table prints objects as kubectl does, without what depends on chance.
func (w *world) table(what string) string {
	w.Helper()
	var b strings.Builder
	tab := tabwriter.NewWriter(&b, 0, 8, 3, ' ', 0)
	row := func(cells ...any) {
		for _, c := range cells {
			fmt.Fprintf(tab, "%v\t", c)
		}
		fmt.Fprintln(tab)
	}
	switch what {
	case "deployments":
		row("NAME", "READY", "UP-TO-DATE", "AVAILABLE", "PROGRESSING")
		for _, d := range list[*appsv1.Deployment](w, "default", "") {
			row(d.Name, fmt.Sprintf("%d/%d", d.Status.ReadyReplicas, *d.Spec.Replicas), d.Status.UpdatedReplicas, d.Status.AvailableReplicas, progress(d))
		}
	case "replicasets":
		row("IMAGE", "REVISION", "DESIRED", "CURRENT", "READY")
		sets := list[*appsv1.ReplicaSet](w, "default", "app=web")
		slices.SortFunc(sets, func(a, b *appsv1.ReplicaSet) int {
			return cmp.Compare(a.Spec.Template.Spec.Containers[0].Image, b.Spec.Template.Spec.Containers[0].Image)
		})
		for _, rs := range sets {
			row(rs.Spec.Template.Spec.Containers[0].Image, rs.Annotations[api.AnnotationRevision], *rs.Spec.Replicas, rs.Status.Replicas, rs.Status.ReadyReplicas)
		}
	case "nodes":
		row("NAME", "READY", "PODS", "ENDPOINTS", "TAINTS")
		for _, n := range list[*corev1.Node](w, "", "") {
			row(n.Name, api.NodeCondition(n, corev1.NodeReady).Status, w.podsOn(n.Name), w.endpointsOn(n.Name), cmp.Or(w.taints(n.Name), "<none>"))
		}
	case "decisions":
		for _, r := range w.Decisions.Since(0) {
			if r.Component == "controller/deployment" && r.Error == "" { // a stale view loses a conflict now and then
				row(r.Object.Name, strings.NewReplacer(w.hashes()...).Replace(r.Plan))
			}
		}
	default:
		if !w.tableOfSets(what, row) {
			w.Fatalf("get what? %q", what)
		}
	}
	tab.Flush()
	lines := strings.Split(b.String(), "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	return strings.Join(lines, "\n")
}

func progress(d *appsv1.Deployment) string {
	for _, c := range d.Status.Conditions {
		if c.Type == appsv1.DeploymentProgressing {
			return c.Reason
		}
	}
	return "<none>"
}

// hashes pairs the names of sets with those of their images.
func (w *world) hashes() (pairs []string) {
	for _, rs := range list[*appsv1.ReplicaSet](w, "default", "app=web") {
		pairs = append(pairs, rs.Name, "web("+rs.Spec.Template.Spec.Containers[0].Image+")")
	}
	return pairs
}

func (w *world) podsOn(node string) (n int) {
	for _, p := range list[*corev1.Pod](w, "default", "app=web") {
		if p.Spec.NodeName == node && api.IsPodActive(p) {
			n++
		}
	}
	return n
}
