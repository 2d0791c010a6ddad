package network

import (
	"context"
	"fmt"
	"net"

	"github.com/vishvananda/netlink"
)

// watchUplink wakes follow each time that the node's uplink comes up: the kernel drops routes
// without a word when their link goes down, and nothing else would bring them back. It
// returns when ctx ends.
func (n *Network) watchUplink(ctx context.Context) error {
	for {
		if err := n.watchLinks(ctx); err != nil || ctx.Err() != nil {
			return err
		}
		n.wake() // there were more updates than could be kept: any may have been missed
	}
}

func (n *Network) watchLinks(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	updates := make(chan netlink.LinkUpdate, 64)
	if err := netlink.LinkSubscribe(updates, ctx.Done()); err != nil {
		return fmt.Errorf("watching the node's links: %w", err)
	}
	up := true
	for update := range updates {
		if int64(update.Attrs().Index) != n.uplinkIndex.Load() {
			continue // a pod's, mostly
		}
		was := up
		up = update.Attrs().Flags&net.FlagUp != 0 && update.Attrs().OperState != netlink.OperDown
		if up && !was {
			n.config.Logger.Info("the node's link is up again", "node", n.config.NodeName, "link", update.Attrs().Name)
			n.wake()
		}
	}
	return nil
}
