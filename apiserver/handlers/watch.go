package handlers

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/miniorch/miniorch/apiserver/rest"
	"github.com/miniorch/miniorch/apiserver/storage/watchcache"
)

// minWatch is how long a watch lasts that does not say for how long; up to as much again
// is added so that watches which began together do not end together.
const minWatch = 30 * time.Minute

// flushBytes is how much a busy watch may gather before it is sent.
const flushBytes = 64 << 10

func (h *Handler) watch(w http.ResponseWriter, r *http.Request, t *served, query url.Values) error {
	f, err := negotiate(r, metadata, table)
	if err != nil {
		return err
	}
	if f.media == mediaYAML {
		return notAcceptable([]string{mediaJSON, contentProtobufWatch})
	}
	include, err := includeObject(r)
	if err != nil {
		return err
	}
	var opts metav1.ListOptions
	if err := decodeOptions(query, &opts); err != nil {
		return err
	}
	if err := narrowToName(&opts, t.name); err != nil {
		return err
	}
	if opts.TimeoutSeconds == nil || *opts.TimeoutSeconds <= 0 {
		spread := time.Duration(h.cfg.Rand() % uint64(minWatch))
		opts.TimeoutSeconds = ptr.To(int64((minWatch + spread).Seconds()))
	}
	ctx, cancel := drained(r.Context())
	defer cancel()
	events, err := t.store.Watch(ctx, t.namespace, opts)
	if err != nil {
		return err
	}
	defer events.Stop()
	unhurried(w)
	fr := &frames{h: h, t: t, f: f, include: include}
	h.metrics.watches.WithLabelValues(t.desc.Group, t.desc.Name).Inc()
	defer h.metrics.watches.WithLabelValues(t.desc.Group, t.desc.Name).Dec()
	if isWebSocket(r) {
		return h.watchWebSocket(ctx, w, r, events, fr)
	}
	return streamWatch(ctx, w, events, fr)
}

// narrowToName: a watch on one object is a watch on the collection with a selector.
func narrowToName(opts *metav1.ListOptions, name string) error {
	if name == "" {
		return nil
	}
	want := "metadata.name=" + name
	switch opts.FieldSelector {
	case "", want:
		opts.FieldSelector = want
		return nil
	}
	return apierrors.NewBadRequest("both the path and fieldSelector say which object to watch")
}

func streamWatch(ctx context.Context, w http.ResponseWriter, events *rest.Watch, fr *frames) error {
	header := w.Header()
	header.Set("Content-Type", mediaJSON)
	if fr.f.media == mediaProtobuf {
		header.Set("Content-Type", contentProtobufWatch)
	}
	header.Set("Cache-Control", "no-cache, private")
	w.WriteHeader(http.StatusOK)
	control := http.NewResponseController(w)
	if control.Flush() != nil {
		return nil
	}
	for {
		e, err := events.Next(ctx)
		if err != nil {
			if farewell := watchEnd(err); farewell != nil {
				_, _ = w.Write(fr.errorFrame(farewell))
			}
			return nil
		}
		// Who takes longer to read what has happened is cut off, and holds no memory for ever.
		_ = control.SetWriteDeadline(time.Now().Add(fr.h.cfg.RequestTimeout))
		if !writeBurst(w, events, fr, e) || control.Flush() != nil {
			return nil
		}
		_ = control.SetWriteDeadline(time.Time{}) // an idle watch may stay so
	}
}

// writeBurst writes e and what else there is already, so that one flush sends it all.
func writeBurst(w http.ResponseWriter, events *rest.Watch, fr *frames, e rest.Event) bool {
	for written := 0; ; {
		data, err := fr.frame(e)
		if err != nil {
			_, _ = w.Write(fr.errorFrame(err))
			return false
		}
		n, err := w.Write(data)
		if err != nil {
			return false
		}
		if written += n; written > flushBytes {
			return true
		}
		next, ok := events.TryNext()
		if !ok {
			return true
		}
		e = next
	}
}

// watchEnd says what to tell the client of the end of its watch: nothing when its time is
// up or it is gone.
func watchEnd(err error) error {
	switch {
	case errors.Is(err, rest.ErrWatchEnded), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded),
		errors.Is(err, watchcache.ErrStopped):
		return nil
	case errors.Is(err, watchcache.ErrSlow):
		return apierrors.NewResourceExpired("the watch fell too far behind; list again and watch from there")
	case errors.Is(err, watchcache.ErrGone):
		return apierrors.NewResourceExpired("the watch was interrupted; list again and watch from there")
	}
	var status apierrors.APIStatus
	if errors.As(err, &status) {
		return nil // it was the last event already
	}
	return err
}
