package node

import (
	"context"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/miniorch/miniorch/pkg/client"
)

// The Lease says that the node lives; it is far cheaper to write than the Node.
const (
	leaseInterval = 10 * time.Second
	leaseSeconds  = 40
	leaseRetry    = time.Second
)

// renewLease renews until ctx ends.
func (n *Node) renewLease(ctx context.Context) {
	var last *coordinationv1.Lease
	for {
		wait := leaseInterval
		lease, err := n.renewOnce(ctx, last)
		if err != nil {
			wait, lease = leaseRetry, nil
			if ctx.Err() == nil {
				n.cfg.Logger.Warn("cannot renew the node's lease", "err", err)
			}
		}
		last = lease
		select {
		case <-ctx.Done():
			return
		case <-n.cfg.Clock.After(wait):
		}
	}
}

// renewOnce renews the lease as last seen, or looks it up, or makes it.
func (n *Node) renewOnce(ctx context.Context, last *coordinationv1.Lease) (*coordinationv1.Lease, error) {
	leases := client.Of[*coordinationv1.Lease](n.transport)
	if last == nil {
		found, err := leases.Get(ctx, corev1.NamespaceNodeLease, n.cfg.Name)
		if apierrors.IsNotFound(err) {
			return leases.Create(ctx, n.lease(&coordinationv1.Lease{
				ObjectMeta: metav1.ObjectMeta{Namespace: corev1.NamespaceNodeLease, Name: n.cfg.Name}}))
		}
		if err != nil {
			return nil, err
		}
		last = found
	}
	return leases.Update(ctx, n.lease(last.DeepCopy()))
}

// lease fills in what says that this node lives now. It goes with its Node.
func (n *Node) lease(l *coordinationv1.Lease) *coordinationv1.Lease {
	seconds, now := int32(leaseSeconds), metav1.NewMicroTime(n.cfg.Clock.Now())
	l.Spec.HolderIdentity, l.Spec.LeaseDurationSeconds, l.Spec.RenewTime = &n.cfg.Name, &seconds, &now
	if node, ok := n.nodes.Get("", n.cfg.Name); ok && len(l.OwnerReferences) == 0 {
		l.OwnerReferences = []metav1.OwnerReference{{APIVersion: "v1", Kind: "Node", Name: node.Name, UID: node.UID}}
	}
	return l
}
