package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"strconv"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/miniorch/miniorch/pkg/api"
)

const (
	mediaJSON     = runtime.ContentTypeJSON
	mediaProtobuf = runtime.ContentTypeProtobuf
)

// apiGroupless stands for the resource in errors whose path says it all.
var apiGroupless = schema.GroupResource{}

// known reports whether r's kind has a Go type, and so a protobuf form.
func known(r api.Resource) bool { return api.Scheme.Recognizes(r.GVK()) }

func acceptFor(r api.Resource) string {
	if known(r) {
		return mediaProtobuf + "," + mediaJSON
	}
	return mediaJSON
}

// encode returns obj as it travels to resource r.
func encode(r api.Resource, obj api.Object) (media string, body []byte, err error) {
	if u, ok := obj.(*unstructured.Unstructured); ok {
		body, err = u.MarshalJSON()
	} else if known(r) {
		return encodeMeta(obj)
	} else {
		body, err = json.Marshal(obj)
	}
	if err != nil {
		return "", nil, fmt.Errorf("encoding %T: %w", obj, err)
	}
	return mediaJSON, body, nil
}

// encodeMeta encodes what the scheme knows as protobuf. What has several versions' names
// (DeleteOptions) is sent under meta/v1's.
func encodeMeta(obj runtime.Object) (media string, body []byte, err error) {
	info, _ := runtime.SerializerInfoForMediaType(api.Codecs.SupportedMediaTypes(), mediaProtobuf)
	gvks, _, err := api.Scheme.ObjectKinds(obj)
	if err != nil {
		return "", nil, fmt.Errorf("encoding %T: %w", obj, err)
	}
	// The serializer takes the kind from the object, which typed objects need not carry.
	gvk := obj.GetObjectKind().GroupVersionKind()
	if gvk.Empty() {
		obj = obj.DeepCopyObject()
		gvk = gvks[0]
		for _, k := range gvks {
			if k.GroupVersion() == metav1.Unversioned {
				gvk = k
			}
		}
		obj.GetObjectKind().SetGroupVersionKind(gvk)
	}
	body, err = runtime.Encode(info.Serializer, obj)
	if err != nil {
		return "", nil, fmt.Errorf("encoding %T: %w", obj, err)
	}
	return mediaProtobuf, body, nil
}

// decode reads one object of any kind; kinds without a Go type become unstructured.
func decode(contentType string, body []byte) (runtime.Object, error) {
	media, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		return nil, fmt.Errorf("the answer's content type %q: %w", contentType, err)
	}
	info, ok := runtime.SerializerInfoForMediaType(api.Codecs.SupportedMediaTypes(), media)
	if !ok {
		return nil, fmt.Errorf("the answer's content type is %q", contentType)
	}
	obj, _, err := info.Serializer.Decode(body, nil, nil)
	if runtime.IsNotRegisteredError(err) && media == mediaJSON {
		obj, _, err = unstructured.UnstructuredJSONScheme.Decode(body, nil, nil)
	}
	if err != nil {
		return nil, fmt.Errorf("decoding the answer: %w", err)
	}
	return obj, nil
}

func decodeList(contentType string, body []byte) (*List, error) {
	obj, err := decode(contentType, body)
	if err != nil {
		return nil, err
	}
	list, ok := obj.(metav1.ListInterface)
	if !ok {
		m, err := meta.ListAccessor(obj)
		if err != nil {
			return nil, fmt.Errorf("the server answered with %T, which is not a list", obj)
		}
		list = m
	}
	out := &List{ListMeta: metav1.ListMeta{
		ResourceVersion: list.GetResourceVersion(), Continue: list.GetContinue(), RemainingItemCount: list.GetRemainingItemCount(),
	}}
	err = meta.EachListItem(obj, func(item runtime.Object) error {
		o, ok := item.(api.Object)
		if !ok {
			return errors.New("a list item is not an object")
		}
		out.Items = append(out.Items, o)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("decoding the list: %w", err)
	}
	return out, nil
}

func retryAfter(resp *http.Response) int {
	s, err := strconv.Atoi(resp.Header.Get("Retry-After"))
	if err != nil || s < 0 {
		return 0
	}
	return s
}
