package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/miniorch/miniorch/pkg/client"
)

// Remove takes the last node out of the cluster, with everything on it, and returns the cluster
// without it. What a cluster consists of follows from the number of its nodes: so it is the last
// that leaves. Interrupted, it may be called again.
func Remove(ctx context.Context, c Config, name string, progress *Progress) (*Cluster, error) {
	c, err := c.withDefaults()
	if err != nil {
		return nil, err
	}
	unlock, err := exclusive(c.StateRoot)
	if err != nil {
		return nil, err
	}
	defer unlock()
	cl, err := Find(c)
	if err != nil {
		return nil, err
	}
	h, err := cl.host(name)
	if err != nil {
		return nil, err
	}
	if last := cl.Plan.Hosts[len(cl.Plan.Hosts)-1]; h.Role != Node || last.Name != name {
		return nil, fmt.Errorf("%s cannot leave: only the last node can, which is %s", name, last.Name)
	}
	if err := cl.removeHost(ctx, h, progress); err != nil {
		return nil, fmt.Errorf("removing %s: %w", name, err)
	}
	cl.state.Config.Nodes--
	if err := cl.state.save(); err != nil {
		return nil, err
	}
	return Find(c)
}

// removeHost ends the node before its Node object goes: while it lives it would register again.
func (cl *Cluster) removeHost(ctx context.Context, h Host, progress *Progress) error {
	if err := errors.Join(stopHost(h), sweepSockets(h)); err != nil {
		return err
	}
	progress.Say("all processes of %s ended", h.Name)
	transport, err := cl.transport()
	if err != nil {
		return err
	}
	err = client.Of[*corev1.Node](transport).Delete(ctx, "", h.Name, metav1.DeleteOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("deleting the Node object: %w", err)
	}
	if err := errors.Join(unmountBelow(h.Dir), removeRoutes(h), detach(h), removeCgroups(h.Cgroup)); err != nil {
		return err
	}
	if err := errors.Join(os.RemoveAll(h.Dir), os.Remove(h.Log)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("removing data: %w", err)
	}
	progress.Say("%s has left the cluster", h.Name)
	return nil
}

// removeRoutes forgets the way to the node's pods, and to Services if it led over this node.
func removeRoutes(h Host) error {
	routes, err := netlink.RouteListFiltered(netlink.FAMILY_V4, &netlink.Route{Gw: h.IP.AsSlice()}, netlink.RT_FILTER_GW)
	if err != nil {
		return fmt.Errorf("listing routes: %w", err)
	}
	for _, r := range routes {
		if err := netlink.RouteDel(&r); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("deleting route %s: %w", r.Dst, err)
		}
	}
	return nil
}
