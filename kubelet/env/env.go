// Package env builds what a container finds around itself: its environment variables, and
// the texts of /etc/hosts and /etc/resolv.conf. It is pure but for the look-ups of
// ConfigMaps and Secrets that the caller passes in.
package env

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/validation"
)

// Sources are the objects that variables may come from.
type Sources struct {
	// Services are those that the pod may see: its namespace's, and default/kubernetes.
	Services  []*corev1.Service
	ConfigMap func(name string) (*corev1.ConfigMap, error)
	Secret    func(name string) (*corev1.Secret, error)
}

// Skipped is a name in a ConfigMap or Secret that cannot be a variable's.
type Skipped struct {
	From string // "ConfigMap default/settings"
	Keys []string
}

// String words the skip as the event for users.
func (s Skipped) String() string {
	return fmt.Sprintf("Keys [%s] from the EnvFrom %s were skipped since they are considered invalid environment variable names.",
		strings.Join(s.Keys, ", "), s.From)
}

// Build returns a container's variables as NAME=value, in a stable order: Services, envFrom,
// env; a later definition of a name wins.
func Build(pod *corev1.Pod, c *corev1.Container, facts Facts, src Sources) ([]string, []Skipped, error) {
	b := &builder{pod: pod, container: c, facts: facts, src: src, values: map[string]string{}}
	for _, v := range ServiceVariables(visible(pod, src.Services)) {
		b.set(v.Name, v.Value)
	}
	for i := range c.EnvFrom {
		if err := b.from(&c.EnvFrom[i]); err != nil {
			return nil, nil, err
		}
	}
	for i := range c.Env {
		if err := b.one(&c.Env[i]); err != nil {
			return nil, nil, err
		}
	}
	out := make([]string, 0, len(b.order))
	for _, name := range b.order {
		out = append(out, name+"="+b.values[name])
	}
	return out, b.skipped, nil
}

type builder struct {
	pod       *corev1.Pod
	container *corev1.Container
	facts     Facts
	src       Sources
	values    map[string]string
	order     []string
	skipped   []Skipped
}

func (b *builder) set(name, value string) {
	if _, ok := b.values[name]; !ok {
		b.order = append(b.order, name)
	}
	b.values[name] = value
}

// from adds all of a ConfigMap or Secret.
func (b *builder) from(src *corev1.EnvFromSource) error {
	data := map[string]string{}
	var origin string
	switch {
	case src.ConfigMapRef != nil:
		origin = "configMap " + b.pod.Namespace + "/" + src.ConfigMapRef.Name
		m, err := b.src.ConfigMap(src.ConfigMapRef.Name)
		if err != nil {
			return unlessOptional(err, src.ConfigMapRef.Optional)
		}
		maps.Copy(data, m.Data)
	case src.SecretRef != nil:
		origin = "secret " + b.pod.Namespace + "/" + src.SecretRef.Name
		s, err := b.src.Secret(src.SecretRef.Name)
		if err != nil {
			return unlessOptional(err, src.SecretRef.Optional)
		}
		for k, v := range s.Data {
			data[k] = string(v)
		}
	}
	var bad []string
	for _, key := range slices.Sorted(maps.Keys(data)) {
		name := src.Prefix + key
		if len(validation.IsRelaxedEnvVarName(name)) > 0 {
			bad = append(bad, key)
			continue
		}
		b.set(name, data[key])
	}
	if len(bad) > 0 {
		b.skipped = append(b.skipped, Skipped{From: origin, Keys: bad})
	}
	return nil
}

func (b *builder) one(v *corev1.EnvVar) error {
	if v.ValueFrom == nil {
		b.set(v.Name, Expand(v.Value, b.lookup))
		return nil
	}
	value, set, err := b.valueFrom(v.ValueFrom)
	if err != nil {
		return fmt.Errorf("environment variable %s: %w", v.Name, err)
	}
	if set {
		b.set(v.Name, value)
	}
	return nil
}

func (b *builder) lookup(name string) (string, bool) {
	v, ok := b.values[name]
	return v, ok
}

func (b *builder) valueFrom(src *corev1.EnvVarSource) (value string, set bool, err error) {
	switch {
	case src.FieldRef != nil:
		value, err = FieldValue(b.pod, src.FieldRef.FieldPath, b.facts)
		return value, true, err
	case src.ResourceFieldRef != nil:
		value, err = ResourceValue(b.pod, b.container, src.ResourceFieldRef, b.facts.Allocatable)
		return value, true, err
	case src.ConfigMapKeyRef != nil:
		ref := src.ConfigMapKeyRef
		m, err := b.src.ConfigMap(ref.Name)
		if err != nil {
			return "", false, unlessOptional(err, ref.Optional)
		}
		if v, ok := m.Data[ref.Key]; ok {
			return v, true, nil
		}
		if v, ok := m.BinaryData[ref.Key]; ok {
			return string(v), true, nil
		}
		return "", false, missingKey("ConfigMap", b.pod.Namespace, ref.Name, ref.Key, ref.Optional)
	case src.SecretKeyRef != nil:
		ref := src.SecretKeyRef
		s, err := b.src.Secret(ref.Name)
		if err != nil {
			return "", false, unlessOptional(err, ref.Optional)
		}
		if v, ok := s.Data[ref.Key]; ok {
			return string(v), true, nil
		}
		return "", false, missingKey("Secret", b.pod.Namespace, ref.Name, ref.Key, ref.Optional)
	}
	return "", false, errors.New("this source of a value is not supported")
}

func unlessOptional(err error, optional *bool) error {
	if apierrors.IsNotFound(err) && optional != nil && *optional {
		return nil
	}
	return err
}

func missingKey(kind, ns, name, key string, optional *bool) error {
	if optional != nil && *optional {
		return nil
	}
	return fmt.Errorf("couldn't find key %s in %s %s/%s", key, kind, ns, name)
}
