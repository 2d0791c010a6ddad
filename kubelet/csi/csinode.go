package csi

import (
	"context"
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/miniorch/miniorch/pkg/client"
)

// attempts is how often a write is tried whose object others write, too.
const attempts = 5

// advertise writes a driver into the node's CSINode, and where the node is in the driver's eyes into
// the Node's labels.
func (m *Manager) advertise(ctx context.Context, d *driver) error {
	if err := m.label(ctx, d.info.GetAccessibleTopology().GetSegments()); err != nil {
		return fmt.Errorf("labelling the node: %w", err)
	}
	entry := storagev1.CSINodeDriver{Name: d.name, NodeID: d.info.GetNodeId()}
	entry.TopologyKeys = slices.Sorted(maps.Keys(d.info.GetAccessibleTopology().GetSegments()))
	if n := d.info.GetMaxVolumesPerNode(); n > 0 {
		most := int32(min(n, 1<<31-1))
		entry.Allocatable = &storagev1.VolumeNodeResources{Count: &most}
	}
	return m.changeCSINode(ctx, d.name, &entry)
}

// withdraw takes a driver out of the node's CSINode.
func (m *Manager) withdraw(ctx context.Context, name string) error {
	return m.changeCSINode(ctx, name, nil)
}

// label adds a driver's topology to the Node.
func (m *Manager) label(ctx context.Context, segments map[string]string) error {
	nodes := client.Of[*corev1.Node](m.transport)
	return again(func() error {
		n, err := nodes.Get(ctx, "", m.cfg.NodeName)
		if err != nil || len(segments) == 0 {
			return err
		}
		changed := n.DeepCopy()
		for k, v := range segments {
			if old, ok := n.Labels[k]; ok && old != v {
				return fmt.Errorf("label %s is %q and the driver says %q", k, old, v)
			}
			metav1.SetMetaDataLabel(&changed.ObjectMeta, k, v)
		}
		if maps.Equal(changed.Labels, n.Labels) {
			return nil
		}
		_, err = nodes.Update(ctx, changed)
		return err
	})
}

// changeCSINode puts a driver's entry in the place of an older one; nil takes it out. An entry cannot
// be changed: an older one that differs goes first.
func (m *Manager) changeCSINode(ctx context.Context, driver string, entry *storagev1.CSINodeDriver) error {
	objects := client.Of[*storagev1.CSINode](m.transport)
	return again(func() error {
		n, err := objects.Get(ctx, "", m.cfg.NodeName)
		switch {
		case apierrors.IsNotFound(err) && entry == nil:
			return nil
		case apierrors.IsNotFound(err):
			if n, err = m.newCSINode(ctx); err == nil {
				n.Spec.Drivers = []storagev1.CSINodeDriver{*entry}
				_, err = objects.Create(ctx, n)
			}
			return err
		case err != nil:
			return err
		}
		if i := slices.IndexFunc(n.Spec.Drivers, func(d storagev1.CSINodeDriver) bool { return d.Name == driver }); i >= 0 {
			if entry != nil && equality.Semantic.DeepEqual(n.Spec.Drivers[i], *entry) {
				return nil
			}
			n = n.DeepCopy()
			n.Spec.Drivers = slices.Delete(n.Spec.Drivers, i, i+1)
			if n, err = objects.Update(ctx, n); err != nil {
				return err
			}
		}
		if entry == nil {
			return nil
		}
		n = n.DeepCopy()
		n.Spec.Drivers = append(n.Spec.Drivers, *entry)
		_, err = objects.Update(ctx, n)
		return err
	})
}

// newCSINode is one that goes with its Node.
func (m *Manager) newCSINode(ctx context.Context) (*storagev1.CSINode, error) {
	n, err := client.Of[*corev1.Node](m.transport).Get(ctx, "", m.cfg.NodeName)
	if err != nil {
		return nil, err
	}
	return &storagev1.CSINode{ObjectMeta: metav1.ObjectMeta{
		Name: n.Name, OwnerReferences: []metav1.OwnerReference{{APIVersion: "v1", Kind: "Node", Name: n.Name, UID: n.UID}},
	}}, nil
}

// again repeats a write that others' writes have overtaken.
func again(write func() error) (err error) {
	for range attempts {
		if err = write(); !apierrors.IsConflict(err) && !apierrors.IsAlreadyExists(err) {
			return err
		}
	}
	return err
}
