package volumes

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/miniorch/miniorch/kubelet/env"
)

// source is where the content of ConfigMaps and Secrets comes from.
type source struct {
	configMap func(name string) (*corev1.ConfigMap, error)
	secret    func(name string) (*corev1.Secret, error)
}

// payload returns the files of a volume.
func (m *Manager) payload(ctx context.Context, pv *podVolumes, pod *corev1.Pod, v *corev1.Volume, src source) (map[string]file, error) {
	files := map[string]file{}
	switch {
	case v.ConfigMap != nil:
		c := v.ConfigMap
		return files, addConfigMap(files, src, c.Name, c.Items, c.Optional, modeOf(c.DefaultMode))
	case v.Secret != nil:
		s := v.Secret
		return files, addSecret(files, src, s.SecretName, s.Items, s.Optional, modeOf(s.DefaultMode))
	case v.DownwardAPI != nil:
		return files, m.addDownward(files, pod, v.DownwardAPI.Items, modeOf(v.DownwardAPI.DefaultMode))
	case v.Projected != nil:
		return files, m.addProjected(ctx, files, pv, pod, v, src)
	}
	return nil, fmt.Errorf("volumes of type %s are not supported", kind(v))
}

func (m *Manager) addProjected(ctx context.Context, files map[string]file, pv *podVolumes, pod *corev1.Pod, v *corev1.Volume, src source) error {
	mode := modeOf(v.Projected.DefaultMode)
	var errs []error
	for i := range v.Projected.Sources {
		switch s := &v.Projected.Sources[i]; {
		case s.ConfigMap != nil:
			errs = append(errs, addConfigMap(files, src, s.ConfigMap.Name, s.ConfigMap.Items, s.ConfigMap.Optional, mode))
		case s.Secret != nil:
			errs = append(errs, addSecret(files, src, s.Secret.Name, s.Secret.Items, s.Secret.Optional, mode))
		case s.DownwardAPI != nil:
			errs = append(errs, m.addDownward(files, pod, s.DownwardAPI.Items, mode))
		case s.ServiceAccountToken != nil:
			errs = append(errs, m.addToken(ctx, files, pv, pod, s.ServiceAccountToken, mode))
		}
	}
	return errors.Join(errs...)
}

func modeOf(m *int32) os.FileMode {
	if m == nil {
		return 0o644
	}
	return os.FileMode(*m).Perm()
}

func addConfigMap(files map[string]file, src source, name string, items []corev1.KeyToPath, optional *bool, mode os.FileMode) error {
	c, err := src.configMap(name)
	if err != nil {
		return unlessOptional(err, optional)
	}
	data := make(map[string][]byte, len(c.Data)+len(c.BinaryData))
	for k, v := range c.Data {
		data[k] = []byte(v)
	}
	for k, v := range c.BinaryData {
		data[k] = v
	}
	return pick(files, data, items, optional, mode)
}

func addSecret(files map[string]file, src source, name string, items []corev1.KeyToPath, optional *bool, mode os.FileMode) error {
	s, err := src.secret(name)
	if err != nil {
		return unlessOptional(err, optional)
	}
	return pick(files, s.Data, items, optional, mode)
}

// pick adds all keys, or those that items name at their paths.
func pick(files map[string]file, data map[string][]byte, items []corev1.KeyToPath, optional *bool, mode os.FileMode) error {
	if len(items) == 0 {
		for k, v := range data {
			files[k] = file{data: v, mode: mode}
		}
		return nil
	}
	for _, item := range items {
		v, ok := data[item.Key]
		if !ok {
			if optional != nil && *optional {
				continue
			}
			return fmt.Errorf("references non-existent config key: %s", item.Key)
		}
		f := file{data: v, mode: mode}
		if item.Mode != nil {
			f.mode = modeOf(item.Mode)
		}
		files[item.Path] = f
	}
	return nil
}

func (m *Manager) addDownward(files map[string]file, pod *corev1.Pod, items []corev1.DownwardAPIVolumeFile, mode os.FileMode) error {
	for _, item := range items {
		f := file{mode: mode}
		if item.Mode != nil {
			f.mode = modeOf(item.Mode)
		}
		var value string
		var err error
		switch {
		case item.FieldRef != nil && strings.HasPrefix(item.FieldRef.FieldPath, "metadata."):
			value, err = env.FieldValue(pod, item.FieldRef.FieldPath, env.Facts{})
		case item.ResourceFieldRef != nil:
			value, err = env.ResourceValue(pod, nil, item.ResourceFieldRef, m.cfg.Allocatable())
		default:
			err = errors.New("neither a metadata field nor a resource field")
		}
		if err != nil {
			return fmt.Errorf("downwardAPI file %s: %w", item.Path, err)
		}
		f.data = []byte(value)
		files[item.Path] = f
	}
	return nil
}

func unlessOptional(err error, optional *bool) error {
	if apierrors.IsNotFound(err) && optional != nil && *optional {
		return nil
	}
	return err
}
