package cluster

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/miniorch/miniorch/pkg/client"
)

// nodeWait is how long nodes may take: the first start unpacks images on a slow disk.
const nodeWait = 2 * time.Minute

// transport speaks to the cluster with the administrator's credentials.
func (cl *Cluster) transport() (client.Transport, error) {
	config, err := client.LoadKubeconfig(filepath.Join(cl.Plan.Hosts[0].Dir, "admin.kubeconfig"))
	if err != nil {
		return nil, err
	}
	return client.NewHTTP(config)
}

// waitForNodes watches the nodes until all are Ready, and routes their pods' and the Services'
// addresses from this machine.
func (cl *Cluster) waitForNodes(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, nodeWait)
	defer cancel()
	transport, err := cl.transport()
	if err != nil {
		return err
	}
	nodes := client.Of[*corev1.Node](transport)
	initial := true
	w, err := nodes.Watch(ctx, "", metav1.ListOptions{SendInitialEvents: &initial, AllowWatchBookmarks: true, ResourceVersionMatch: metav1.ResourceVersionMatchNotOlderThan})
	if err != nil {
		return err
	}
	defer w.Stop()
	missing := map[string]string{}
	for _, h := range cl.Plan.nodes() {
		missing[h.Name] = "has not registered"
	}
	for len(missing) > 0 {
		event, open := <-w.ResultChan()
		if !open {
			return cl.notReady(missing)
		}
		node, ok := event.Object.(*corev1.Node)
		if _, waiting := missing[nodeName(node)]; !ok || !waiting {
			continue
		}
		if why := unready(node); why != "" {
			missing[node.Name] = why
			continue
		}
		if err := cl.routeTo(node); err != nil {
			return err
		}
		delete(missing, node.Name)
	}
	return cl.routeServices()
}

func nodeName(node *corev1.Node) string {
	if node == nil {
		return ""
	}
	return node.Name
}

// notReady says which nodes are missing, why, and what their logs say.
func (cl *Cluster) notReady(missing map[string]string) error {
	var lines []string
	for _, h := range cl.Plan.nodes() {
		if why, ok := missing[h.Name]; ok {
			lines = append(lines, fmt.Sprintf("%s %s; its log is %s and ends:\n%s", h.Name, why, h.Log, tail(h.Log)))
		}
	}
	return fmt.Errorf("not all nodes became Ready:\n%s", strings.Join(lines, "\n"))
}

// unready says why a node cannot run pods yet, "" when it can.
func unready(node *corev1.Node) string {
	at := slices.IndexFunc(node.Status.Conditions, func(c corev1.NodeCondition) bool { return c.Type == corev1.NodeReady })
	switch {
	case node.Spec.PodCIDR == "":
		return "has no podCIDR"
	case at < 0:
		return "has not reported its state"
	case node.Status.Conditions[at].Status != corev1.ConditionTrue:
		return "is not Ready: " + node.Status.Conditions[at].Message
	}
	return ""
}

// routeTo lets this machine reach the node's pods.
func (cl *Cluster) routeTo(node *corev1.Node) error {
	pods, err := netip.ParsePrefix(node.Spec.PodCIDR)
	if err != nil {
		return fmt.Errorf("podCIDR of %s: %w", node.Name, err)
	}
	at := slices.IndexFunc(cl.Plan.Hosts, func(h Host) bool { return h.Name == node.Name })
	return cl.route(pods, cl.Plan.Hosts[at].IP)
}

// routeServices lets this machine reach ClusterIPs: the first node's rules translate them.
func (cl *Cluster) routeServices() error {
	nodes := cl.Plan.nodes()
	if len(nodes) == 0 {
		return nil
	}
	return cl.route(cl.Plan.Services, nodes[0].IP)
}

func (cl *Cluster) route(to netip.Prefix, via netip.Addr) error {
	route := &netlink.Route{Gw: via.AsSlice(), Dst: &net.IPNet{IP: to.Addr().AsSlice(), Mask: net.CIDRMask(to.Bits(), 32)}}
	if err := netlink.RouteReplace(route); err != nil {
		return fmt.Errorf("routing %s via %s: %w", to, via, err)
	}
	return nil
}
