package node

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/miniorch/miniorch/kubelet/container"
)

// maxImages is how many images the status lists: the largest.
const maxImages = 50

// RuntimeHandler is what the container runtime of a node is called in RuntimeClasses.
const RuntimeHandler = "runc"

// observed is what the status is decided from, beside the configuration.
type observed struct {
	notReady error
	pressure Pressure
	images   []container.Image
	runtime  string // version of the container runtime; empty: not known now
}

// status returns the status that the Node should have. Conditions of others stay.
func (c Config) status(old *corev1.NodeStatus, o observed, now time.Time) corev1.NodeStatus {
	s := *old.DeepCopy()
	s.Capacity, s.Allocatable = withExtended(c.Capacity, old.Capacity), withExtended(c.Allocatable, old.Capacity)
	s.Addresses = c.addresses()
	s.NodeInfo = c.Info
	if o.runtime != "" {
		s.NodeInfo.ContainerRuntimeVersion = o.runtime
	}
	s.DaemonEndpoints.KubeletEndpoint.Port = c.Port
	s.Images = imageList(o.images)
	s.RuntimeHandlers = []corev1.NodeRuntimeHandler{{Name: ""}, {Name: RuntimeHandler}} // the first is the default
	set := func(t corev1.NodeConditionType, holds bool, reason, message string) {
		setCondition(&s, t, holds, reason, message, now)
	}
	p := o.pressure
	pick := func(bad bool, yes, no string) string {
		if bad {
			return yes
		}
		return no
	}
	set(corev1.NodeMemoryPressure, p.memory(), pick(p.memory(), "KubeletHasInsufficientMemory", "KubeletHasSufficientMemory"),
		pick(p.memory(), "kubelet has insufficient memory available", "kubelet has sufficient memory available"))
	set(corev1.NodeDiskPressure, p.disk(), pick(p.disk(), "KubeletHasDiskPressure", "KubeletHasNoDiskPressure"),
		pick(p.disk(), "kubelet has disk pressure", "kubelet has no disk pressure"))
	set(corev1.NodePIDPressure, p.pids(), pick(p.pids(), "KubeletHasInsufficientPID", "KubeletHasSufficientPID"),
		pick(p.pids(), "kubelet has insufficient PID available", "kubelet has sufficient PID available"))
	if o.notReady != nil {
		set(corev1.NodeReady, false, "KubeletNotReady", o.notReady.Error())
	} else {
		set(corev1.NodeReady, true, "KubeletReady", "kubelet is posting ready status")
	}
	return s
}

// withExtended returns ours with the extended resources that somebody else has advertised in the
// Node's capacity: they are not ours to take away, and all of them may be used.
// https://kubernetes.io/docs/tasks/administer-cluster/extended-resource-node/
func withExtended(ours, capacity corev1.ResourceList) corev1.ResourceList {
	all := corev1.ResourceList{}
	for name, q := range capacity {
		if group, _, extended := strings.Cut(string(name), "/"); extended && group != "kubernetes.io" {
			all[name] = q
		}
	}
	maps.Copy(all, ours)
	return all
}

// setCondition writes a condition. The heartbeat alone is no change; see same.
func setCondition(s *corev1.NodeStatus, t corev1.NodeConditionType, holds bool, reason, message string, now time.Time) {
	at := metav1.NewTime(now).Rfc3339Copy()
	c := corev1.NodeCondition{Type: t, Status: corev1.ConditionFalse, Reason: reason, Message: message, LastHeartbeatTime: at, LastTransitionTime: at}
	if holds {
		c.Status = corev1.ConditionTrue
	}
	for i := range s.Conditions {
		if old := &s.Conditions[i]; old.Type == t {
			if old.Status == c.Status {
				c.LastTransitionTime = old.LastTransitionTime
			}
			*old = c
			return
		}
	}
	s.Conditions = append(s.Conditions, c)
}

func (c Config) addresses() []corev1.NodeAddress {
	var out []corev1.NodeAddress
	for _, ip := range c.IPs {
		out = append(out, corev1.NodeAddress{Type: corev1.NodeInternalIP, Address: ip})
	}
	return append(out, corev1.NodeAddress{Type: corev1.NodeHostName, Address: c.Name})
}

func imageList(images []container.Image) []corev1.ContainerImage {
	sorted := slices.SortedFunc(slices.Values(images), func(a, b container.Image) int {
		return cmp.Or(cmp.Compare(b.Size, a.Size), cmp.Compare(a.ID, b.ID))
	})
	var out []corev1.ContainerImage
	for _, i := range sorted[:min(len(sorted), maxImages)] {
		names := append(slices.Sorted(slices.Values(i.RepoDigests)), slices.Sorted(slices.Values(i.RepoTags))...)
		if len(names) > 0 {
			out = append(out, corev1.ContainerImage{Names: names, SizeBytes: i.Size})
		}
	}
	return out
}

// labels are those that every node has.
func (c Config) labels() map[string]string {
	l := map[string]string{
		corev1.LabelHostname: c.Name, corev1.LabelOSStable: "linux", corev1.LabelArchStable: c.Info.Architecture,
		"beta.kubernetes.io/os": "linux", "beta.kubernetes.io/arch": c.Info.Architecture,
	}
	maps.Copy(l, c.Labels)
	return l
}

// object returns the Node to register.
func (c Config) object() *corev1.Node {
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: c.Name, Labels: c.labels(), Annotations: maps.Clone(c.Annotations)},
		Spec:       corev1.NodeSpec{Taints: c.Taints},
	}
}

// withoutHeartbeats returns a copy for comparison.
func withoutHeartbeats(s corev1.NodeStatus) corev1.NodeStatus {
	s.Conditions = slices.Clone(s.Conditions)
	for i := range s.Conditions {
		s.Conditions[i].LastHeartbeatTime = metav1.Time{}
	}
	return s
}
