// Package volumezone keeps pods in the zones and regions that their volumes say they are in, by
// the labels of the volumes. Volumes with a node affinity are volumebinding's business as well.
package volumezone

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"

	"github.com/miniorch/miniorch/pkg/claims"
	"github.com/miniorch/miniorch/pkg/client"
	"github.com/miniorch/miniorch/scheduler/framework"
)

const name = "VolumeZone"

// labels are those by which volumes and nodes say where they are, each with its older name.
var labels = []struct{ key, beta string }{
	{corev1.LabelTopologyZone, corev1.LabelFailureDomainBetaZone},
	{corev1.LabelTopologyRegion, corev1.LabelFailureDomainBetaRegion},
}

// separator parts the values of a volume that is in several zones.
const separator = "__"

var refused = framework.RefuseForGood("node(s) had no available volume zone")

// Plugin is VolumeZone.
type Plugin struct {
	claims  *client.Informer[*corev1.PersistentVolumeClaim]
	volumes *client.Informer[*corev1.PersistentVolume]
	classes *client.Informer[*storagev1.StorageClass]
}

// New returns the plugin, which reads through informers.
func New(informers *client.Informers) *Plugin {
	return &Plugin{
		claims:  client.InformerFor[*corev1.PersistentVolumeClaim](informers),
		volumes: client.InformerFor[*corev1.PersistentVolume](informers),
		classes: client.InformerFor[*storagev1.StorageClass](informers),
	}
}

// Name returns the plugin's name.
func (*Plugin) Name() string { return name }

// Sign tells that pods with claims share with no others.
func (*Plugin) Sign(b []byte, pod *framework.PodInfo) ([]byte, bool) {
	return b, len(claims.Names(pod.Pod)) == 0
}

// demand is one label that a node must have, if it says anything about where it is.
type demand struct {
	key, beta string
	values    []string
}

// PreFilter collects where the pod's volumes are.
func (p *Plugin) PreFilter(state *framework.CycleState, pod *framework.PodInfo, _ framework.Snapshot) *framework.Status {
	var demands []demand
	for _, n := range claims.Names(pod.Pod) {
		c, ok := p.claims.Get(pod.Pod.Namespace, n)
		if !ok {
			return framework.RefuseForGood(fmt.Sprintf("persistentvolumeclaim %q not found", n))
		}
		if c.Spec.VolumeName == "" {
			if class, ok := p.classes.Get("", claims.ClassOf(c)); ok && claims.Waits(class) {
				continue // its volume will be where the pod is
			}
			return framework.RefuseForGood("PersistentVolumeClaim had no pv name and storageClass name")
		}
		v, ok := p.volumes.Get("", c.Spec.VolumeName)
		if !ok {
			return framework.RefuseForGood(fmt.Sprintf("persistentvolume %q not found", c.Spec.VolumeName))
		}
		demands = append(demands, demandsOf(v)...)
	}
	if len(demands) == 0 {
		return framework.Skipped
	}
	state.Put(name, demands)
	return nil
}

func demandsOf(v *corev1.PersistentVolume) []demand {
	var all []demand
	for _, l := range labels {
		for _, key := range []string{l.key, l.beta} {
			if value := v.Labels[key]; value != "" {
				all = append(all, demand{l.key, l.beta, strings.Split(value, separator)})
			}
		}
	}
	return all
}

// Filter compares with where the node is. A cluster whose nodes do not say is in one place.
func (*Plugin) Filter(state *framework.CycleState, _ *framework.PodInfo, node *framework.NodeInfo) *framework.Status {
	if node.Node == nil || !located(node.Node) {
		return nil
	}
	for _, d := range framework.Value[[]demand](state, name) {
		if !d.met(node.Node) {
			return refused
		}
	}
	return nil
}

func located(n *corev1.Node) bool {
	for _, l := range labels {
		if n.Labels[l.key] != "" || n.Labels[l.beta] != "" {
			return true
		}
	}
	return false
}

func (d demand) met(n *corev1.Node) bool {
	for _, key := range []string{d.key, d.beta} {
		have, ok := n.Labels[key]
		for _, want := range d.values {
			if ok && have == want {
				return true
			}
		}
	}
	return false
}

// Events reports what may help pods that were refused.
func (p *Plugin) Events(report func(framework.Event)) {
	p.claims.Handle(func(_, c *corev1.PersistentVolumeClaim) {
		if c != nil {
			report(framework.Event{Kind: "PersistentVolumeClaim", New: c})
		}
	})
	p.volumes.Handle(func(_, v *corev1.PersistentVolume) {
		if v != nil {
			report(framework.Event{Kind: "PersistentVolume", New: v})
		}
	})
	p.classes.Handle(func(_, sc *storagev1.StorageClass) {
		if sc != nil {
			report(framework.Event{Kind: "StorageClass", New: sc})
		}
	})
}
