package handlers

import (
	"encoding/json"
	"fmt"
	"reflect"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/miniorch/miniorch/apiserver/storage/watchcache"
	"github.com/miniorch/miniorch/pkg/api"
)

// Beside its JSON and protobuf forms an item keeps those of its metadata alone. The
// numbers leave room for forms that other packages may need.
const (
	formatMetadataJSON     = watchcache.FormatOther + 100
	formatMetadataProtobuf = watchcache.FormatOther + 101
)

var partialKind = schema.GroupVersionKind{Group: "meta.k8s.io", Version: "v1", Kind: "PartialObjectMetadata"}

// marshaler is what types with a protobuf form have.
type marshaler interface {
	Marshal() ([]byte, error)
	Size() int
}

// jsonOf encodes an object without a newline at its end. Typed objects in the cache carry no
// apiVersion and kind; they are added to a shallow copy, as the object is shared.
func jsonOf(obj runtime.Object) ([]byte, error) {
	if obj.GetObjectKind().GroupVersionKind().Empty() {
		gvk, err := kindOf(obj)
		if err != nil {
			return nil, err
		}
		obj = shallow(obj)
		obj.GetObjectKind().SetGroupVersionKind(gvk)
	}
	return json.Marshal(obj)
}

// protobufOf encodes an object's own message, without envelope.
func protobufOf(obj runtime.Object) ([]byte, error) {
	m, ok := obj.(marshaler)
	if !ok {
		return nil, notAcceptable([]string{mediaJSON, mediaYAML})
	}
	return m.Marshal()
}

func shallow(obj runtime.Object) runtime.Object {
	v := reflect.ValueOf(obj).Elem()
	c := reflect.New(v.Type())
	c.Elem().Set(v)
	return c.Interface().(runtime.Object)
}

// kindOf returns what obj says it is or, if it says nothing, what its Go type is.
func kindOf(obj runtime.Object) (schema.GroupVersionKind, error) {
	if gvk := obj.GetObjectKind().GroupVersionKind(); !gvk.Empty() {
		return gvk, nil
	}
	if o, ok := obj.(api.Object); ok {
		if r, ok := api.ResourceOf(o); ok {
			return r.GVK(), nil
		}
	}
	gvks, _, err := api.Scheme.ObjectKinds(obj)
	if err != nil || len(gvks) == 0 {
		return schema.GroupVersionKind{}, fmt.Errorf("finding the kind of a %T: %w", obj, err)
	}
	return gvks[0], nil
}

// partial returns an object's metadata alone.
func partial(obj api.Object) *metav1.PartialObjectMetadata {
	p := &metav1.PartialObjectMetadata{TypeMeta: metav1.TypeMeta{APIVersion: partialKind.GroupVersion().String(), Kind: partialKind.Kind}}
	if accessor, ok := obj.(metav1.ObjectMetaAccessor); ok {
		if m, ok := accessor.GetObjectMeta().(*metav1.ObjectMeta); ok {
			p.ObjectMeta = *m
			return p
		}
	}
	p.ObjectMeta = copyMeta(obj)
	return p
}

// copyMeta reads the metadata of an object that is not a Go struct.
func copyMeta(o metav1.Object) metav1.ObjectMeta {
	return metav1.ObjectMeta{
		Name: o.GetName(), GenerateName: o.GetGenerateName(), Namespace: o.GetNamespace(), UID: o.GetUID(),
		//lint:ignore SA1019 a complete copy copies selfLink too.
		ResourceVersion: o.GetResourceVersion(), Generation: o.GetGeneration(), SelfLink: o.GetSelfLink(),
		CreationTimestamp: o.GetCreationTimestamp(), DeletionTimestamp: o.GetDeletionTimestamp(),
		DeletionGracePeriodSeconds: o.GetDeletionGracePeriodSeconds(), Labels: o.GetLabels(), Annotations: o.GetAnnotations(),
		OwnerReferences: o.GetOwnerReferences(), Finalizers: o.GetFinalizers(), ManagedFields: o.GetManagedFields(),
	}
}

// itemJSON, itemProtobuf, metadataJSON and metadataProtobuf return an item's kept bytes.
func itemJSON(it *watchcache.Item) ([]byte, error) {
	return it.Encoded(watchcache.FormatJSON, func(o api.Object) ([]byte, error) { return jsonOf(o) })
}

func itemProtobuf(it *watchcache.Item) ([]byte, error) {
	return it.Encoded(watchcache.FormatProtobuf, func(o api.Object) ([]byte, error) { return protobufOf(o) })
}

func metadataJSON(it *watchcache.Item) ([]byte, error) {
	return it.Encoded(formatMetadataJSON, func(o api.Object) ([]byte, error) { return jsonOf(partial(o)) })
}

func metadataProtobuf(it *watchcache.Item) ([]byte, error) {
	return it.Encoded(formatMetadataProtobuf, func(o api.Object) ([]byte, error) { return protobufOf(partial(o)) })
}

// protobufSize returns the length of an item's bytes in one of the two protobuf formats.
func protobufSize(shape shape, it *watchcache.Item) (int, error) {
	if shape == metadata {
		return it.EncodedSize(formatMetadataProtobuf, func(o api.Object) int { return partial(o).Size() }), nil
	}
	m, ok := it.Object.(marshaler)
	if !ok {
		return 0, notAcceptable([]string{mediaJSON, mediaYAML})
	}
	return it.EncodedSize(watchcache.FormatProtobuf, func(api.Object) int { return m.Size() }), nil
}
