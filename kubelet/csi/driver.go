package csi

import (
	"context"
	"fmt"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	corev1 "k8s.io/api/core/v1"

	"github.com/miniorch/miniorch/pkg/claims"
)

// driver is the part of a driver that runs on this node.
type driver struct {
	name string
	conn *grpc.ClientConn
	node csi.NodeClient
	info *csi.NodeGetInfoResponse
	can  map[csi.NodeServiceCapability_RPC_Type]bool
}

func connect(socket string) (*grpc.ClientConn, error) {
	return grpc.NewClient("unix:"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
}

// openDriver connects to a driver and asks what it can do.
func openDriver(ctx context.Context, name, endpoint string) (_ *driver, err error) {
	conn, err := connect(endpoint)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			conn.Close()
		}
	}()
	d := &driver{name: name, conn: conn, node: csi.NewNodeClient(conn), can: map[csi.NodeServiceCapability_RPC_Type]bool{}}
	if d.info, err = d.node.NodeGetInfo(ctx, &csi.NodeGetInfoRequest{}); err != nil {
		return nil, fmt.Errorf("asking driver %s about the node: %w", name, err)
	}
	caps, err := d.node.NodeGetCapabilities(ctx, &csi.NodeGetCapabilitiesRequest{})
	if err != nil {
		return nil, fmt.Errorf("asking driver %s what it can do: %w", name, err)
	}
	for _, c := range caps.GetCapabilities() {
		d.can[c.GetRpc().GetType()] = true
	}
	return d, nil
}

func (d *driver) stages() bool {
	return d.can[csi.NodeServiceCapability_RPC_STAGE_UNSTAGE_VOLUME]
}

// setsGroup: the driver mounts a volume so that it belongs to a group.
func (d *driver) setsGroup() bool {
	return d.can[csi.NodeServiceCapability_RPC_VOLUME_MOUNT_GROUP]
}

// capability says how a volume is to be used: by its first access mode, as Kubernetes has it.
func (d *driver) capability(pv *corev1.PersistentVolume, group string) *csi.VolumeCapability {
	c := &csi.VolumeCapability{AccessMode: &csi.VolumeCapability_AccessMode{Mode: d.mode(pv)}}
	if claims.ModeOf(pv.Spec.VolumeMode) == corev1.PersistentVolumeBlock {
		c.AccessType = &csi.VolumeCapability_Block{Block: &csi.VolumeCapability_BlockVolume{}}
		return c
	}
	mount := &csi.VolumeCapability_MountVolume{FsType: pv.Spec.CSI.FSType, MountFlags: pv.Spec.MountOptions}
	if d.setsGroup() {
		mount.VolumeMountGroup = group
	}
	c.AccessType = &csi.VolumeCapability_Mount{Mount: mount}
	return c
}

func (d *driver) mode(pv *corev1.PersistentVolume) csi.VolumeCapability_AccessMode_Mode {
	finer := d.can[csi.NodeServiceCapability_RPC_SINGLE_NODE_MULTI_WRITER]
	first := corev1.ReadWriteOnce
	if len(pv.Spec.AccessModes) > 0 {
		first = pv.Spec.AccessModes[0]
	}
	switch {
	case first == corev1.ReadOnlyMany:
		return csi.VolumeCapability_AccessMode_MULTI_NODE_READER_ONLY
	case first == corev1.ReadWriteMany:
		return csi.VolumeCapability_AccessMode_MULTI_NODE_MULTI_WRITER
	case first == corev1.ReadWriteOncePod && finer:
		return csi.VolumeCapability_AccessMode_SINGLE_NODE_SINGLE_WRITER
	case finer:
		return csi.VolumeCapability_AccessMode_SINGLE_NODE_MULTI_WRITER
	}
	return csi.VolumeCapability_AccessMode_SINGLE_NODE_WRITER
}
