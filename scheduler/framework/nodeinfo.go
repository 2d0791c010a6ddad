package framework

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
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
	Nominated   []*PodInfo       // for whom room is being made here; not in Pods
	Images      map[string]int64 // sizes of the images that the node has, by every name
}

// NewNodeInfo returns an empty node: n, or just a name if n is nil.
func NewNodeInfo(name string, n *corev1.Node) *NodeInfo {
	return (&NodeInfo{Name: name}).WithNode(n)
}

// WithNode returns i with another version of the node, or without one.
func (i *NodeInfo) WithNode(n *corev1.Node) *NodeInfo {
	c := *i
	c.Node, c.Allocatable, c.Images = n, Resources{}, nil
	if n != nil {
		c.Allocatable = ResourcesOf(n.Status.Allocatable)
		c.Images = imagesOf(n)
	}
	return &c
}

func imagesOf(n *corev1.Node) map[string]int64 {
	if len(n.Status.Images) == 0 {
		return nil
	}
	images := make(map[string]int64)
	for i := range n.Status.Images {
		for _, name := range n.Status.Images[i].Names {
			images[name] = n.Status.Images[i].SizeBytes
		}
	}
	return images
}

// WithNominated returns i with other nominated pods.
func (i *NodeInfo) WithNominated(pods []*PodInfo) *NodeInfo {
	c := *i
	c.Nominated = pods
	return &c
}

// WithPod returns i with one pod more.
func (i *NodeInfo) WithPod(p *PodInfo) *NodeInfo {
	c := *i
	// Clipped slices are copied by append, so i's own never change.
	c.Pods = append(slices.Clip(i.Pods), p)
	c.Ports = append(slices.Clip(i.Ports), p.Ports...)
	c.Requested, c.Assumed = i.Requested.Plus(&p.Requests, 1), i.Assumed.Plus(&p.Assumed, 1)
	return &c
}

// WithoutPod returns i without a pod.
func (i *NodeInfo) WithoutPod(p *PodInfo) *NodeInfo { return i.WithoutPods([]*PodInfo{p}) }

// WithoutPods returns i without some of its pods, in their order; others are ignored.
func (i *NodeInfo) WithoutPods(gone []*PodInfo) *NodeInfo {
	c := *i
	c.Pods = make([]*PodInfo, 0, len(i.Pods))
	ports := false
	for _, p := range i.Pods {
		if len(gone) == 0 || p != gone[0] {
			c.Pods = append(c.Pods, p)
			continue
		}
		gone = gone[1:]
		c.Requested, c.Assumed = c.Requested.Plus(&p.Requests, -1), c.Assumed.Plus(&p.Assumed, -1)
		ports = ports || len(p.Ports) > 0
	}
	switch {
	case len(c.Pods) == len(i.Pods):
		return i
	case ports:
		c.Ports = nil
		for _, q := range c.Pods {
			c.Ports = append(c.Ports, q.Ports...)
		}
	}
	return &c
}
