// Package volumerestrictions keeps pods apart that may not use a volume together: claims with the
// access mode ReadWriteOncePod have one pod in the cluster, and some disks only one writer on a node.
package volumerestrictions

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/miniorch/miniorch/pkg/claims"
	"github.com/miniorch/miniorch/pkg/client"
	"github.com/miniorch/miniorch/scheduler/framework"
)

const name = "VolumeRestrictions"

var (
	inUse    = framework.Refuse("node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode")
	diskUsed = framework.Refuse("node(s) had no available disk")
)

// Plugin is VolumeRestrictions.
type Plugin struct {
	claims *client.Informer[*corev1.PersistentVolumeClaim]
}

// New returns the plugin, which reads through informers.
func New(informers *client.Informers) *Plugin {
	return &Plugin{claims: client.InformerFor[*corev1.PersistentVolumeClaim](informers)}
}

// Name returns the plugin's name.
func (*Plugin) Name() string { return name }

// Sign tells that pods with claims or disks share with no others.
func (*Plugin) Sign(b []byte, pod *framework.PodInfo) ([]byte, bool) {
	return b, len(claims.Names(pod.Pod)) == 0 && !hasDisks(pod.Pod)
}

// PreFilter looks for pods that have what the pod wants for itself: on which nodes they are.
func (p *Plugin) PreFilter(state *framework.CycleState, pod *framework.PodInfo, nodes framework.Snapshot) *framework.Status {
	mine := p.exclusive(pod.Pod)
	if len(mine) == 0 {
		if hasDisks(pod.Pod) {
			return nil
		}
		return framework.Skipped
	}
	users := map[types.UID]string{}
	for i := range nodes.Len() {
		node := nodes.At(i)
		for _, other := range node.Pods {
			if uses(other.Pod, pod.Pod.Namespace, mine) {
				users[other.Pod.UID] = node.Name
			}
		}
	}
	state.Put(name, users)
	return nil
}

// exclusive lists the pod's claims that only one pod may use.
func (p *Plugin) exclusive(pod *corev1.Pod) []string {
	return slices.DeleteFunc(claims.Names(pod), func(n string) bool {
		c, ok := p.claims.Get(pod.Namespace, n)
		return !ok || !slices.Contains(c.Spec.AccessModes, corev1.ReadWriteOncePod)
	})
}

func uses(pod *corev1.Pod, namespace string, names []string) bool {
	if pod.Namespace != namespace || len(pod.Spec.Volumes) == 0 {
		return false
	}
	return slices.ContainsFunc(claims.Names(pod), func(n string) bool { return slices.Contains(names, n) })
}

// Filter refuses every node while another pod has the claim. The node may be asked about without some
// of its pods, to find out whether their going would help.
func (*Plugin) Filter(state *framework.CycleState, pod *framework.PodInfo, node *framework.NodeInfo) *framework.Status {
	for uid, at := range framework.Value[map[types.UID]string](state, name) {
		if at != node.Name || slices.ContainsFunc(node.Pods, func(p *framework.PodInfo) bool { return p.Pod.UID == uid }) {
			return inUse
		}
	}
	if !hasDisks(pod.Pod) {
		return nil
	}
	for i := range pod.Pod.Spec.Volumes {
		v := &pod.Pod.Spec.Volumes[i]
		for _, other := range node.Pods {
			if slices.ContainsFunc(other.Pod.Spec.Volumes, func(o corev1.Volume) bool { return collide(v, &o) }) {
				return diskUsed
			}
		}
	}
	return nil
}

func hasDisks(pod *corev1.Pod) bool {
	return slices.ContainsFunc(pod.Spec.Volumes, func(v corev1.Volume) bool {
		return v.GCEPersistentDisk != nil || v.AWSElasticBlockStore != nil || v.ISCSI != nil || v.RBD != nil
	})
}

// collide reports whether two pods cannot have these volumes on one node, as the volumes' own
// documentation says.
func collide(a, b *corev1.Volume) bool {
	switch {
	case a.GCEPersistentDisk != nil && b.GCEPersistentDisk != nil:
		x, y := a.GCEPersistentDisk, b.GCEPersistentDisk
		return x.PDName == y.PDName && !(x.ReadOnly && y.ReadOnly)
	case a.AWSElasticBlockStore != nil && b.AWSElasticBlockStore != nil:
		return a.AWSElasticBlockStore.VolumeID == b.AWSElasticBlockStore.VolumeID
	case a.ISCSI != nil && b.ISCSI != nil:
		return a.ISCSI.IQN == b.ISCSI.IQN && !(a.ISCSI.ReadOnly && b.ISCSI.ReadOnly)
	case a.RBD != nil && b.RBD != nil:
		x, y := a.RBD, b.RBD
		shared := slices.ContainsFunc(x.CephMonitors, func(m string) bool { return slices.Contains(y.CephMonitors, m) })
		return shared && x.RBDPool == y.RBDPool && x.RBDImage == y.RBDImage && !(x.ReadOnly && y.ReadOnly)
	}
	return false
}

// Events reports what may help pods that were refused. Pods that go, the scheduler sees itself.
func (p *Plugin) Events(report func(framework.Event)) {
	p.claims.Handle(func(_, c *corev1.PersistentVolumeClaim) {
		if c != nil {
			report(framework.Event{Kind: "PersistentVolumeClaim", New: c})
		}
	})
}

// Helps reports whether a pod that had one of the pod's claims went, or one of its claims came.
func (p *Plugin) Helps(pod *framework.PodInfo, e framework.Event) bool {
	switch {
	case e.Kind == framework.PodEvent:
		return e.NewPod == nil && e.OldPod != nil && (uses(e.OldPod.Pod, pod.Pod.Namespace, claims.Names(pod.Pod)) || hasDisks(pod.Pod))
	case e.Kind == framework.NodeEvent:
		return hasDisks(pod.Pod)
	}
	c, ok := e.New.(*corev1.PersistentVolumeClaim)
	return ok && c.Namespace == pod.Pod.Namespace && slices.Contains(claims.Names(pod.Pod), c.Name)
}
