package iptables

import (
	"context"
	"strings"
)

// localnet is the kernel's leave to route packets from 127.0.0.1: a program on the node that
// uses a node port there may be served by a pod on another node.
const localnet = "/proc/sys/net/ipv4/conf/all/route_localnet"

// localnetGuards keep what listens on 127.0.0.1 as private as it was without that leave: from
// other machines come only answers, and what a rule of this node sent there.
var localnetGuards = []rule{
	{"filter", "INPUT", "! -i lo -d 127.0.0.0/8 -m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -m comment --comment miniorch-localnet -j DROP"},
	{"filter", "INPUT", "! -i lo -s 127.0.0.0/8 -m comment --comment miniorch-localnet -j DROP"},
}

// openLocalnet makes node ports answer at 127.0.0.1. Without it (in a container that may not
// change settings) they answer at all other addresses.
func (w *Writer) openLocalnet(ctx context.Context) {
	now, err := w.exec(ctx, "", "cat", localnet)
	if err == nil && strings.TrimSpace(now) == "1" {
		return
	}
	if _, err := w.exec(ctx, "1\n", "tee", localnet); err != nil {
		w.logger.Warn("node ports do not answer at 127.0.0.1", "err", err)
		return
	}
	w.localnet = strings.TrimSpace(now)
}

// closeLocalnet puts back what openLocalnet found.
func (w *Writer) closeLocalnet(ctx context.Context) error {
	if w.localnet == "" {
		return nil
	}
	_, err := w.exec(ctx, w.localnet+"\n", "tee", localnet)
	w.localnet = ""
	return err
}
