package handlers

import (
	"encoding/binary"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

// The protobuf wire form of an object is an envelope (four magic bytes and a
// runtime.Unknown message: 1 = {1 = apiVersion, 2 = kind}, 2 = the object's own
// message) around the object's message. Envelopes are written by hand so that an
// object's bytes, which are kept, go out without being copied into another message.

var protobufMagic = []byte{'k', '8', 's', 0}

// Field tags, each "number << 3 | length-delimited".
const (
	tag1 = 1<<3 | 2
	tag2 = 2<<3 | 2
)

// envelope returns the bytes before a message of the given size; nothing follows it.
func envelope(gvk schema.GroupVersionKind, size int) []byte {
	apiVersion := gvk.GroupVersion().String()
	meta := appendString(nil, tag1, apiVersion)
	meta = appendString(meta, tag2, gvk.Kind)
	out := append([]byte{}, protobufMagic...)
	out = appendBytes(out, tag1, meta)
	return appendHeader(out, tag2, size)
}

// appendHeader appends the tag and length of a length-delimited field.
func appendHeader(b []byte, tag byte, size int) []byte {
	return binary.AppendUvarint(append(b, tag), uint64(size))
}

func appendString(b []byte, tag byte, s string) []byte {
	return append(appendHeader(b, tag, len(s)), s...)
}

func appendBytes(b []byte, tag byte, value []byte) []byte {
	return append(appendHeader(b, tag, len(value)), value...)
}

// headerSize is the length of what appendHeader appends.
func headerSize(size int) int {
	n := 2
	for ; size >= 0x80; size >>= 7 {
		n++
	}
	return n
}
