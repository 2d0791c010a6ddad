package volumes

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"

	"github.com/miniorch/miniorch/pkg/claims"
	"github.com/miniorch/miniorch/pkg/client"
	"github.com/miniorch/miniorch/pkg/reconcile"
)

// makeLocalPath makes the directory of a volume that is mounted for the first time, and has the volume
// say so. A directory that is missing later is never replaced by an empty one: that the
// data is lost must not go unnoticed.
func (m *Manager) makeLocalPath(ctx context.Context, pv *corev1.PersistentVolume) error {
	name, err := localName(m.cfg.LocalRoot, pv)
	if err != nil {
		return err
	}
	if pv.Annotations[claims.LocalPathMade] != "" {
		return nil
	}
	if err := os.MkdirAll(m.cfg.LocalRoot, 0o711); err != nil {
		return err
	}
	if err := makeDir(filepath.Join(m.cfg.LocalRoot, name)); err != nil {
		return fmt.Errorf("making the volume's directory: %w", err)
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{
		"uid": pv.UID, "annotations": map[string]string{claims.LocalPathMade: "true"},
	}})
	if err != nil {
		return err
	}
	if _, err := client.Of[*corev1.PersistentVolume](m.transport).Patch(ctx, "", pv.Name, types.MergePatchType, patch, ""); err != nil {
		return fmt.Errorf("noting that the volume's directory was made: %w", err)
	}
	return nil
}

// makeDir makes a directory that any user may write to, as an emptyDir is, durably: the API
// must not know of it before the disk does.
func makeDir(dir string) error {
	if err := os.Mkdir(dir, 0o777); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	} else if err == nil {
		if err := os.Chmod(dir, 0o777); err != nil { // whatever the umask says
			return err
		}
	}
	parent, err := os.Open(filepath.Dir(dir))
	if err != nil {
		return err
	}
	return errors.Join(parent.Sync(), parent.Close())
}

// localName is the name of a volume's directory below root, if it is one of ours there.
func localName(root string, pv *corev1.PersistentVolume) (string, error) {
	dir, name := filepath.Split(pv.Spec.Local.Path)
	if root == "" || filepath.Clean(dir) != filepath.Clean(root) || !strings.HasPrefix(name, pv.Name+"_") {
		return "", fmt.Errorf("%q is not a directory for local volumes of this node, which are in %q", pv.Spec.Local.Path, root)
	}
	return name, nil
}

// LocalConfig tunes a LocalRemover.
type LocalConfig struct {
	NodeName string
	// Plays says of which nodes the volumes are, instead of NodeName, for one who plays many.
	Plays func(node string) bool
	Root  string // where the directories are; empty: nowhere, as nodes that are played have none
	Loop  reconcile.Config
}

// LocalRemover removes the directories of local-path volumes of this node that are being
// deleted, and lets the volumes go then.
type LocalRemover struct {
	cfg     LocalConfig
	log     *slog.Logger
	volumes *client.Informer[*corev1.PersistentVolume]
	volume  client.Client[*corev1.PersistentVolume]
	loop    *reconcile.Loop
}

// NewLocalRemover wires the remover; Run starts it.
func NewLocalRemover(t client.Transport, informers *client.Informers, cfg LocalConfig) *LocalRemover {
	cfg.Loop = cfg.Loop.WithDefaults()
	selection := client.Selection{Labels: labels.SelectorFromSet(labels.Set{claims.LocalPathNode: cfg.NodeName})}
	if cfg.Plays != nil {
		selection = client.Selection{}
	} else {
		cfg.Plays = func(node string) bool { return node == cfg.NodeName }
	}
	r := &LocalRemover{
		cfg: cfg, log: cfg.Loop.Logger.With("component", "local-path"), volume: client.Of[*corev1.PersistentVolume](t),
		volumes: client.InformerWith[*corev1.PersistentVolume](informers, selection),
	}
	r.loop = reconcile.New("local-path", r, cfg.Loop)
	reconcile.Watch(r.loop, r.volumes, reconcile.KeyOf)
	return r
}

// Run removes until ctx ends. It needs the informers to run.
func (r *LocalRemover) Run(ctx context.Context) error { return r.loop.Run(ctx) }

// Reconcile removes the directory of one volume, if that is due: when the volume is being deleted and
// is not protected any more, so that no pod uses it. A volume to be retained leaves its data.
func (r *LocalRemover) Reconcile(ctx context.Context, key reconcile.Key) (reconcile.Result, error) {
	pv, ok := r.volumes.Get("", key.Name)
	if !ok || !claims.IsLocalPath(pv) || !r.cfg.Plays(pv.Labels[claims.LocalPathNode]) || pv.DeletionTimestamp == nil ||
		!slices.Contains(pv.Finalizers, claims.LocalPath) || slices.Contains(pv.Finalizers, claims.VolumeProtection) {
		return reconcile.Result{}, nil
	}
	if pv.Spec.PersistentVolumeReclaimPolicy == corev1.PersistentVolumeReclaimDelete && r.cfg.Root != "" {
		if err := r.remove(pv); err != nil {
			return reconcile.Result{}, fmt.Errorf("removing the directory of volume %q: %w", pv.Name, err)
		}
	}
	free := pv.DeepCopy()
	free.Finalizers = slices.DeleteFunc(free.Finalizers, func(f string) bool { return f == claims.LocalPath })
	if _, err := r.volume.Update(ctx, free); err != nil && !apierrors.IsNotFound(err) {
		return reconcile.Result{}, fmt.Errorf("letting volume %q go: %w", pv.Name, err)
	}
	r.log.Info("local volume removed", "volume", pv.Name, "data", pv.Spec.PersistentVolumeReclaimPolicy)
	return reconcile.Result{}, nil
}

// remove deletes beneath the root only, whatever links the data holds.
func (r *LocalRemover) remove(pv *corev1.PersistentVolume) error {
	name, err := localName(r.cfg.Root, pv)
	if err != nil {
		return err
	}
	root, err := os.OpenRoot(r.cfg.Root)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // no volume was ever mounted
	} else if err != nil {
		return err
	}
	return errors.Join(root.RemoveAll(name), root.Close())
}
