package client

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/miniorch/miniorch/pkg/api"
)

// maxFrame bounds one event of a watch.
const maxFrame = 64 << 20

// Watch streams changes of a collection.
func (t *httpTransport) Watch(ctx context.Context, req Request, opts metav1.ListOptions) (watch.Interface, error) {
	opts.Watch = true
	q, err := query(&opts)
	if err != nil {
		return nil, err
	}
	accept := mediaJSON
	if known(req.Resource) {
		accept = mediaProtobuf + ";stream=watch," + mediaJSON
	}
	ctx, cancel := context.WithCancel(ctx)
	resp, err := t.send(ctx, call{verb: http.MethodGet, path: t.path(req), query: q, accept: accept})
	if err != nil {
		cancel()
		return nil, err
	}
	media, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if err != nil || media != mediaJSON && media != mediaProtobuf {
		cancel()
		_ = resp.Body.Close()
		return nil, fmt.Errorf("the watch's content type is %q", resp.Header.Get("Content-Type"))
	}
	s := &httpWatch{events: make(chan watch.Event, 64), cancel: cancel}
	s.reading.Go(func() { s.read(ctx, resp.Body, media) })
	return s, nil
}

// httpWatch is one watch stream.
type httpWatch struct {
	events  chan watch.Event
	cancel  context.CancelFunc
	reading sync.WaitGroup
}

func (w *httpWatch) ResultChan() <-chan watch.Event { return w.events }

// Stop ends the stream and waits until nobody reads it any more.
func (w *httpWatch) Stop() {
	w.cancel()
	w.reading.Wait()
}

func (w *httpWatch) read(ctx context.Context, body io.ReadCloser, media string) {
	defer w.cancel()
	defer close(w.events)
	defer func() { _ = body.Close() }()
	next := jsonEvents(body)
	if media == mediaProtobuf {
		next = protobufEvents(body)
	}
	for {
		ev, err := next()
		if ctx.Err() != nil || errors.Is(err, io.EOF) {
			return
		}
		out := watch.Event{Type: watch.EventType(ev.Type)}
		if err == nil {
			out.Object, err = decodeEvent(media, ev)
		}
		if err != nil {
			status := apierrors.NewInternalError(fmt.Errorf("reading the watch: %w", err)).Status()
			out = watch.Event{Type: watch.Error, Object: &status}
		}
		select {
		case w.events <- out:
		case <-ctx.Done():
			return
		}
		if err != nil {
			return
		}
	}
}

func decodeEvent(media string, ev metav1.WatchEvent) (runtime.Object, error) {
	obj, err := decode(media, ev.Object.Raw)
	if err != nil {
		return nil, err
	}
	if _, ok := obj.(api.Object); !ok && ev.Type != string(watch.Error) {
		return nil, fmt.Errorf("the event holds %T, which is not an object", obj)
	}
	return obj, nil
}

func jsonEvents(r io.Reader) func() (metav1.WatchEvent, error) {
	d := json.NewDecoder(r)
	return func() (ev metav1.WatchEvent, err error) {
		err = d.Decode(&ev)
		return ev, err
	}
}

// protobufEvents reads frames: four bytes of length, then a WatchEvent whose object is
// wrapped as objects are elsewhere.
func protobufEvents(r io.Reader) func() (metav1.WatchEvent, error) {
	return func() (ev metav1.WatchEvent, err error) {
		var head [4]byte
		if _, err := io.ReadFull(r, head[:]); err != nil {
			return ev, err
		}
		n := binary.BigEndian.Uint32(head[:])
		if n > maxFrame {
			return ev, fmt.Errorf("an event of %d bytes is too large", n)
		}
		// The buffer grows with what comes, not with what is announced.
		var frame bytes.Buffer
		frame.Grow(int(min(n, 16<<10)) + bytes.MinRead)
		if _, err := io.CopyN(&frame, r, int64(n)); err != nil {
			return ev, fmt.Errorf("reading an event of %d bytes: %w", n, noEOF(err))
		}
		return ev, ev.Unmarshal(frame.Bytes())
	}
}

// noEOF tells an event that was cut short from the end of the stream.
func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
