package csi

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/container-storage-interface/spec/lib/go/csi"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	"github.com/miniorch/miniorch/pkg/claims"
	"github.com/miniorch/miniorch/pkg/client"
)

// Mount has a driver mount a volume for a pod; again changes nothing. It returns where the volume is,
// and whether its files are still to be given to the pod's group.
func (m *Manager) Mount(ctx context.Context, pod *corev1.Pod, pv *corev1.PersistentVolume, readOnly bool) (path string, give bool, err error) {
	said, err := m.object(ctx, pv.Spec.CSI.Driver)
	if err != nil {
		return "", false, err
	}
	d, err := m.driver(pv.Spec.CSI.Driver)
	if err != nil {
		return "", false, err
	}
	r := m.recordOf(pod.UID, pv)
	r.Attached = claims.NeedsAttaching(pv, said)
	give = givesToGroup(pv, said) && !d.setsGroup()
	if there, err := m.cfg.Mounted(r.target()); err != nil || there {
		return r.target(), give, err
	}
	if err := r.write(); err != nil {
		return "", false, fmt.Errorf("noting what the pod has: %w", err)
	}
	var published map[string]string
	if r.Attached {
		if published, err = m.attached(ctx, pv, r); err != nil {
			return "", false, err
		}
	}
	defer m.volumes.lock(string(r.Name))()
	v := &use{pod: pod, pv: pv, driver: d, published: published, readOnly: readOnly, record: r, staging: m.staging(r)}
	if said != nil {
		v.tellsPod = said.Spec.PodInfoOnMount != nil && *said.Spec.PodInfoOnMount
	}
	if err := m.stage(ctx, v); err != nil {
		return "", false, fmt.Errorf("staging: %w", err)
	}
	if err := m.publish(ctx, v); err != nil {
		return "", false, fmt.Errorf("publishing: %w", err)
	}
	return r.target(), give, nil
}

// object returns what a driver says of itself to the cluster, nil if nothing. What it asks for and cannot have here is
// an error.
func (m *Manager) object(ctx context.Context, name string) (*storagev1.CSIDriver, error) {
	d, err := client.Of[*storagev1.CSIDriver](m.transport).Get(ctx, "", name)
	switch {
	case apierrors.IsNotFound(err):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("reading CSIDriver %s: %w", name, err)
	case len(d.Spec.TokenRequests) > 0:
		return nil, fmt.Errorf("driver %s asks for tokens of service accounts, which this node does not give to drivers", name)
	case d.Spec.RequiresRepublish != nil && *d.Spec.RequiresRepublish:
		return nil, fmt.Errorf("driver %s wants volumes to be published again and again, which this node does not do", name)
	case len(d.Spec.VolumeLifecycleModes) > 0 && !slices.Contains(d.Spec.VolumeLifecycleModes, storagev1.VolumeLifecyclePersistent):
		return nil, fmt.Errorf("driver %s has no persistent volumes", name)
	}
	return d, nil
}

// givesToGroup says whether a volume's files are for the pod's group, by the driver's policy: those of
// volumes for one node that say what file system they have, unless the driver says all, or none.
func givesToGroup(pv *corev1.PersistentVolume, d *storagev1.CSIDriver) bool {
	policy := storagev1.ReadWriteOnceWithFSTypeFSGroupPolicy
	if d != nil && d.Spec.FSGroupPolicy != nil {
		policy = *d.Spec.FSGroupPolicy
	}
	switch policy {
	case storagev1.FileFSGroupPolicy:
		return true
	case storagev1.ReadWriteOnceWithFSTypeFSGroupPolicy:
		return pv.Spec.CSI.FSType != "" && slices.Contains(pv.Spec.AccessModes, corev1.ReadWriteOnce)
	}
	return false
}

// use is a volume on its way to a pod.
type use struct {
	pod       *corev1.Pod
	pv        *corev1.PersistentVolume
	driver    *driver
	record    record
	staging   string
	published map[string]string // from the attacher
	readOnly  bool
	tellsPod  bool // the driver wants to know which pod
}

// group is whom the driver shall give the volume to, if it can.
func (v *use) group() string {
	if sc := v.pod.Spec.SecurityContext; sc != nil && sc.FSGroup != nil {
		return strconv.FormatInt(*sc.FSGroup, 10)
	}
	return ""
}

// stage has the volume made ready for the node. Drivers do nothing where that is so already.
func (m *Manager) stage(ctx context.Context, v *use) error {
	if !v.driver.stages() {
		return nil
	}
	if err := os.MkdirAll(v.staging, 0o750); err != nil {
		return err
	}
	src := v.pv.Spec.CSI
	secrets, err := m.secrets(ctx, src.NodeStageSecretRef)
	if err != nil {
		return err
	}
	_, err = v.driver.node.NodeStageVolume(ctx, &csi.NodeStageVolumeRequest{
		VolumeId: src.VolumeHandle, PublishContext: v.published, StagingTargetPath: v.staging,
		VolumeCapability: v.driver.capability(v.pv, v.group()), Secrets: secrets, VolumeContext: src.VolumeAttributes,
	})
	return err
}

// publish has the volume shown at the pod's place, of which the driver makes the last element.
func (m *Manager) publish(ctx context.Context, v *use) error {
	src := v.pv.Spec.CSI
	secrets, err := m.secrets(ctx, src.NodePublishSecretRef)
	if err != nil {
		return err
	}
	about := maps.Clone(src.VolumeAttributes)
	if v.tellsPod {
		if about == nil {
			about = map[string]string{}
		}
		maps.Copy(about, podInfo(v.pod))
	}
	req := &csi.NodePublishVolumeRequest{
		VolumeId: src.VolumeHandle, PublishContext: v.published, TargetPath: v.record.target(), Readonly: v.readOnly || src.ReadOnly,
		VolumeCapability: v.driver.capability(v.pv, v.group()), Secrets: secrets, VolumeContext: about,
	}
	if v.driver.stages() {
		req.StagingTargetPath = v.staging
	}
	_, err = v.driver.node.NodePublishVolume(ctx, req)
	return err
}

func podInfo(pod *corev1.Pod) map[string]string {
	const prefix = "csi.storage.k8s.io/"
	return map[string]string{
		prefix + "pod.name": pod.Name, prefix + "pod.namespace": pod.Namespace, prefix + "pod.uid": string(pod.UID),
		prefix + "serviceAccount.name": pod.Spec.ServiceAccountName, prefix + "ephemeral": "false",
	}
}

func (m *Manager) secrets(ctx context.Context, ref *corev1.SecretReference) (map[string]string, error) {
	if ref == nil {
		return nil, nil
	}
	s, err := client.Of[*corev1.Secret](m.transport).Get(ctx, ref.Namespace, ref.Name)
	if err != nil {
		return nil, fmt.Errorf("reading the driver's secret: %w", err)
	}
	data := make(map[string]string, len(s.Data))
	for k, v := range s.Data {
		data[k] = string(v)
	}
	return data, nil
}

// Unmount has drivers take back all that a pod has of them. The record goes last.
func (m *Manager) Unmount(ctx context.Context, uid types.UID) error {
	mine, err := m.records(uid)
	if err != nil || len(mine) == 0 {
		return err
	}
	var errs []error
	for _, r := range mine {
		if err := m.unmount(ctx, r); err != nil {
			errs = append(errs, fmt.Errorf("unmounting volume %s: %w", r.Name, err))
		}
	}
	if _, err := m.report(ctx); err != nil {
		errs = append(errs, fmt.Errorf("reporting what is in use: %w", err))
	}
	return errors.Join(errs...)
}

func (m *Manager) unmount(ctx context.Context, r record) error {
	defer m.volumes.lock(string(r.Name))()
	d, err := m.driver(r.Driver)
	if err != nil {
		return err
	}
	if _, err := d.node.NodeUnpublishVolume(ctx, &csi.NodeUnpublishVolumeRequest{VolumeId: r.Handle, TargetPath: r.target()}); err != nil {
		return err
	}
	all, err := m.records("")
	if err != nil {
		return err
	}
	others := slices.ContainsFunc(all, func(o record) bool { return o.Name == r.Name && o.dir != r.dir })
	if !others && d.stages() {
		staging := m.staging(r)
		if _, err := d.node.NodeUnstageVolume(ctx, &csi.NodeUnstageVolumeRequest{VolumeId: r.Handle, StagingTargetPath: staging}); err != nil {
			return err
		}
		if err := os.Remove(staging); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err := os.Remove(filepath.Dir(staging)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if there, err := m.cfg.Mounted(r.target()); err != nil {
		return err
	} else if there {
		return fmt.Errorf("the driver has left %s mounted", r.target())
	}
	return os.RemoveAll(r.dir)
}
