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

// changeCSINode puts a driver's entry in the place of an older one; nil takes it out.
func (m *Manager) changeCSINode(ctx context.Context, driver string, entry *storagev1.CSINodeDriver) error {
	objects := client.Of[*storagev1.CSINode](m.transport)
	return again(func() error {
		old, err := objects.Get(ctx, "", m.cfg.NodeName)
		if apierrors.IsNotFound(err) {
			if entry == nil {
				return nil
			}
			fresh, err := m.newCSINode(ctx)
			if err != nil {
				return err
			}
			fresh.Spec.Drivers = []storagev1.CSINodeDriver{*entry}
			_, err = objects.Create(ctx, fresh)
			return err
		} else if err != nil {
			return err
		}
		changed := old.DeepCopy()
		changed.Spec.Drivers = slices.DeleteFunc(changed.Spec.Drivers, func(d storagev1.CSINodeDriver) bool { return d.Name == driver })
		if entry != nil {
			changed.Spec.Drivers = append(changed.Spec.Drivers, *entry)
		}
		if equality.Semantic.DeepEqual(old.Spec, changed.Spec) {
			return nil
		}
		_, err = objects.Update(ctx, changed)
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
