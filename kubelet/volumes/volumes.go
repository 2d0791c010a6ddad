// Package volumes fills the volumes of pods on their node: emptyDir, hostPath, configMap,
// secret, downwardAPI and projected (service account tokens included), NFS, places for images, and claims that
// are bound to volumes of type hostPath, local, NFS or of a CSI driver. It keeps their
// content current as objects change, and takes everything away with the pod. Other kinds of
// volumes are refused by name.
package volumes

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	"github.com/miniorch/miniorch/kubelet/cgroups"
	"github.com/miniorch/miniorch/kubelet/container"
	"github.com/miniorch/miniorch/pkg/claims"
	"github.com/miniorch/miniorch/pkg/client"
)

// Config tunes a Manager; zero fields have defaults.
type Config struct {
	// RootDir holds everything beneath pods/<uid>; default /var/lib/kubelet.
	RootDir string
	// NodeName is this node's name: volumes may be for other nodes. Empty: that is not checked.
	NodeName string
	// LocalRoot holds the directories of local-path volumes. Empty: there are none here.
	LocalRoot string
	// Allocatable is what limits default to in the downward API; default all of the machine.
	Allocatable func() corev1.ResourceList
	// Drivers mounts volumes of CSI drivers. Nil: there are none here.
	Drivers Drivers
	// Mounter defaults to the kernel.
	Mounter Mounter
	Clock   clock.WithTicker
	Logger  *slog.Logger
}

// Drivers speaks to the CSI drivers on this node.
type Drivers interface {
	// Mount mounts a volume for a pod; again changes nothing. It returns where the volume is (or, of
	// mode Block, the device), and whether its files are to be given to the pod's group.
	Mount(ctx context.Context, pod *corev1.Pod, pv *corev1.PersistentVolume, readOnly bool) (path string, give bool, err error)
	// Unmount takes back all that a pod has.
	Unmount(ctx context.Context, uid types.UID) error
}

// Manager prepares volumes and keeps them current while Run runs.
type Manager struct {
	transport client.Transport
	cfg       Config
	wake      chan struct{} // wanted or dirty changed; capacity 1

	mu     sync.Mutex
	pods   map[types.UID]*podVolumes       // guarded by mu
	wanted map[objectKey]map[types.UID]int // guarded by mu; which pods use an object
	latest map[objectKey]clientObject      // guarded by mu; from watches only
	dirty  map[types.UID]bool              // guarded by mu; to be written again
}

// podVolumes is one pod that was prepared. Writing is serialized by its own lock.
type podVolumes struct {
	writing sync.Mutex // held while its files are written, after which pod may be newer

	pod     *corev1.Pod // guarded by Manager.mu
	objects []objectKey // guarded by Manager.mu
	tokens  map[string]*token
	refresh time.Time // guarded by Manager.mu; when a token wants renewal, zero if never
}

// New returns a manager; it starts nothing.
func New(transport client.Transport, cfg Config) *Manager {
	if cfg.RootDir == "" {
		cfg.RootDir = "/var/lib/kubelet"
	}
	if cfg.Allocatable == nil {
		cfg.Allocatable = machine
	}
	if cfg.Mounter == nil {
		cfg.Mounter = Kernel{}
	}
	if cfg.Clock == nil {
		cfg.Clock = clock.RealClock{}
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	return &Manager{
		transport: transport, cfg: cfg, wake: make(chan struct{}, 1),
		pods: map[types.UID]*podVolumes{}, wanted: map[objectKey]map[types.UID]int{},
		latest: map[objectKey]clientObject{}, dirty: map[types.UID]bool{},
	}
}

// Prepare makes every volume of the pod, or finds it, and returns where each is on the host.
func (m *Manager) Prepare(ctx context.Context, pod *corev1.Pod) (map[string]container.Mount, error) {
	for i := range pod.Spec.Volumes {
		if err := supported(&pod.Spec.Volumes[i]); err != nil {
			return nil, err
		}
	}
	if err := m.private(); err != nil {
		return nil, err
	}
	pv := m.register(pod)
	pv.writing.Lock()
	defer func() {
		pv.writing.Unlock()
		m.signal() // what has changed meanwhile could not be written
	}()
	mounts := make(map[string]container.Mount, len(pod.Spec.Volumes))
	for i := range pod.Spec.Volumes {
		v := &pod.Spec.Volumes[i]
		mount, err := m.prepare(ctx, pv, pod, v)
		if err != nil {
			return nil, setUp(v.Name, err)
		}
		mounts[v.Name] = mount
	}
	return mounts, nil
}

func (m *Manager) prepare(ctx context.Context, pv *podVolumes, pod *corev1.Pod, v *corev1.Volume) (container.Mount, error) {
	if v.HostPath != nil {
		return container.Mount{HostPath: v.HostPath.Path}, checkHostPath(v.HostPath)
	}
	if claim, ephemeral := claims.NameFor(pod, v); claim != "" {
		return m.persistent(ctx, pod, v, claim, ephemeral)
	}
	dir := m.volumeDir(pod.UID, v)
	if v.NFS != nil {
		return container.Mount{HostPath: dir, ReadOnly: v.NFS.ReadOnly}, m.nfs(ctx, dir, v.NFS, nil)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return container.Mount{}, err
	}
	if v.Image != nil { // mounted there by who has the images
		return container.Mount{HostPath: dir, ReadOnly: true, NoExec: true}, nil
	}
	if v.EmptyDir != nil {
		return container.Mount{HostPath: dir}, m.emptyDir(dir, pod, v.EmptyDir)
	}
	if secretive(v) {
		if err := m.tmpfs(dir, 0); err != nil {
			return container.Mount{}, err
		}
	}
	if err := open(dir, fsGroup(pod)); err != nil {
		return container.Mount{}, err
	}
	return container.Mount{HostPath: dir, ReadOnly: true}, m.write(ctx, pv, pod, v, m.live(ctx, pod.Namespace))
}

// write fills one volume whose content comes from the API.
func (m *Manager) write(ctx context.Context, pv *podVolumes, pod *corev1.Pod, v *corev1.Volume, src source) error {
	files, err := m.payload(ctx, pv, pod, v, src)
	if err != nil {
		return err
	}
	return writeAtomically(m.volumeDir(pod.UID, v), files, fsGroup(pod), m.cfg.Clock.Now())
}

// Sync writes again what depends on the pod object itself.
func (m *Manager) Sync(ctx context.Context, pod *corev1.Pod) error {
	m.mu.Lock()
	pv, ok := m.pods[pod.UID]
	if ok {
		pv.pod = pod
	}
	m.mu.Unlock()
	if !ok {
		return nil
	}
	pv.writing.Lock()
	defer pv.writing.Unlock()
	return m.rewrite(ctx, pv, pod)
}

// rewrite brings all volumes of a pod up to date from what watches have seen. pv.writing is held.
func (m *Manager) rewrite(ctx context.Context, pv *podVolumes, pod *corev1.Pod) error {
	var errs []error
	for i := range pod.Spec.Volumes {
		v := &pod.Spec.Volumes[i]
		if !fromAPI(v) {
			continue
		}
		if _, err := os.Stat(m.volumeDir(pod.UID, v)); err != nil {
			continue // not prepared, or torn down meanwhile
		}
		if err := m.write(ctx, pv, pod, v, m.cached(ctx, pod.Namespace)); err != nil {
			errs = append(errs, fmt.Errorf("updating volume %q: %w", v.Name, err))
		}
	}
	return errors.Join(errs...)
}

// Teardown unmounts and removes the pod's volumes.
func (m *Manager) Teardown(ctx context.Context, uid types.UID) error {
	if pv := m.forget(uid); pv != nil {
		pv.writing.Lock()
		defer pv.writing.Unlock()
	}
	if m.cfg.Drivers != nil {
		if err := m.cfg.Drivers.Unmount(ctx, uid); err != nil {
			return err
		}
	}
	dir := m.podDir(uid)
	if err := m.cfg.Mounter.UnmountBeneath(dir); err != nil {
		return fmt.Errorf("unmounting volumes of pod %s: %w", uid, err)
	}
	for _, sub := range []string{"volumes", "volume-subpaths"} {
		if err := os.RemoveAll(filepath.Join(dir, sub)); err != nil {
			return fmt.Errorf("removing volumes of pod %s: %w", uid, err)
		}
	}
	return nil
}

// Pods lists the pods that have a directory here.
func (m *Manager) Pods(context.Context) ([]types.UID, error) {
	entries, err := os.ReadDir(filepath.Join(m.cfg.RootDir, "pods"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	uids := make([]types.UID, 0, len(entries))
	for _, e := range entries {
		uids = append(uids, types.UID(e.Name()))
	}
	return uids, err
}

func (m *Manager) podDir(uid types.UID) string {
	return filepath.Join(m.cfg.RootDir, "pods", string(uid))
}

func (m *Manager) volumeDir(uid types.UID, v *corev1.Volume) string {
	return filepath.Join(m.podDir(uid), "volumes", kind(v), v.Name)
}

func fsGroup(pod *corev1.Pod) *int64 {
	if pod.Spec.SecurityContext == nil {
		return nil
	}
	return pod.Spec.SecurityContext.FSGroup
}

// machine is what the machine has, nothing if that cannot be found out.
func machine() corev1.ResourceList {
	c, err := cgroups.MachineCapacity()
	if err != nil {
		return nil
	}
	return corev1.ResourceList{
		corev1.ResourceCPU:    *resource.NewQuantity(int64(c.CPUs), resource.DecimalSI),
		corev1.ResourceMemory: *resource.NewQuantity(c.Memory, resource.BinarySI),
	}
}
