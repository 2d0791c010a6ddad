package volumes

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/miniorch/miniorch/kubelet/container"
	"github.com/miniorch/miniorch/pkg/claims"
	"github.com/miniorch/miniorch/pkg/client"
)

// notProcessed is the failure of a volume that there is nothing to mount of yet, in the words
// that people know.
func notProcessed(pod *corev1.Pod, v *corev1.Volume, claim string, why error) error {
	//lint:ignore ST1005 users read it as a sentence.
	return said{fmt.Errorf("Unable to attach or mount volumes: unmounted volumes=[%s], unattached volumes=[], failed to process volumes=[%s]: error processing PVC %s/%s: %w",
		v.Name, v.Name, pod.Namespace, claim, why)}
}

// said is an error that tells the whole story.
type said struct{ error }

func (s said) Unwrap() error { return s.error }

// setUp words a failure to mount a volume.
func setUp(name string, err error) error {
	if err == nil {
		return nil
	}
	if s := (said{}); errors.As(err, &s) {
		return s.error
	}
	return fmt.Errorf("MountVolume.SetUp failed for volume %q : %w", name, err)
}

// persistent mounts the PersistentVolume behind a claim. It reads the API: a claim that is
// bound while the pod waits is seen at the next attempt.
func (m *Manager) persistent(ctx context.Context, pod *corev1.Pod, v *corev1.Volume, claimName string, ephemeral bool) (container.Mount, error) {
	pv, err := m.volumeOf(ctx, pod, v, claimName, ephemeral)
	if err != nil {
		return container.Mount{}, err
	}
	if err := m.reaches(ctx, pv); err != nil {
		return container.Mount{}, err
	}
	if err := usedAs(pod, v.Name, claims.ModeOf(pv.Spec.VolumeMode)); err != nil {
		return container.Mount{}, notProcessed(pod, v, claimName, err)
	}
	mount := container.Mount{ReadOnly: v.PersistentVolumeClaim != nil && v.PersistentVolumeClaim.ReadOnly}
	switch s := &pv.Spec; {
	case s.CSI != nil:
		mount.ReadOnly = mount.ReadOnly || s.CSI.ReadOnly
		mount.Device = claims.ModeOf(s.VolumeMode) == corev1.PersistentVolumeBlock
		mount.HostPath, err = m.driven(ctx, pod, pv, mount)
	case claims.ModeOf(s.VolumeMode) == corev1.PersistentVolumeBlock:
		mount.Device = true
		mount.HostPath, err = localDevice(pv)
	case s.HostPath != nil:
		mount.HostPath, err = s.HostPath.Path, checkHostPath(s.HostPath)
	case s.Local != nil:
		mount.HostPath, err = m.local(ctx, pod, v, pv, mount.ReadOnly)
	case s.NFS != nil:
		mount.ReadOnly = mount.ReadOnly || s.NFS.ReadOnly
		mount.HostPath = m.volumeDir(pod.UID, v)
		err = m.nfs(ctx, mount.HostPath, s.NFS, mountOptions(pv))
	default:
		err = fmt.Errorf("volumes of type %s are not supported", sourceOf(pv))
	}
	if err == nil {
		err = os.MkdirAll(m.volumeDir(pod.UID, v), 0o750) // the mark of a pod that has the volume
	}
	return mount, setUp(pv.Name, err)
}

// volumeOf returns the volume that a claim is bound to, if the pod may have it.
func (m *Manager) volumeOf(ctx context.Context, pod *corev1.Pod, v *corev1.Volume, name string, ephemeral bool) (*corev1.PersistentVolume, error) {
	fail := func(format string, args ...any) (*corev1.PersistentVolume, error) {
		return nil, notProcessed(pod, v, name, fmt.Errorf(format, args...))
	}
	claim, err := client.Of[*corev1.PersistentVolumeClaim](m.transport).Get(ctx, pod.Namespace, name)
	switch {
	case err != nil:
		return fail("failed to fetch PVC from API server: %w", err)
	case ephemeral && !claims.MadeFor(claim, pod):
		return fail("PVC %s/%s was not created for pod %s/%s (pod is not owner)", pod.Namespace, name, pod.Namespace, pod.Name)
	case claim.DeletionTimestamp != nil && !m.holds(pod, v):
		return fail("PVC is being deleted")
	case claim.Status.Phase != corev1.ClaimBound || claim.Spec.VolumeName == "":
		return fail("PVC is not bound")
	}
	pv, err := client.Of[*corev1.PersistentVolume](m.transport).Get(ctx, "", claim.Spec.VolumeName)
	if err != nil {
		return fail("failed to fetch PV %s from API server: %w", claim.Spec.VolumeName, err)
	}
	if ref := pv.Spec.ClaimRef; ref == nil || ref.UID != claim.UID {
		return fail("found PV %s bound to another PVC", pv.Name)
	}
	return pv, nil
}

// usedAs refuses a pod that takes a device for a directory, or the other way round.
func usedAs(pod *corev1.Pod, volume string, mode corev1.PersistentVolumeMode) error {
	for _, c := range slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers) {
		mounted := slices.ContainsFunc(c.VolumeMounts, func(m corev1.VolumeMount) bool { return m.Name == volume })
		device := slices.ContainsFunc(c.VolumeDevices, func(d corev1.VolumeDevice) bool { return d.Name == volume })
		switch {
		case mounted && mode == corev1.PersistentVolumeBlock:
			return fmt.Errorf("volume %s has volumeMode %s, but is specified in volumeMounts", volume, mode)
		case device && mode != corev1.PersistentVolumeBlock:
			return fmt.Errorf("volume %s has volumeMode %s, but is specified in volumeDevices", volume, mode)
		}
	}
	return nil
}

// holds reports whether the pod has been given the volume before, by this agent or an earlier one.
func (m *Manager) holds(pod *corev1.Pod, v *corev1.Volume) bool {
	_, err := os.Stat(m.volumeDir(pod.UID, v))
	return err == nil
}

// reaches refuses a volume that is on other nodes.
func (m *Manager) reaches(ctx context.Context, pv *corev1.PersistentVolume) error {
	if pv.Spec.NodeAffinity == nil || m.cfg.NodeName == "" {
		return nil
	}
	node, err := client.Of[*corev1.Node](m.transport).Get(ctx, "", m.cfg.NodeName)
	if err != nil {
		return fmt.Errorf("reading this node: %w", err)
	}
	if !claims.Reaches(pv, node) {
		return said{fmt.Errorf("MountVolume.NodeAffinity check failed for volume %q : no matching NodeSelectorTerms", pv.Name)}
	}
	return nil
}

// driven returns where a driver has mounted a volume.
func (m *Manager) driven(ctx context.Context, pod *corev1.Pod, pv *corev1.PersistentVolume, mount container.Mount) (string, error) {
	if m.cfg.Drivers == nil {
		return "", errors.New("volumes of type csi are not supported")
	}
	path, give, err := m.cfg.Drivers.Mount(ctx, pod, pv, mount.ReadOnly)
	if group := fsGroup(pod); err == nil && give && group != nil && !mount.ReadOnly && !mount.Device {
		err = giveToGroup(path, *group, pod.Spec.SecurityContext.FSGroupChangePolicy)
	}
	return path, err
}

// mountOptions are what the volume says, in either of two places.
func mountOptions(pv *corev1.PersistentVolume) []string {
	if text, ok := pv.Annotations[corev1.MountOptionAnnotation]; ok && text != "" {
		return append([]string{text}, pv.Spec.MountOptions...)
	}
	return pv.Spec.MountOptions
}
