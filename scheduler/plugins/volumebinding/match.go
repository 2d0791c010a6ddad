package volumebinding

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/miniorch/miniorch/pkg/claims"
	"github.com/miniorch/miniorch/scheduler/framework"
)

// The sentences that users read.
var (
	unbound    = framework.RefuseForGood("pod has unbound immediate PersistentVolumeClaims")
	conflict   = framework.RefuseForGood("node(s) had volume node affinity conflict")
	noVolumes  = framework.RefuseForGood("node(s) didn't find available persistent volumes to bind")
	noRoom     = framework.RefuseForGood("node(s) did not have enough free storage")
	lostVolume = framework.RefuseForGood("node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)")
)

func refuse(format string, args ...any) *framework.Status {
	return framework.RefuseForGood(fmt.Sprintf(format, args...))
}

func key(c *corev1.PersistentVolumeClaim) string { return c.Namespace + "/" + c.Name }

// openClaim is a claim that is still to be bound, with what could be bound to it: worked out
// once for all nodes.
type openClaim struct {
	claim  *corev1.PersistentVolumeClaim
	class  *storagev1.StorageClass
	byHost map[string][]*corev1.PersistentVolume // volumes on one host, by its hostname label
	other  []*corev1.PersistentVolume            // volumes that may be anywhere
	room   []*storagev1.CSIStorageCapacity       // nil: nobody says how much room there is
	asks   bool                                  // whether the driver says how much room there is
}

// plan is what will be done for a pod's open claims on one node.
type plan struct {
	bind      []binding
	provision []*corev1.PersistentVolumeClaim
}

type binding struct {
	volume *corev1.PersistentVolume
	claim  *corev1.PersistentVolumeClaim
}

// opened finds what could be bound to a claim.
func (p *Plugin) opened(c *corev1.PersistentVolumeClaim, class *storagev1.StorageClass) *openClaim {
	o := &openClaim{claim: c, class: class, byHost: map[string][]*corev1.PersistentVolume{}}
	for _, v := range append(p.volumes.ByIndex(heldVolumes, key(c)), p.volumes.ByIndex(freeVolumes, class.Name)...) {
		if host, ok := hostOf(v); ok {
			o.byHost[host] = append(o.byHost[host], v)
		} else {
			o.other = append(o.other, v)
		}
	}
	if d, ok := p.drivers.Get("", class.Provisioner); ok && d.Spec.StorageCapacity != nil && *d.Spec.StorageCapacity {
		o.asks, o.room = true, p.capacities.ByIndex(capacitiesByClass, class.Name)
	}
	return o
}

// hostOf returns the one host that a volume is on, if it says so in the usual way.
func hostOf(v *corev1.PersistentVolume) (string, bool) {
	if v.Spec.NodeAffinity == nil || v.Spec.NodeAffinity.Required == nil || len(v.Spec.NodeAffinity.Required.NodeSelectorTerms) != 1 {
		return "", false
	}
	for _, r := range v.Spec.NodeAffinity.Required.NodeSelectorTerms[0].MatchExpressions {
		if r.Key == corev1.LabelHostname && r.Operator == corev1.NodeSelectorOpIn && len(r.Values) == 1 {
			return r.Values[0], true
		}
	}
	return "", false
}

// bySize puts small claims first: what is left over for large ones is no smaller then.
func bySize(all []*openClaim) {
	slices.SortStableFunc(all, func(a, b *openClaim) int {
		x, y := claims.Request(a.claim), claims.Request(b.claim)
		return x.Cmp(y)
	})
}

// planOn finds a volume for each open claim on the node, or has one provisioned there.
func (p *Plugin) planOn(s *state, node *corev1.Node) (*plan, *framework.Status) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	out := &plan{}
	chosen := map[string]bool{}
	for _, o := range s.open {
		promised, ok := p.promises[key(o.claim)]
		if at := o.claim.Annotations[claims.SelectedNode]; at != "" {
			promised, ok = promise{node: at}, true
		}
		if ok && promised.node != node.Name { // the volume will be elsewhere
			return nil, noVolumes
		}
		if ok && promised.volume == "" {
			out.provision = append(out.provision, o.claim)
			continue
		}
		if v := p.find(o, node, chosen); v != nil {
			chosen[v.Name] = true
			out.bind = append(out.bind, binding{v, o.claim})
			continue
		}
		if st := o.provisionable(node); !st.OK() {
			return nil, st
		}
		out.provision = append(out.provision, o.claim)
	}
	return out, nil
}

// find returns the best volume for a claim on the node that is not promised to another.
func (p *Plugin) find(o *openClaim, node *corev1.Node, chosen map[string]bool) *corev1.PersistentVolume {
	near := o.byHost[node.Labels[corev1.LabelHostname]]
	if len(near)+len(o.other) == 0 {
		return nil
	}
	candidates := make([]*corev1.PersistentVolume, 0, len(near)+len(o.other))
	for _, list := range [][]*corev1.PersistentVolume{near, o.other} {
		for _, v := range list {
			if to, taken := p.taken[v.Name]; !chosen[v.Name] && (!taken || to == key(o.claim)) {
				candidates = append(candidates, v)
			}
		}
	}
	return claims.Search{Claim: o.claim, Node: node, Waiting: true}.Best(candidates)
}

// provisionable says why no volume can be made for the claim on the node; nil if one can.
func (o *openClaim) provisionable(node *corev1.Node) *framework.Status {
	switch {
	case o.class.Provisioner == "" || o.class.Provisioner == claims.NoProvisioner || !topologyAllows(o.class.AllowedTopologies, node):
		return noVolumes
	case o.class.Provisioner == claims.LocalPath && node.Annotations[claims.LocalPathRoot] == "":
		return noRoom
	case o.asks && !o.hasRoom(node):
		return noRoom
	}
	return nil
}

// topologyAllows reports whether volumes of a class may be made for the node.
func topologyAllows(terms []corev1.TopologySelectorTerm, node *corev1.Node) bool {
	return len(terms) == 0 || slices.ContainsFunc(terms, func(t corev1.TopologySelectorTerm) bool {
		return !slices.ContainsFunc(t.MatchLabelExpressions, func(e corev1.TopologySelectorLabelRequirement) bool {
			have, ok := node.Labels[e.Key]
			return !ok || !slices.Contains(e.Values, have)
		})
	})
}

// hasRoom asks what the driver has published about storage that the node reaches.
func (o *openClaim) hasRoom(node *corev1.Node) bool {
	want := claims.Request(o.claim)
	return slices.ContainsFunc(o.room, func(c *storagev1.CSIStorageCapacity) bool {
		limit := c.Capacity
		if c.MaximumVolumeSize != nil {
			limit = c.MaximumVolumeSize
		}
		return limit != nil && limit.Cmp(want) >= 0 && reachable(c, node)
	})
}

// reachable reports whether the node reaches the storage.
func reachable(c *storagev1.CSIStorageCapacity, node *corev1.Node) bool {
	if c.NodeTopology == nil {
		return false
	}
	selector, err := metav1.LabelSelectorAsSelector(c.NodeTopology)
	return err == nil && selector.Matches(labels.Set(node.Labels))
}
