package framework

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// NodeInfo is a node with the pods that are on it, assumed ones too, and their sums. It is
// immutable: a change makes another NodeInfo, so equal pointers mean that nothing changed.
type NodeInfo struct {
	Name        string
	Node        *corev1.Node // nil: pods name this node, but there is no such node
	Allocatable Resources
	Pods        []*PodInfo
	Requested   Resources // sum of the pods' Requests
	Assumed     Resources // sum of the pods' Assumed
	Ports       []HostPort
	Owners      []OwnerCount
}

// OwnerCount is how many pods of one controller are on a node.
type OwnerCount struct {
	Owner types.UID
	Count int
}

// NewNodeInfo returns an empty node: n, or just a name if n is nil.
func NewNodeInfo(name string, n *corev1.Node) *NodeInfo {
	return (&NodeInfo{Name: name}).WithNode(n)
}

// WithNode returns i with another version of the node, or without one.
func (i *NodeInfo) WithNode(n *corev1.Node) *NodeInfo {
	c := *i
	c.Node, c.Allocatable = n, Resources{}
	if n != nil {
		c.Allocatable = ResourcesOf(n.Status.Allocatable)
	}
	return &c
}

// WithPod returns i with one pod more.
func (i *NodeInfo) WithPod(p *PodInfo) *NodeInfo {
	c := *i
	// Clipped slices are copied by append, so i's own never change.
	c.Pods = append(slices.Clip(i.Pods), p)
	c.Ports = append(slices.Clip(i.Ports), p.Ports...)
	c.Requested, c.Assumed = i.Requested.Plus(&p.Requests, 1), i.Assumed.Plus(&p.Assumed, 1)
	c.Owners = count(i.Owners, p.Owner, 1)
	return &c
}

// WithoutPod returns i without a pod.
func (i *NodeInfo) WithoutPod(p *PodInfo) *NodeInfo {
	at := slices.Index(i.Pods, p)
	if at < 0 {
		return i
	}
	c := *i
	c.Pods = slices.Delete(slices.Clone(i.Pods), at, at+1)
	if len(p.Ports) > 0 {
		c.Ports = nil
		for _, q := range c.Pods {
			c.Ports = append(c.Ports, q.Ports...)
		}
	}
	c.Requested, c.Assumed = i.Requested.Plus(&p.Requests, -1), i.Assumed.Plus(&p.Assumed, -1)
	c.Owners = count(i.Owners, p.Owner, -1)
	return &c
}

// CountOf returns how many pods of a controller are on the node.
func (i *NodeInfo) CountOf(owner types.UID) int {
	for n := range i.Owners {
		if i.Owners[n].Owner == owner {
			return i.Owners[n].Count
		}
	}
	return 0
}

// count returns owners with n more pods of owner.
func count(owners []OwnerCount, owner types.UID, n int) []OwnerCount {
	if owner == "" {
		return owners
	}
	at := slices.IndexFunc(owners, func(o OwnerCount) bool { return o.Owner == owner })
	if at < 0 {
		return append(slices.Clip(owners), OwnerCount{owner, n})
	}
	owners = slices.Clone(owners)
	if owners[at].Count += n; owners[at].Count == 0 {
		return slices.Delete(owners, at, at+1)
	}
	return owners
}
