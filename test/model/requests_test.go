package model

import (
	"encoding/json"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"

	"github.com/miniorch/miniorch/pkg/api"
)

// object is the body of a create, put or apply.
func (o *op) object() api.Object {
	meta := metav1.ObjectMeta{Name: o.Place.name, Namespace: o.Place.namespace, ResourceVersion: o.Version, Finalizers: o.Finalizers}
	if o.Place.name == "g-" {
		meta.Name, meta.GenerateName = "", "g-"
	}
	if o.Color != "" {
		meta.Labels = map[string]string{colorLabel: o.Color}
	}
	if o.Place.kind == configMaps {
		return &corev1.ConfigMap{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"}, ObjectMeta: meta, Data: o.Fields}
	}
	meta.Annotations = o.Fields
	labels := map[string]string{"app": "x"}
	d := &appsv1.Deployment{TypeMeta: metav1.TypeMeta{APIVersion: "apps/v1", Kind: "Deployment"}, ObjectMeta: meta}
	d.Spec.Selector = &metav1.LabelSelector{MatchLabels: labels}
	d.Spec.Template = corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "i"}}}}
	if o.Verb != apply {
		replicas := int32(o.Number)
		d.Spec.Replicas = &replicas
	}
	d.Status.ObservedGeneration = o.Number // only a status request may say so
	return d
}

// patch is the body of a merge or strategic patch.
func (o *op) patch() []byte {
	fields := map[string]any{}
	for name, value := range o.Fields {
		fields[name] = value
	}
	for _, name := range o.Unset {
		fields[name] = nil
	}
	meta, body := map[string]any{}, map[string]any{}
	if o.Version != "" {
		meta["resourceVersion"] = o.Version
	}
	if o.SetFinalizers {
		meta["finalizers"] = o.Finalizers
	}
	switch {
	case o.Verb == patchStatus:
		body["status"] = map[string]any{"observedGeneration": o.Number}
	case o.Verb == patchScale:
		body["spec"] = map[string]any{"replicas": o.Number}
	case o.Place.kind == configMaps:
		body["data"] = fields
	default:
		meta["annotations"] = fields
	}
	body["metadata"] = meta
	return mustJSON(body)
}

func (o *op) jsonPatch() []byte {
	root := "/data/"
	if o.Place.kind == deployments {
		root = "/metadata/annotations/"
	}
	var steps []map[string]any
	if o.Test != "" {
		steps = append(steps, map[string]any{"op": "test", "path": root + o.mark(), "value": o.Test})
	}
	for name, value := range o.Fields {
		steps = append(steps, map[string]any{"op": "add", "path": root + name, "value": value})
	}
	return mustJSON(steps)
}

func mustJSON(v any) []byte {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err) // maps and strings
	}
	return text
}

// patches are the bodies that are sent with PATCH, and where to.
var patches = map[verb]struct {
	media       types.PatchType
	subresource string
	body        func(*op) []byte
}{
	mergePatch:     {types.MergePatchType, "", (*op).patch},
	strategicPatch: {types.StrategicMergePatchType, "", (*op).patch},
	jsonPatch:      {types.JSONPatchType, "", (*op).jsonPatch},
	patchStatus:    {types.MergePatchType, "status", (*op).patch},
	patchScale:     {types.MergePatchType, "scale", (*op).patch},
	apply:          {types.ApplyYAMLPatchType, "", (*op).wish},
	applyStatus:    {types.ApplyYAMLPatchType, "status", (*op).statusWish},
}

// request makes the HTTP request.
func (c *client) request(o *op) *rest.Request {
	rc := c.rest(o.Place.kind)
	var dryRun []string
	if o.DryRun {
		dryRun = []string{metav1.DryRunAll}
	}
	if p, ok := patches[o.Verb]; ok {
		opts := &metav1.PatchOptions{DryRun: dryRun, FieldManager: o.Manager}
		if o.Verb == apply || o.Verb == applyStatus {
			opts.Force = &o.Force
		}
		return o.at(rc.Patch(p.media), p.subresource).VersionedParams(opts, scheme.ParameterCodec).Body(p.body(o))
	}
	updates := &metav1.UpdateOptions{DryRun: dryRun, FieldManager: o.Manager}
	switch o.Verb {
	case create:
		opts := &metav1.CreateOptions{DryRun: dryRun, FieldManager: o.Manager}
		return rc.Post().Resource(o.Place.kind.Name).Namespace(o.Place.namespace).MaxRetries(0).VersionedParams(opts, scheme.ParameterCodec).Body(o.object())
	case put:
		return o.at(rc.Put(), "").VersionedParams(updates, scheme.ParameterCodec).Body(o.object())
	case putStatus:
		return o.at(rc.Put(), "status").VersionedParams(updates, scheme.ParameterCodec).Body(o.object())
	case putScale:
		scale := &autoscalingv1.Scale{ObjectMeta: metav1.ObjectMeta{Name: o.Place.name, Namespace: o.Place.namespace, ResourceVersion: o.Version},
			Spec: autoscalingv1.ScaleSpec{Replicas: int32(o.Number)}}
		return o.at(rc.Put(), "scale").VersionedParams(updates, scheme.ParameterCodec).Body(scale)
	}
	return o.deletion(rc.Delete(), dryRun)
}

// at is where the object is.
func (o *op) at(r *rest.Request, subresource string) *rest.Request {
	r = r.Resource(o.Place.kind.Name).Namespace(o.Place.namespace).Name(o.Place.name).MaxRetries(0)
	if subresource != "" {
		r = r.SubResource(subresource)
	}
	return r
}

func (o *op) deletion(r *rest.Request, dryRun []string) *rest.Request {
	opts := &metav1.DeleteOptions{DryRun: dryRun}
	if o.Verb == removeCollection {
		list := &metav1.ListOptions{LabelSelector: colorLabel + "=" + o.Color}
		return r.Resource(o.Place.kind.Name).Namespace(o.Place.namespace).MaxRetries(0).VersionedParams(list, scheme.ParameterCodec).Body(opts)
	}
	if o.UID != "" || o.Version != "" {
		opts.Preconditions = &metav1.Preconditions{}
	}
	if o.UID != "" {
		opts.Preconditions.UID = (*types.UID)(&o.UID)
	}
	if o.Version != "" {
		opts.Preconditions.ResourceVersion = &o.Version
	}
	return o.at(r, "").Body(opts)
}

// statusWish is what is applied to a status.
func (o *op) statusWish() []byte {
	meta := map[string]any{"name": o.Place.name, "namespace": o.Place.namespace}
	if o.Version != "" {
		meta["resourceVersion"] = o.Version
	}
	return mustJSON(map[string]any{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta, "status": map[string]any{"observedGeneration": o.Number}})
}

// wish is what is applied: the object without what a Go type fills in by itself.
func (o *op) wish() []byte {
	tree, err := runtime.DefaultUnstructuredConverter.ToUnstructured(o.object())
	if err != nil {
		panic(err) // built-in kinds can be converted
	}
	delete(tree, "status")
	delete(tree["metadata"].(map[string]any), "creationTimestamp")
	if o.Place.kind == deployments {
		spec := tree["spec"].(map[string]any)
		delete(spec, "strategy")
		delete(spec["template"].(map[string]any)["metadata"].(map[string]any), "creationTimestamp")
	}
	return mustJSON(tree)
}
