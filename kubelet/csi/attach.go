package csi

import (
	"context"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"

	"github.com/miniorch/miniorch/pkg/claims"
	"github.com/miniorch/miniorch/pkg/client"
)

// attached says that the volume is in use, waits until it is attached to this node, and returns what
// its attacher wants the driver to know. The controller takes nothing off that is in use.
func (m *Manager) attached(ctx context.Context, pv *corev1.PersistentVolume, r record) (map[string]string, error) {
	ctx, cancel := context.WithTimeout(ctx, m.cfg.AttachPatience)
	defer cancel()
	n, err := m.report(ctx)
	if err != nil {
		return nil, fmt.Errorf("reporting the volume in use: %w", err)
	}
	if !holds(n, r.Name) {
		if err := m.awaitAttached(ctx, r.Name); err != nil {
			return nil, err
		}
	}
	a, err := client.Of[*storagev1.VolumeAttachment](m.transport).Get(ctx, "", claims.AttachmentName(pv.Spec.CSI, m.cfg.NodeName))
	if err != nil {
		return nil, fmt.Errorf("reading how the volume is attached: %w", err)
	}
	return a.Status.AttachmentMetadata, nil
}

// holds reports whether a version of the node has the volume both attached and in use: from then on it
// stays.
func holds(n *corev1.Node, name corev1.UniqueVolumeName) bool {
	return slices.Contains(n.Status.VolumesInUse, name) &&
		slices.ContainsFunc(n.Status.VolumesAttached, func(v corev1.AttachedVolume) bool { return v.Name == name })
}

// awaitAttached watches the node.
func (m *Manager) awaitAttached(ctx context.Context, name corev1.UniqueVolumeName) error {
	yes := true
	for {
		w, err := client.Of[*corev1.Node](m.transport).Watch(ctx, "", metav1.ListOptions{
			FieldSelector: fields.OneTermEqualSelector("metadata.name", m.cfg.NodeName).String(), SendInitialEvents: &yes,
			ResourceVersionMatch: metav1.ResourceVersionMatchNotOlderThan, AllowWatchBookmarks: true,
		})
		if err == nil {
			for e := range w.ResultChan() {
				if n, ok := e.Object.(*corev1.Node); ok && holds(n, name) {
					w.Stop()
					return nil
				}
			}
			w.Stop()
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("volume %s has not been attached to this node within %v: does the driver's attacher run?", name, m.cfg.AttachPatience)
		case <-m.cfg.Clock.After(time.Second): // the watch has ended
		}
	}
}

// report writes volumesInUse and returns the version of the node that has it.
func (m *Manager) report(ctx context.Context) (*corev1.Node, error) {
	m.reporting.Lock()
	defer m.reporting.Unlock()
	nodes := client.Of[*corev1.Node](m.transport)
	var stored *corev1.Node
	err := again(func() error {
		n, err := nodes.Get(ctx, "", m.cfg.NodeName)
		if err != nil {
			return err
		}
		all, err := m.records("")
		if err != nil {
			return err
		}
		if want := inUse(all); !slices.Equal(want, n.Status.VolumesInUse) {
			changed := n.DeepCopy()
			changed.Status.VolumesInUse = want
			n, err = nodes.UpdateStatus(ctx, changed)
		}
		stored = n
		return err
	})
	return stored, err
}
