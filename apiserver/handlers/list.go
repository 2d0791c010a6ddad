package handlers

import (
	"encoding/json"
	"net/http"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/miniorch/miniorch/apiserver/rest"
	"github.com/miniorch/miniorch/apiserver/storage/watchcache"
)

// listMeta is the metadata of a list.
func listMeta(l *rest.ListResult) metav1.ListMeta {
	return metav1.ListMeta{ResourceVersion: l.ResourceVersion, Continue: l.Continue, RemainingItemCount: l.Remaining}
}

// listOf makes a list of one item, for tables.
func listOf(it *watchcache.Item) *rest.ListResult {
	return &rest.ListResult{ResourceVersion: it.Object.GetResourceVersion(), Items: []*watchcache.Item{it}}
}

// writeList answers with a list, put together from the items' kept bytes.
func (h *Handler) writeList(w http.ResponseWriter, r *http.Request, f format, t *served, list *rest.ListResult) {
	if f.shape == table {
		h.writeTable(w, r, http.StatusOK, f, t, list)
		return
	}
	kind := t.desc.GroupVersion().WithKind(t.desc.Kind + "List")
	if f.shape == metadata {
		kind = partialKind.GroupVersion().WithKind(partialKind.Kind + "List")
	}
	_, encode := t.encoding(f, nil)
	var err error
	switch {
	case f.media == mediaProtobuf:
		err = writeProtobufList(w, r, kind, list, f.shape, encode)
	case f.media == mediaYAML || f.pretty:
		err = writeWholeList(w, r, f, kind, list, encode)
	default:
		err = writeJSONList(w, r, kind, list, encode)
	}
	if err != nil {
		writeError(w, r, err)
	}
}

type encodeFunc func(*watchcache.Item) ([]byte, error)

// writeJSONList streams: each item is encoded, if it is not yet, just before it is sent. An
// item that cannot be encoded after the first bytes are out can only cut the answer off.
func writeJSONList(w http.ResponseWriter, r *http.Request, kind schema.GroupVersionKind, list *rest.ListResult, encode encodeFunc) error {
	head, err := jsonListHead(kind, list)
	if err != nil {
		return err
	}
	body := newBody(w, r, http.StatusOK, mediaJSON)
	body.write(head)
	for i, it := range list.Items {
		data, err := encode(it)
		if err != nil {
			if body.out == nil {
				return err
			}
			panic(http.ErrAbortHandler)
		}
		if i > 0 {
			body.write(comma)
		}
		body.write(data)
		if body.err != nil {
			break
		}
	}
	body.write(listTail)
	body.close()
	return nil
}

var (
	comma    = []byte(",")
	listTail = []byte("]}\n")
)

func jsonListHead(kind schema.GroupVersionKind, list *rest.ListResult) ([]byte, error) {
	head, err := json.Marshal(struct {
		metav1.TypeMeta `json:",inline"`
		Metadata        metav1.ListMeta `json:"metadata"`
	}{metav1.TypeMeta{Kind: kind.Kind, APIVersion: kind.GroupVersion().String()}, listMeta(list)})
	if err != nil {
		return nil, err
	}
	return append(head[:len(head)-1], `,"items":[`...), nil
}

// writeWholeList is for people: YAML, or indented JSON.
func writeWholeList(w http.ResponseWriter, r *http.Request, f format, kind schema.GroupVersionKind, list *rest.ListResult, encode encodeFunc) error {
	data, err := jsonListHead(kind, list)
	if err != nil {
		return err
	}
	for i, it := range list.Items {
		item, err := encode(it)
		if err != nil {
			return err
		}
		if i > 0 {
			data = append(data, ',')
		}
		data = append(data, item...)
	}
	writeEncoded(w, r, http.StatusOK, f, kind, append(data, "]}"...))
	return nil
}

// writeProtobufList writes a message whose first field is the list's metadata and whose
// second, repeated, are the items: the layout of every list type. Its length comes first, so the
// items are measured, and encoded only when they are sent: a list may be larger than what is kept.
func writeProtobufList(w http.ResponseWriter, r *http.Request, kind schema.GroupVersionKind, list *rest.ListResult, shape shape, encode encodeFunc) error {
	meta := listMeta(list)
	head, err := meta.Marshal()
	if err != nil {
		return err
	}
	head = appendBytes(nil, tag1, head)
	size := len(head)
	for _, it := range list.Items {
		n, err := protobufSize(shape, it)
		if err != nil {
			return err
		}
		size += headerSize(n) + n
	}
	body := newBody(w, r, http.StatusOK, mediaProtobuf)
	body.write(envelope(kind, size))
	body.write(head)
	size -= len(head)
	var header [12]byte
	for _, it := range list.Items {
		item, err := encode(it)
		if size -= headerSize(len(item)) + len(item); err != nil || size < 0 {
			panic(http.ErrAbortHandler) // half an answer may be out; what can be measured can be encoded
		}
		body.write(appendHeader(header[:0], tag2, len(item)))
		body.write(item)
		if body.err != nil {
			break
		}
	}
	body.close()
	return nil
}
