// Package history keeps the templates that a StatefulSet or DaemonSet has had, as
// ControllerRevisions: what a pod was made from, what to go back to. It decides which
// revision a template is and which ones may be forgotten; it knows nothing of pods.
package history

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/miniorch/miniorch/controllers/names"
	"github.com/miniorch/miniorch/controllers/ownership"
	"github.com/miniorch/miniorch/pkg/api"
)

// Owner is who has a history.
type Owner struct {
	api.Object
	Kind       schema.GroupVersionKind
	Template   *corev1.PodTemplateSpec
	Collisions *int32 // how often the name of a revision was found to be taken
	Limit      int    // how many revisions are kept that no pod is of
	// HashLabel is the label that carries a revision's hash.
	HashLabel string
}

// encode is the strategic merge patch that gives an owner this template. Clients apply it to go
// back, and compare it byte by byte.
func encode(t *corev1.PodTemplateSpec) []byte {
	template := map[string]any{}
	data, err := json.Marshal(t)
	if err == nil {
		err = json.Unmarshal(data, &template)
	}
	if err != nil {
		panic(err) // API types always encode
	}
	template["$patch"] = "replace"
	if data, err = json.Marshal(map[string]any{"spec": map[string]any{"template": template}}); err != nil {
		panic(err)
	}
	return data
}

// Template returns the template that a revision keeps.
func Template(r *appsv1.ControllerRevision) (*corev1.PodTemplateSpec, error) {
	var data struct {
		Spec struct {
			Template corev1.PodTemplateSpec `json:"template"`
		} `json:"spec"`
	}
	if err := json.Unmarshal(r.Data.Raw, &data); err != nil {
		return nil, fmt.Errorf("reading the template of revision %q: %w", r.Name, err)
	}
	return &data.Spec.Template, nil
}

// sameData compares what two revisions keep: byte by byte, or, if somebody wrote the same in
// other words, by meaning.
func sameData(a, b []byte) bool {
	if bytes.Equal(a, b) {
		return true
	}
	var x, y any
	return json.Unmarshal(a, &x) == nil && json.Unmarshal(b, &y) == nil && reflect.DeepEqual(x, y)
}

// newRevision makes the revision of the owner's template. Its name follows from the template, so that
// who does not see that it exists loses a conflict.
func newRevision(o Owner, data []byte, number int64) *appsv1.ControllerRevision {
	hash := names.Hash(data, o.Collisions)
	labels := maps.Clone(o.Template.Labels)
	if labels == nil {
		labels = map[string]string{}
	}
	labels[o.HashLabel] = hash
	prefix := o.GetName()
	if most := 253 - len(hash) - 1; len(prefix) > most {
		prefix = prefix[:most]
	}
	return &appsv1.ControllerRevision{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: o.GetNamespace(), Name: prefix + "-" + hash, Labels: labels, Annotations: inherited(o.GetAnnotations()),
			OwnerReferences: []metav1.OwnerReference{ownership.Reference(o.Object, o.Kind)},
		},
		Data:     runtime.RawExtension{Raw: data},
		Revision: number,
	}
}

// inherited are the annotations that a revision takes over, the change cause among them.
func inherited(annotations map[string]string) map[string]string {
	out := maps.Clone(annotations)
	delete(out, corev1.LastAppliedConfigAnnotation)
	return out
}
