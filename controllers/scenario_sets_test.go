package controllers

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/miniorch/miniorch/controllers/controllertest"
	"github.com/miniorch/miniorch/pkg/api"
	"github.com/miniorch/miniorch/pkg/client"
)

// runOnSets runs the commands about StatefulSets and DaemonSets; ok is false for others.
func (w *world) runOnSets(words []string) (ok bool) {
	w.Helper()
	arg := func(i int) string { return words[min(i, len(words)-1)] }
	number := func(i int) *int32 {
		n, err := strconv.ParseInt(arg(i), 10, 32)
		if err != nil {
			w.Fatal(err)
		}
		return ptr.To(int32(n))
	}
	switch words[0] {
	case "statefulset": // statefulset <replicas> <image>
		create(w, webStateful(*number(1), arg(2)))
	case "daemonset": // daemonset <image>
		create(w, webDaemon(arg(1), 1, 0))
	case "stateful-image":
		edit(w, "default", "web", func(s *appsv1.StatefulSet) { s.Spec.Template.Spec.Containers[0].Image = arg(1) })
	case "stateful-scale":
		edit(w, "default", "web", func(s *appsv1.StatefulSet) { s.Spec.Replicas = number(1) })
	case "partition":
		edit(w, "default", "web", func(s *appsv1.StatefulSet) { s.Spec.UpdateStrategy.RollingUpdate.Partition = number(1) })
	case "daemon-image":
		edit(w, "default", "web", func(d *appsv1.DaemonSet) { d.Spec.Template.Spec.Containers[0].Image = arg(1) })
	case "daemon-selector": // daemon-selector <label>: only nodes with it
		edit(w, "default", "web", func(d *appsv1.DaemonSet) { d.Spec.Template.Spec.NodeSelector = map[string]string{arg(1): ""} })
	case "label": // label <node> <label>
		edit(w, "", arg(1), func(n *corev1.Node) { metav1.SetMetaDataLabel(&n.ObjectMeta, arg(2), "") })
	case "evict": // evict <pod>: it fails
		controllertest.EditStatus(w, "default", arg(1), func(p *corev1.Pod) { p.Status.Phase, p.Status.Reason = corev1.PodFailed, "Evicted" })
	case "delete-pod":
		if err := client.Of[*corev1.Pod](w.Admin).Delete(w.Context(), "default", arg(1), metav1.DeleteOptions{}); err != nil {
			w.Fatal(err)
		}
	default:
		return false
	}
	return true
}

// tableOfSets prints what `get` knows of StatefulSets, DaemonSets, their pods and claims.
func (w *world) tableOfSets(what string, row func(cells ...any)) (ok bool) {
	w.Helper()
	pods := list[*corev1.Pod](w, "default", "app=web")
	slices.SortFunc(pods, func(a, b *corev1.Pod) int {
		return cmp.Or(cmp.Compare(a.Spec.NodeName, b.Spec.NodeName), cmp.Compare(a.Name, b.Name))
	})
	switch what {
	case "statefulsets":
		row("NAME", "READY", "CURRENT", "UPDATED")
		for _, s := range list[*appsv1.StatefulSet](w, "default", "") {
			row(s.Name, fmt.Sprintf("%d/%d", s.Status.ReadyReplicas, *s.Spec.Replicas), s.Status.CurrentReplicas, s.Status.UpdatedReplicas)
		}
	case "daemonsets":
		row("NAME", "DESIRED", "CURRENT", "READY", "UP-TO-DATE", "AVAILABLE")
		for _, d := range list[*appsv1.DaemonSet](w, "default", "") {
			s := d.Status
			row(d.Name, s.DesiredNumberScheduled, s.CurrentNumberScheduled, s.NumberReady, s.UpdatedNumberScheduled, s.NumberAvailable)
		}
	case "pods": // of a StatefulSet
		row("NAME", "IMAGE", "STATE")
		slices.SortFunc(pods, func(a, b *corev1.Pod) int { return cmp.Compare(a.Name, b.Name) })
		for _, p := range pods {
			row(p.Name, p.Spec.Containers[0].Image, stateOf(p))
		}
	case "daemons": // pods of a DaemonSet: their names are no matter
		row("NODE", "IMAGE", "STATE")
		for _, p := range pods {
			row(p.Spec.NodeName, p.Spec.Containers[0].Image, stateOf(p))
		}
	case "claims":
		row("NAME", "OWNERS")
		for _, c := range list[*corev1.PersistentVolumeClaim](w, "default", "") {
			row(c.Name, len(c.OwnerReferences))
		}
	default:
		return false
	}
	return true
}

func stateOf(p *corev1.Pod) string {
	switch {
	case p.DeletionTimestamp != nil:
		return "Terminating"
	case api.IsPodReady(p):
		return "Ready"
	}
	return string(p.Status.Phase)
}
