package scheduler

import (
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
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

	namespaces map[string]labels.Set
	nominated  map[types.UID]nomination

	// expiring are the assumed pods whose binding was acknowledged, by deadline.
	expiring []expiry
}

// nomination is where room is being made for a pod.
type nomination struct {
	info *framework.PodInfo
	node string
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
	return &cache{
		infos: make(map[string]*framework.NodeInfo), pods: make(map[types.UID]*placed), stale: true,
		namespaces: make(map[string]labels.Set), nominated: make(map[types.UID]nomination),
	}
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
		known := c.nodes.Namespaces
		c.nodes, c.stale = framework.NewSnapshot(nodes), false
		c.nodes.Namespaces = known
	}
	if c.nodes.Namespaces == nil {
		c.nodes.Namespaces = framework.NewNamespaces(maps.Clone(c.namespaces))
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

// setNamespace takes the labels of a namespace; nil if it is gone.
func (c *cache) setNamespace(name string, set labels.Set) {
	if delete(c.namespaces, name); set != nil {
		c.namespaces[name] = set
	}
	c.nodes.Namespaces = nil // made again with the next snapshot
}

// nominate says that room is being made on a node for a pod; an empty node takes it back.
func (c *cache) nominate(info *framework.PodInfo, node string) {
	uid := info.Pod.UID
	was := c.nominated[uid]
	if was.node != "" {
		delete(c.nominated, uid)
		c.renominate(was.node)
	}
	if node != "" {
		c.nominated[uid] = nomination{info, node}
		c.renominate(node)
	}
}

// renominate brings a node's list of nominated pods up to date.
func (c *cache) renominate(node string) {
	i := c.infos[node]
	if i == nil {
		return
	}
	var pods []*framework.PodInfo
	for _, n := range c.nominated {
		if n.node == node {
			pods = append(pods, n.info)
		}
	}
	slices.SortFunc(pods, func(a, b *framework.PodInfo) int { return strings.Compare(string(a.Pod.UID), string(b.Pod.UID)) })
	c.put(i.WithNominated(pods))
}

// setNode takes a new version of a node.
func (c *cache) setNode(n *corev1.Node) {
	i := c.infos[n.Name]
	if i == nil {
		i = framework.NewNodeInfo(n.Name, nil)
	}
	came := i.Node == nil
	c.stale = c.stale || came
	c.put(i.WithNode(n))
	if came && len(c.nominated) > 0 {
		c.renominate(n.Name)
	}
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

// setPod takes a pod that is on a node, by the API's word. It returns what it was taken for
// before and is now, if that matters to anybody.
func (c *cache) setPod(pod *corev1.Pod) (was, now *framework.PodInfo) {
	info := framework.NewPodInfo(pod)
	p := c.pods[pod.UID]
	if p == nil {
		c.place(&placed{info: info, node: pod.Spec.NodeName})
		return nil, info
	}
	if p.node == pod.Spec.NodeName && sameFootprint(p.info, info) {
		// The node's sums stay as they are, and so does its NodeInfo.
		p.assumed = false
		return nil, nil
	}
	c.removePod(pod.UID)
	c.place(&placed{info: info, node: pod.Spec.NodeName})
	return p.info, info
}

// sameFootprint reports whether two versions of a pod are the same to all who look at the pods
// on nodes.
func sameFootprint(a, b *framework.PodInfo) bool {
	return slices.Equal(a.Ports, b.Ports) && sameResources(&a.Requests, &b.Requests) && sameResources(&a.Assumed, &b.Assumed) &&
		maps.Equal(a.Pod.Labels, b.Pod.Labels) && a.Priority == b.Priority &&
		a.Pod.DeletionTimestamp.Equal(b.Pod.DeletionTimestamp) && a.Pod.Status.StartTime.Equal(b.Pod.Status.StartTime)
}

func sameResources(a, b *framework.Resources) bool {
	return a.MilliCPU == b.MilliCPU && a.Memory == b.Memory && a.EphemeralStorage == b.EphemeralStorage && slices.Equal(a.Others, b.Others)
}

// removePod forgets a pod and says what and where it was; nil if it was nowhere.
func (c *cache) removePod(uid types.UID) *placed {
	p := c.pods[uid]
	if p == nil {
		return nil
	}
	delete(c.pods, uid)
	c.put(c.infos[p.node].WithoutPod(p.info))
	return p
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
