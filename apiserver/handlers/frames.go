package handlers

import (
	"encoding/binary"
	"encoding/json"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/miniorch/miniorch/apiserver/rest"
	"github.com/miniorch/miniorch/apiserver/storage/watchcache"
)

const (
	initialEventsAnnotation = metav1.InitialEventsAnnotationKey

	contentProtobufWatch = mediaProtobuf + ";stream=watch"
)

// frames turns events into what goes over the wire, without copying an object's bytes more
// than once.
type frames struct {
	h       *Handler
	t       *served
	f       format
	include metav1.IncludeObjectPolicy
	columns bool   // the columns of a table have been sent
	buf     []byte // of the frame being made, used again
}

// frame returns the bytes of one event; they are good until the next call.
func (fr *frames) frame(e rest.Event) ([]byte, error) {
	switch e.Type {
	case watch.Error:
		status := statusOf(e.Err)
		data, err := encodeAs(fr.f.media, status)
		if err != nil {
			return nil, err
		}
		return fr.wrap(e.Type, statusKind, data), nil
	case watch.Bookmark:
		return fr.bookmark(e)
	}
	return fr.object(e.Type, e.Item)
}

func (fr *frames) object(kind watch.EventType, it *watchcache.Item) ([]byte, error) {
	if fr.f.shape == table {
		meta := metav1.ListMeta{ResourceVersion: it.Object.GetResourceVersion()}
		data, err := fr.h.encodeTable(fr.t.desc, meta, []*watchcache.Item{it}, fr.include, !fr.columns)
		fr.columns = true
		if err != nil {
			return nil, err
		}
		return fr.wrap(kind, tableKind, data), nil
	}
	gvk, encode := fr.t.encoding(fr.f, it)
	data, err := encode(it)
	if err != nil {
		return nil, err
	}
	return fr.wrap(kind, gvk, data), nil
}

// bookmark is an object of the resource's kind with nothing in it but the revision.
func (fr *frames) bookmark(e rest.Event) ([]byte, error) {
	obj := fr.t.desc.New()
	obj.SetResourceVersion(e.ResourceVersion)
	if e.InitialEventsEnd {
		obj.SetAnnotations(map[string]string{initialEventsAnnotation: "true"})
	}
	it := watchcache.NewItem("", obj, 0)
	if fr.f.shape != table {
		return fr.object(watch.Bookmark, it)
	}
	meta := metav1.ListMeta{ResourceVersion: e.ResourceVersion}
	if !e.InitialEventsEnd { // rows of an empty object would print nonsense
		data, err := fr.h.encodeTable(fr.t.desc, meta, nil, fr.include, !fr.columns)
		return fr.wrap(watch.Bookmark, tableKind, data), err
	}
	data, err := fr.h.encodeTable(fr.t.desc, meta, []*watchcache.Item{it}, metav1.IncludeMetadata, !fr.columns)
	return fr.wrap(watch.Bookmark, tableKind, data), err
}

func (fr *frames) wrap(kind watch.EventType, gvk schema.GroupVersionKind, data []byte) []byte {
	fr.buf = fr.buf[:0]
	if fr.f.media == mediaProtobuf {
		fr.buf = appendProtobufFrame(fr.buf, kind, gvk, data)
	} else {
		fr.buf = appendJSONFrame(fr.buf, kind, data)
	}
	return fr.buf
}

// appendJSONFrame appends a line: a metav1.WatchEvent.
func appendJSONFrame(b []byte, kind watch.EventType, data []byte) []byte {
	b = append(b, `{"type":"`...)
	b = append(b, kind...)
	b = append(b, `","object":`...)
	b = append(b, data...)
	return append(b, "}\n"...)
}

// appendProtobufFrame appends four bytes of length and a metav1.WatchEvent message: 1 = type,
// 2 = {1 = the object in its envelope}.
func appendProtobufFrame(b []byte, kind watch.EventType, gvk schema.GroupVersionKind, data []byte) []byte {
	head := envelope(gvk, len(data))
	raw := len(head) + len(data)
	extension := headerSize(raw) + raw
	size := headerSize(len(kind)) + len(kind) + headerSize(extension) + extension
	b = binary.BigEndian.AppendUint32(b, uint32(size))
	b = appendString(b, tag1, string(kind))
	b = appendHeader(b, tag2, extension)
	b = appendHeader(b, tag1, raw)
	b = append(b, head...)
	return append(b, data...)
}

// errorFrame is the last event of a watch that failed for a reason of ours.
func (fr *frames) errorFrame(err error) []byte {
	var obj runtime.Object = statusOf(err)
	data, encodeErr := encodeAs(fr.f.media, obj)
	if encodeErr != nil {
		data, _ = json.Marshal(obj)
	}
	return fr.wrap(watch.Error, statusKind, data)
}
