package scheduler

import (
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/miniorch/miniorch/scheduler/framework"
)

// cache is the cluster as the scheduler sees it: the nodes with the pods that are on them, or
// that it has decided to put there although the API does not say so yet (assumed). It has
// one user at a time.
type cache struct {
	infos map[string]*framework.NodeInfo // also of nodes that only pods know of
	nodes framework.Snapshot
	stale bool // nodes came or went since nodes was made
	pods  map[types.UID]*placed

	// expiring are the assumed pods whose binding was acknowledged, by deadline.
	expiring []expiry
}

// placed is a pod on a node.
type placed struct {
	info    *framework.PodInfo
	node    string
	assumed bool // the API has not confirmed it
}

type expiry struct {
	uid types.UID
	at  time.Time
}

func newCache() *cache {
	return &cache{infos: make(map[string]*framework.NodeInfo), pods: make(map[types.UID]*placed), stale: true}
}

// snapshot returns all nodes as they are now.
func (c *cache) snapshot() framework.Snapshot {
	if c.stale {
		nodes := make([]*framework.NodeInfo, 0, len(c.infos))
		for _, i := range c.infos {
			if i.Node != nil {
				nodes = append(nodes, i)
			}
		}
		c.nodes, c.stale = framework.NewSnapshot(nodes), false
	}
	return c.nodes
}

// node returns a node by name, nil if there is no such node.
func (c *cache) node(name string) *framework.NodeInfo {
	if i := c.infos[name]; i != nil && i.Node != nil {
		return i
	}
	return nil
}

// setNode takes a new version of a node.
func (c *cache) setNode(n *corev1.Node) {
	i := c.infos[n.Name]
	if i == nil {
		i = framework.NewNodeInfo(n.Name, nil)
	}
	c.stale = c.stale || i.Node == nil
	c.put(i.WithNode(n))
}

// removeNode forgets a node. Its pods are remembered: it may come back.
func (c *cache) removeNode(name string) {
	if i := c.infos[name]; i != nil {
		c.stale = true
		c.put(i.WithNode(nil))
	}
}

// put replaces a node's info.
func (c *cache) put(i *framework.NodeInfo) {
	if i.Node == nil && len(i.Pods) == 0 {
		delete(c.infos, i.Name)
		return
	}
	c.infos[i.Name] = i
	if at := c.nodes.Position(i.Name); !c.stale && at >= 0 {
		c.nodes = c.nodes.With(at, i)
	}
}

func (c *cache) place(p *placed) {
	c.pods[p.info.Pod.UID] = p
	i := c.infos[p.node]
	if i == nil {
		i = framework.NewNodeInfo(p.node, nil)
	}
	c.put(i.WithPod(p.info))
}

// setPod takes a pod that is on a node, by the API's word. It reports whether the node has
// more room than before.
func (c *cache) setPod(pod *corev1.Pod) (freed bool) {
	info := framework.NewPodInfo(pod)
	p := c.pods[pod.UID]
	if p == nil {
		c.place(&placed{info: info, node: pod.Spec.NodeName})
		return false
	}
	if p.node == pod.Spec.NodeName && sameFootprint(p.info, info) {
		// The node's sums stay as they are, and so does its NodeInfo.
		p.assumed = false
		return false
	}
	c.removePod(pod.UID)
	c.place(&placed{info: info, node: pod.Spec.NodeName})
	return true
}

func sameFootprint(a, b *framework.PodInfo) bool {
	return a.Owner == b.Owner && slices.Equal(a.Ports, b.Ports) && sameResources(&a.Requests, &b.Requests) && sameResources(&a.Assumed, &b.Assumed)
}

func sameResources(a, b *framework.Resources) bool {
	return a.MilliCPU == b.MilliCPU && a.Memory == b.Memory && a.EphemeralStorage == b.EphemeralStorage && slices.Equal(a.Others, b.Others)
}

// removePod forgets a pod and says where it was.
func (c *cache) removePod(uid types.UID) (node string, ok bool) {
	p := c.pods[uid]
	if p == nil {
		return "", false
	}
	delete(c.pods, uid)
	c.put(c.infos[p.node].WithoutPod(p.info))
	return p.node, true
}

// assume puts a pod on a node before the API knows.
func (c *cache) assume(info *framework.PodInfo, node string) {
	c.place(&placed{info: info, node: node, assumed: true})
}

// has reports whether the pod is on a node, confirmed or assumed.
func (c *cache) has(uid types.UID) bool { return c.pods[uid] != nil }

// isAssumed reports whether the pod is on a node that the API has not confirmed.
func (c *cache) isAssumed(uid types.UID) bool {
	p := c.pods[uid]
	return p != nil && p.assumed
}

// acknowledged says that the API server took the binding: the watch must confirm it soon.
func (c *cache) acknowledged(uid types.UID, deadline time.Time) {
	if c.isAssumed(uid) {
		c.expiring = append(c.expiring, expiry{uid, deadline})
	}
}

// expired forgets the assumed pods whose deadline is over and returns them.
func (c *cache) expired(now time.Time) []*placed {
	var out []*placed
	for len(c.expiring) > 0 {
		e := c.expiring[0]
		if c.isAssumed(e.uid) {
			if e.at.After(now) {
				break
			}
			out = append(out, c.pods[e.uid])
			c.removePod(e.uid)
		}
		c.expiring = c.expiring[1:]
	}
	return out
}

// nextExpiry returns when expired should be called, zero if there is nothing to expire.
func (c *cache) nextExpiry() time.Time {
	if len(c.expiring) == 0 {
		return time.Time{}
	}
	return c.expiring[0].at
}
