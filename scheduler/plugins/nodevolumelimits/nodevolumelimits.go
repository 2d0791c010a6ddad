// Package nodevolumelimits keeps nodes from getting more volumes of a CSI driver than the
// driver says, in the node's CSINode, that can be attached there.
package nodevolumelimits

import (
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"

	"github.com/miniorch/miniorch/pkg/claims"
	"github.com/miniorch/miniorch/pkg/client"
	"github.com/miniorch/miniorch/scheduler/framework"
)

const name = "NodeVolumeLimits"

var (
	full    = framework.Refuse("node(s) exceed max volume count")
	missing = framework.RefuseForGood("node(s) did not have the CSI driver of the pod's volumes")
)

// Plugin is NodeVolumeLimits.
type Plugin struct {
	claims  *client.Informer[*corev1.PersistentVolumeClaim]
	volumes *client.Informer[*corev1.PersistentVolume]
	classes *client.Informer[*storagev1.StorageClass]
	nodes   *client.Informer[*storagev1.CSINode]
	drivers *client.Informer[*storagev1.CSIDriver]
}

// New returns the plugin, which reads through informers.
func New(informers *client.Informers) *Plugin {
	return &Plugin{
		claims:  client.InformerFor[*corev1.PersistentVolumeClaim](informers),
		volumes: client.InformerFor[*corev1.PersistentVolume](informers),
		classes: client.InformerFor[*storagev1.StorageClass](informers),
		nodes:   client.InformerFor[*storagev1.CSINode](informers),
		drivers: client.InformerFor[*storagev1.CSIDriver](informers),
	}
}

// Name returns the plugin's name.
func (*Plugin) Name() string { return name }

// Sign tells that pods with claims or drivers' volumes share with no others.
func (*Plugin) Sign(b []byte, pod *framework.PodInfo) ([]byte, bool) {
	return b, !interesting(pod.Pod)
}

func interesting(pod *corev1.Pod) bool {
	for i := range pod.Spec.Volumes {
		v := &pod.Spec.Volumes[i]
		if n, _ := claims.NameFor(pod, v); n != "" || v.CSI != nil {
			return true
		}
	}
	return false
}

// attached are volumes of drivers: by driver, then by what tells them apart.
type attached map[string]map[string]bool

func (a attached) add(driver, volume string) {
	if a[driver] == nil {
		a[driver] = map[string]bool{}
	}
	a[driver][volume] = true
}

// PreFilter works out which drivers' volumes the pod wants.
func (p *Plugin) PreFilter(state *framework.CycleState, pod *framework.PodInfo, _ framework.Snapshot) *framework.Status {
	if !interesting(pod.Pod) {
		return framework.Skipped
	}
	wanted := attached{}
	p.collect(wanted, pod.Pod)
	if len(wanted) == 0 {
		return framework.Skipped
	}
	state.Put(name, wanted)
	return nil
}

// collect adds a pod's volumes of drivers.
func (p *Plugin) collect(into attached, pod *corev1.Pod) {
	for i := range pod.Spec.Volumes {
		v := &pod.Spec.Volumes[i]
		if v.CSI != nil {
			into.add(v.CSI.Driver, string(pod.UID)+"/"+v.Name) // each pod has its own
			continue
		}
		n, _ := claims.NameFor(pod, v)
		if n == "" {
			continue
		}
		if c, ok := p.claims.Get(pod.Namespace, n); ok {
			p.collectClaim(into, c)
		}
	}
}

func (p *Plugin) collectClaim(into attached, c *corev1.PersistentVolumeClaim) {
	if c.Spec.VolumeName != "" {
		if v, ok := p.volumes.Get("", c.Spec.VolumeName); ok {
			if v.Spec.CSI != nil {
				into.add(v.Spec.CSI.Driver, v.Spec.CSI.VolumeHandle)
			}
			return
		}
	}
	// Not bound yet: whoever provisions for the class will provide it.
	if sc, ok := p.classes.Get("", claims.ClassOf(c)); ok && sc.Provisioner != claims.NoProvisioner && sc.Provisioner != claims.LocalPath {
		into.add(sc.Provisioner, c.Namespace+"/"+c.Name)
	}
}

// Filter counts what is on the node, and what would come.
func (p *Plugin) Filter(state *framework.CycleState, _ *framework.PodInfo, node *framework.NodeInfo) *framework.Status {
	wanted := framework.Value[attached](state, name)
	limits := map[string]int{}
	installed := map[string]bool{}
	if n, ok := p.nodes.Get("", node.Name); ok {
		for _, d := range n.Spec.Drivers {
			installed[d.Name] = true
			if d.Allocatable != nil && d.Allocatable.Count != nil {
				limits[d.Name] = int(*d.Allocatable.Count)
			}
		}
	}
	limited := false
	for driver := range wanted {
		if d, ok := p.drivers.Get("", driver); ok && !installed[driver] && d.Spec.PreventPodSchedulingIfMissing != nil && *d.Spec.PreventPodSchedulingIfMissing {
			return missing
		}
		_, has := limits[driver]
		limited = limited || has
	}
	if !limited {
		return nil
	}
	there := attached{}
	for _, other := range node.Pods {
		if interesting(other.Pod) {
			p.collect(there, other.Pod)
		}
	}
	for driver, volumes := range wanted {
		limit, has := limits[driver]
		more := 0
		for v := range volumes {
			if !there[driver][v] {
				more++
			}
		}
		if has && more > 0 && len(there[driver])+more > limit {
			return full
		}
	}
	return nil
}

// Events reports what may help pods that were refused.
func (p *Plugin) Events(report func(framework.Event)) {
	p.nodes.Handle(func(_, n *storagev1.CSINode) {
		if n != nil {
			report(framework.Event{Kind: "CSINode", New: n})
		}
	})
	p.drivers.Handle(func(_, d *storagev1.CSIDriver) {
		if d != nil {
			report(framework.Event{Kind: "CSIDriver", New: d})
		}
	})
	p.claims.Handle(func(_, c *corev1.PersistentVolumeClaim) {
		if c != nil {
			report(framework.Event{Kind: "PersistentVolumeClaim", New: c})
		}
	})
}
