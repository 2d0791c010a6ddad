package handlers

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/klauspost/compress/gzip"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"

	"github.com/miniorch/miniorch/apiserver/storage/watchcache"
)

const (
	// gzipThreshold is how large an answer must be to be worth compressing.
	gzipThreshold = 128 << 10
	writeBuffer   = 64 << 10
)

var (
	writers = sync.Pool{New: func() any { return bufio.NewWriterSize(nil, writeBuffer) }}
	zippers = sync.Pool{New: func() any { z, _ := gzip.NewWriterLevel(nil, gzip.BestSpeed); return z }}
)

// writeObject answers with an object that is in no cache.
func writeObject(w http.ResponseWriter, r *http.Request, code int, f format, obj runtime.Object) {
	gvk, err := kindOf(obj)
	if err != nil {
		gvk = statusKind
	}
	data, err := encodeAs(f.media, obj)
	if err != nil && f.media == mediaProtobuf {
		f.media = mediaJSON
		data, err = encodeAs(f.media, obj)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	writeEncoded(w, r, code, f, gvk, data)
}

func encodeAs(media string, obj runtime.Object) ([]byte, error) {
	if media == mediaProtobuf {
		return protobufOf(obj)
	}
	return jsonOf(obj)
}

// writeItem answers with a cached object, in the shape that the client wants.
func (h *Handler) writeItem(w http.ResponseWriter, r *http.Request, code int, f format, t *served, it *watchcache.Item) {
	if f.shape == table {
		h.writeTable(w, r, code, f, t, listOf(it))
		return
	}
	gvk, encode := t.encoding(f, it)
	data, err := encode(it)
	if err != nil {
		writeError(w, r, err)
		return
	}
	writeEncoded(w, r, code, f, gvk, data)
}

// writeEncoded answers with an object's bytes: its JSON, or its protobuf message without
// envelope.
func writeEncoded(w http.ResponseWriter, r *http.Request, code int, f format, gvk schema.GroupVersionKind, data []byte) {
	body := newBody(w, r, code, f.media)
	switch {
	case f.media == mediaProtobuf:
		body.write(envelope(gvk, len(data)))
		body.write(data)
	case f.media == mediaYAML:
		body.write(toYAML(data))
	case f.pretty:
		body.write(indent(data))
	default:
		body.write(data)
		body.write(newline)
	}
	body.close()
}

var newline = []byte("\n")

func indent(data []byte) []byte {
	var out bytes.Buffer
	if json.Indent(&out, data, "", "  ") != nil {
		return data
	}
	out.WriteByte('\n')
	return out.Bytes()
}

func toYAML(data []byte) []byte {
	out, err := yaml.JSONToYAML(data)
	if err != nil {
		return data // JSON is YAML
	}
	return out
}

// body writes an answer's body: short ones with their length, long ones as they come,
// compressed if the client takes that and is on another host.
type body struct {
	w    http.ResponseWriter
	r    *http.Request
	code int

	held []byte // not yet sent
	out  *bufio.Writer
	zip  *gzip.Writer
	err  error // the client is gone
}

func newBody(w http.ResponseWriter, r *http.Request, code int, media string) *body {
	w.Header().Set("Content-Type", media)
	w.Header().Set("Cache-Control", "no-cache, private")
	return &body{w: w, r: r, code: code}
}

// write adds to the body. data is not kept.
func (b *body) write(data []byte) {
	if b.err != nil {
		return
	}
	if b.out == nil && len(b.held)+len(data) <= gzipThreshold {
		b.held = append(b.held, data...)
		return
	}
	if b.out == nil {
		b.start()
	}
	b.send(data)
}

// start sends the header of a body that is too long to be held.
func (b *body) start() {
	b.out = writers.Get().(*bufio.Writer)
	b.out.Reset(b.w)
	h := b.w.Header()
	h.Add("Vary", "Accept-Encoding")
	if compresses(b.r) {
		h.Set("Content-Encoding", "gzip")
		b.zip = zippers.Get().(*gzip.Writer)
		b.zip.Reset(b.out)
	}
	b.w.WriteHeader(b.code)
	held := b.held
	b.held = nil
	b.send(held)
}

func (b *body) send(data []byte) {
	var to io.Writer = b.out
	if b.zip != nil {
		to = b.zip
	}
	if _, err := to.Write(data); err != nil {
		b.err = err
	}
}

// close ends the body.
func (b *body) close() {
	if b.out == nil {
		b.w.Header().Set("Content-Length", strconv.Itoa(len(b.held)))
		b.w.WriteHeader(b.code)
		_, _ = b.w.Write(b.held) // the client may be gone; there is nobody left to tell
		return
	}
	if b.zip != nil {
		_ = b.zip.Close()
		zippers.Put(b.zip)
	}
	_ = b.out.Flush()
	b.out.Reset(nil)
	writers.Put(b.out)
}

// compresses reports whether to compress for this client. On one host the bytes travel
// faster than they can be compressed.
func compresses(r *http.Request) bool {
	wanted := false
	for accepted := range strings.SplitSeq(r.Header.Get("Accept-Encoding"), ",") {
		wanted = wanted || strings.TrimSpace(accepted) == "gzip"
	}
	if !wanted {
		return false
	}
	local, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	return !sameHost(r.RemoteAddr, local)
}

func sameHost(remote string, local net.Addr) bool {
	host, _, err := net.SplitHostPort(remote)
	if err != nil {
		return false
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsLoopback() {
		return true
	}
	tcp, ok := local.(*net.TCPAddr)
	return ok && tcp.IP.String() == host
}
