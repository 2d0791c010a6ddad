package csi

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/miniorch/miniorch/pkg/claims"
)

// record is what a pod has, or is about to have, of a driver.
type record struct {
	Driver   string                  `json:"driver"`
	Handle   string                  `json:"handle"`
	Name     corev1.UniqueVolumeName `json:"name"`     // in the node's status
	Attached bool                    `json:"attached"` // somebody had to attach it

	dir string // where it is, beside what the driver publishes
}

const recordFile = "vol_data.json"

// podVolumes is the directory of a pod's volumes of drivers: its name is known to drivers.
func (m *Manager) podVolumes(uid types.UID) string {
	return filepath.Join(m.cfg.RootDir, "pods", string(uid), "volumes", "kubernetes.io~csi")
}

func (m *Manager) recordOf(uid types.UID, pv *corev1.PersistentVolume) record {
	src := pv.Spec.CSI
	return record{Driver: src.Driver, Handle: src.VolumeHandle, Name: claims.UniqueName(src), dir: filepath.Join(m.podVolumes(uid), pv.Name)}
}

// target is where the driver publishes the volume.
func (r record) target() string { return filepath.Join(r.dir, "mount") }

// staging is where the driver stages the volume, for all pods.
func (m *Manager) staging(r record) string {
	return filepath.Join(m.cfg.RootDir, "plugins", "kubernetes.io", "csi", r.Driver, fmt.Sprintf("%x", sha256.Sum256([]byte(r.Handle))), "globalmount")
}

// write puts a record down, whole or not at all.
func (r record) write() error {
	text, err := json.Marshal(r)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(r.dir, 0o750); err != nil {
		return err
	}
	path := filepath.Join(r.dir, recordFile)
	if err := os.WriteFile(path+".new", text, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// records reads what one pod has; with an empty UID, what all have.
func (m *Manager) records(uid types.UID) ([]record, error) {
	if uid == "" {
		uid = "*"
	}
	paths, err := filepath.Glob(filepath.Join(m.podVolumes(uid), "*", recordFile))
	if err != nil {
		return nil, err
	}
	var all []record
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue // it has just been given back
		} else if err != nil {
			return nil, err
		}
		r := record{dir: filepath.Dir(path)}
		if err := json.Unmarshal(text, &r); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		all = append(all, r)
	}
	return all, nil
}

// inUse are the volumes that must stay attached to this node, in order.
func inUse(all []record) []corev1.UniqueVolumeName {
	var names []corev1.UniqueVolumeName
	for _, r := range all {
		if r.Attached && !slices.Contains(names, r.Name) {
			names = append(names, r.Name)
		}
	}
	slices.Sort(names)
	return names
}
