// Package codec turns objects into the bytes that are stored, and back: built-in kinds
// as Kubernetes protobuf envelopes, all others as JSON.
package codec

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/miniorch/miniorch/pkg/api"
)

// Transformer changes values on their way to and from the store: encryption at rest. The
// key is authenticated with the value, so that stored values cannot be swapped.
type Transformer interface {
	Seal(key string, plain []byte) ([]byte, error)
	Open(key string, stored []byte) ([]byte, error)
}

// envelope begins a stored protobuf value; a runtime.Unknown follows, which names the kind.
var envelope = []byte("k8s\x00")

// message is what the generated types of built-in kinds can do.
type message interface {
	runtime.ProtobufMarshaller
	runtime.ProtobufReverseMarshaller
	Unmarshal([]byte) error
}

// Codec encodes the objects of one resource. It is safe for concurrent use.
type Codec struct {
	kind        runtime.TypeMeta
	typed       func() api.Object // nil for kinds without a Go type
	transformer Transformer
}

// New returns the codec of a resource. A nil Transformer stores values as they are.
func New(res api.Resource, t Transformer) *Codec {
	gvk := res.GVK()
	c := &Codec{transformer: t}
	c.kind.APIVersion, c.kind.Kind = gvk.ToAPIVersionAndKind()
	if api.Scheme.Recognizes(gvk) {
		c.typed = func() api.Object {
			obj, err := api.Scheme.New(gvk)
			if err != nil {
				panic(fmt.Sprintf("codec: the scheme has forgotten %v: %v", gvk, err))
			}
			return obj.(api.Object)
		}
	}
	return c
}

// Encode returns the value to store for obj. metadata.resourceVersion is not stored. The
// caller must own obj: it is changed for a moment.
func (c *Codec) Encode(key string, obj api.Object) ([]byte, error) {
	if rv := obj.GetResourceVersion(); rv != "" {
		obj.SetResourceVersion("")
		defer obj.SetResourceVersion(rv)
	}
	data, err := c.marshal(obj)
	if err != nil {
		return nil, fmt.Errorf("encoding %s: %w", key, err)
	}
	if c.transformer == nil {
		return data, nil
	}
	sealed, err := c.transformer.Seal(key, data)
	if err != nil {
		return nil, fmt.Errorf("sealing %s: %w", key, err)
	}
	return sealed, nil
}

func (c *Codec) marshal(obj api.Object) ([]byte, error) {
	m, ok := obj.(message)
	if c.typed == nil || !ok {
		return json.Marshal(obj)
	}
	unknown := runtime.Unknown{TypeMeta: c.kind}
	size := m.Size()
	// One tag byte and at most ten of length precede the message in the envelope.
	data := make([]byte, len(envelope)+unknown.Size()+11+size)
	copy(data, envelope)
	n, err := unknown.NestedMarshalTo(data[len(envelope):], m, uint64(size))
	if err != nil {
		return nil, err
	}
	return data[:len(envelope)+n], nil
}

// Decode returns the object of a stored value, with metadata.resourceVersion set to rev.
// Typed objects have apiVersion and kind empty, as everywhere in the server.
func (c *Codec) Decode(key string, value []byte, rev int64) (api.Object, error) {
	if c.transformer != nil {
		plain, err := c.transformer.Open(key, value)
		if err != nil {
			return nil, fmt.Errorf("opening %s: %w", key, err)
		}
		value = plain
	}
	obj, err := c.unmarshal(value)
	if err != nil {
		return nil, fmt.Errorf("decoding %s: %w", key, err)
	}
	obj.SetResourceVersion(strconv.FormatInt(rev, 10))
	return obj, nil
}

func (c *Codec) unmarshal(value []byte) (api.Object, error) {
	if raw, ok := bytes.CutPrefix(value, envelope); ok {
		return c.unmarshalEnvelope(raw)
	}
	if c.typed == nil {
		obj := &unstructured.Unstructured{}
		if err := obj.UnmarshalJSON(value); err != nil {
			return nil, err
		}
		if err := c.checkKind(obj.GetAPIVersion(), obj.GetKind()); err != nil {
			return nil, err
		}
		return obj, nil
	}
	obj := c.typed()
	if err := json.Unmarshal(value, obj); err != nil {
		return nil, err
	}
	kind := obj.GetObjectKind()
	if gvk := kind.GroupVersionKind(); !gvk.Empty() {
		version, name := gvk.ToAPIVersionAndKind()
		if err := c.checkKind(version, name); err != nil {
			return nil, err
		}
		kind.SetGroupVersionKind(schema.GroupVersionKind{})
	}
	return obj, nil
}

func (c *Codec) unmarshalEnvelope(raw []byte) (api.Object, error) {
	var unknown runtime.Unknown
	if err := unknown.Unmarshal(raw); err != nil {
		return nil, err
	}
	if err := c.checkKind(unknown.APIVersion, unknown.Kind); err != nil {
		return nil, err
	}
	if c.typed == nil {
		return nil, fmt.Errorf("a protobuf value of %s, which has no protobuf form", unknown.Kind)
	}
	obj := c.typed()
	m, ok := obj.(message)
	if !ok {
		return nil, fmt.Errorf("a protobuf value of %T, which has no protobuf form", obj)
	}
	if err := m.Unmarshal(unknown.Raw); err != nil {
		return nil, err
	}
	return obj, nil
}

func (c *Codec) checkKind(apiVersion, kind string) error {
	if apiVersion != c.kind.APIVersion || kind != c.kind.Kind {
		return fmt.Errorf("the value is a %q of %q, not a %s of %s", kind, apiVersion, c.kind.Kind, c.kind.APIVersion)
	}
	return nil
}
