package controllers

import (
	"fmt"
	"slices"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"

	"github.com/miniorch/miniorch/controllers/control"
	"github.com/miniorch/miniorch/controllers/controllertest"
	"github.com/miniorch/miniorch/controllers/daemonset"
	"github.com/miniorch/miniorch/pkg/api"
	"github.com/miniorch/miniorch/pkg/client"
)

func makeDaemonSets(t client.Transport, informers *client.Informers, cfg control.Config) controllertest.Runner {
	return daemonset.New(t, informers, cfg)
}

// webDaemon is a DaemonSet called "web" that rolls with these limits.
func webDaemon(image string, unavailable, surge int32) *appsv1.DaemonSet {
	return &appsv1.DaemonSet{ObjectMeta: meta("default", "web"), Spec: appsv1.DaemonSetSpec{
		Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}, Template: template(image),
		UpdateStrategy: appsv1.DaemonSetUpdateStrategy{Type: appsv1.RollingUpdateDaemonSetStrategyType, RollingUpdate: &appsv1.RollingUpdateDaemonSet{
			MaxUnavailable: ptr.To(intstr.FromInt32(unavailable)), MaxSurge: ptr.To(intstr.FromInt32(surge)),
		}},
	}}
}

// describeDaemon tells a set and its pods by node.
func describeDaemon(w *world) string {
	d := get[*appsv1.DaemonSet](w, "default", "web")
	var pods []string
	for _, p := range list[*corev1.Pod](w, "default", "app=web") {
		pods = append(pods, fmt.Sprintf("%s=%s/%s", p.Spec.NodeName, p.Spec.Containers[0].Image, p.Status.Phase))
	}
	slices.Sort(pods)
	s := d.Status
	return fmt.Sprintf("%v; desired %d current %d ready %d updated %d available %d mis %d, revisions %d", pods, s.DesiredNumberScheduled, s.CurrentNumberScheduled,
		s.NumberReady, s.UpdatedNumberScheduled, s.NumberAvailable, s.NumberMisscheduled, len(list[*appsv1.ControllerRevision](w, "default", "app=web")))
}

func daemonAtRest(w *controllertest.World) bool {
	d := controllertest.Get[*appsv1.DaemonSet](w, "default", "web")
	s := d.Status
	return s.ObservedGeneration == d.Generation && s.UpdatedNumberScheduled == s.DesiredNumberScheduled && s.NumberAvailable == s.DesiredNumberScheduled &&
		s.NumberMisscheduled == 0 && len(controllertest.List[*corev1.Pod](w, "default", "app=web")) == int(s.DesiredNumberScheduled)
}

// daemonTrial is a set that rolls to v2 and back, loses a pod to a failure, and whose nodes change.
func daemonTrial(name string, unavailable, surge int32) controllertest.Trial {
	image := func(v string) func(*controllertest.World) {
		return func(w *controllertest.World) {
			controllertest.Edit(w, "default", "web", func(d *appsv1.DaemonSet) { d.Spec.Template.Spec.Containers[0].Image = v })
		}
	}
	label := func(node string, value string) func(*controllertest.World) {
		return func(w *controllertest.World) {
			controllertest.Edit(w, "", node, func(n *corev1.Node) { metav1.SetMetaDataLabel(&n.ObjectMeta, "disk", value) })
			w.Tick(10 * time.Second) // so that rest is not called before the change is seen
		}
	}
	rolling := false
	return controllertest.Trial{
		Name: name, Nodes: 4, Controllers: []controllertest.Make{makeDaemonSets}, Leaders: 2, Seeds: 5,
		Begin: func(w *controllertest.World) {
			rolling = false
			for i := range 3 {
				label(fmt.Sprint("node-", i+1), "ssd")(w)
			}
			d := webDaemon("v1", unavailable, surge)
			d.Spec.Template.Spec.NodeSelector = map[string]string{"disk": "ssd"}
			controllertest.Create(w, d)
		},
		Acts: []func(*controllertest.World){
			func(w *controllertest.World) { rolling = true; image("v2")(w) },
			image("v1"),
			func(w *controllertest.World) { rolling = false; fail(w); w.Tick(10 * time.Second) },
			label("node-4", "ssd"),
			label("node-1", "hdd"),
		},
		Always: func(w *controllertest.World, leaders int) {
			checkDaemon(w, rolling && leaders == 1, int(unavailable), int(surge))
		},
		AtRest: daemonAtRest,
		State:  func(w *controllertest.World) string { return describeDaemon(&world{w}) },
	}
}

// fail has one pod of the set end badly.
func fail(w *controllertest.World) {
	p := controllertest.List[*corev1.Pod](w, "default", "app=web")[0].DeepCopy()
	p.Status.Phase = corev1.PodFailed
	if _, err := client.Of[*corev1.Pod](w.Admin).UpdateStatus(w.Context(), p); err != nil {
		w.Error(err)
	}
}

// checkDaemon checks what must hold at all times: the limits of a rollout, and one pod on a node, or two while it surges.
func checkDaemon(w *controllertest.World, rolling bool, unavailable, surge int) {
	ready, active := map[string]int{}, map[string]int{}
	for _, p := range controllertest.List[*corev1.Pod](w, "default", "app=web") {
		if api.IsPodActive(p) && p.Spec.NodeName != "" {
			active[p.Spec.NodeName]++
			if api.IsPodReady(p) {
				ready[p.Spec.NodeName]++
			}
		}
	}
	doubled := 0
	for node, n := range active {
		if n > 1 {
			doubled++
		}
		if n > 1+min(1, surge) {
			w.Errorf("%d pods are on %s", n, node)
		}
	}
	if !rolling {
		return
	}
	if missed := 3 - len(ready); missed > unavailable {
		w.Errorf("%d of 3 nodes have no ready pod, want at most %d", missed, unavailable)
	}
	if doubled > surge {
		w.Errorf("%d nodes have two pods, want at most %d", doubled, surge)
	}
}

// Whatever happens on the way, a DaemonSet ends with the pods of a run without faults, and a rollout
// keeps its limits.
func TestDaemonSetsUnderFaults(t *testing.T) {
	controllertest.Faults(t, daemonTrial("down, then up", 1, 0), daemonTrial("up, then down", 0, 1))
}
