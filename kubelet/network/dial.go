package network

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"

	"golang.org/x/sys/unix"
	"k8s.io/apimachinery/pkg/types"
)

// Dial connects by TCP to an IP address and port ("127.0.0.1:80") as a process of the pod
// would: from inside its network namespace. For pods on the host's network that is the
// host's.
func (n *Network) Dial(ctx context.Context, uid types.UID, hostNetwork bool, address string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	if net.ParseIP(host) == nil { // a name would be looked up by other threads, outside
		return nil, fmt.Errorf("%q is not an IP address", host)
	}
	if hostNetwork {
		return (&net.Dialer{}).DialContext(ctx, "tcp", address)
	}
	ns, err := os.Open(filepath.Join(n.podDir(uid), "net"))
	if err != nil {
		return nil, fmt.Errorf("entering the network of pod %s: %w", uid, err)
	}
	defer ns.Close()
	type result struct {
		conn net.Conn
		err  error
	}
	dialled := make(chan result, 1)
	// On a goroutine of its own, whose thread is never unlocked: see unshare.
	go func() {
		runtime.LockOSThread()
		if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
			dialled <- result{err: fmt.Errorf("entering the network of pod %s: %w", uid, err)}
			return
		}
		// An address and no name: the socket is made by this very thread.
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
		dialled <- result{conn, err}
	}()
	r := <-dialled
	return r.conn, r.err
}
