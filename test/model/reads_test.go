package model

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/scheme"

	"github.com/miniorch/miniorch/pkg/api"
)

// read is one GET or one list, with all its pages.
type read struct {
	place     place // of a GET
	selection selection
	options   string // as it was asked
	asked     int64  // resourceVersion that was named; -1: none
	exact     bool
	limit     int64

	begun, ended int64
	revision     int64 // of the answer
	items        []seenItem
	found        bool // by a GET
	// remaining is what each page but the last said of those after it, -1 if nothing; pages is
	// how long they were.
	remaining []int64
	pages     []int
	// cut is where a list went on in another state, at revision resumed; -1 if it did not.
	cut     int
	resumed int64
}

type seenItem struct {
	name, namespace, raw string
}

func (rd *read) String() string {
	if rd.place.name != "" {
		return fmt.Sprintf("GET %v %s in %d..%d", rd.place, rd.options, rd.begun, rd.ended)
	}
	return fmt.Sprintf("list %+v %s in %d..%d", rd.selection, rd.options, rd.begun, rd.ended)
}

func (s selection) options() metav1.ListOptions {
	var opts metav1.ListOptions
	switch {
	case s.color != "":
		opts.LabelSelector = colorLabel + "=" + s.color
	case s.colorless != "":
		opts.LabelSelector = colorLabel + "!=" + s.colorless
	}
	var fields []string
	for field, value := range map[string]string{"metadata.name=": s.name, "metadata.name!=": s.anonymous, "metadata.namespace=": s.within} {
		if value != "" {
			fields = append(fields, field+value)
		}
	}
	opts.FieldSelector = strings.Join(fields, ",")
	return opts
}

func (c *client) newSelection() selection {
	r := c.r
	s := selection{kind: kinds[r.IntN(2)], namespace: []string{"", "default", "other"}[r.IntN(3)]}
	switch r.IntN(8) {
	case 0:
		s.color = []string{"red", "blue"}[r.IntN(2)]
	case 1:
		s.colorless = "red"
	case 2:
		s.name = fmt.Sprint("n", r.IntN(4))
	case 3:
		s.anonymous, s.within = fmt.Sprint("n", r.IntN(4)), []string{"", "default", "other"}[r.IntN(3)]
	}
	return s
}

// get reads one object.
func (c *client) get(ctx context.Context) {
	p := place{kinds[c.r.IntN(2)], namespaces[c.r.IntN(2)], fmt.Sprint("n", c.r.IntN(4))}
	rd := &read{place: p, asked: -1, begun: c.revision()}
	var opts metav1.GetOptions
	switch c.r.IntN(4) {
	case 0:
		opts.ResourceVersion, rd.asked = "0", 0
	case 1:
		rd.asked = max(1, rd.begun-int64(c.r.IntN(20)))
		opts.ResourceVersion = strconv.FormatInt(rd.asked, 10)
	}
	rd.options = "rv=" + opts.ResourceVersion
	obj, err := c.rest(p.kind).Get().Resource(p.kind.Name).Namespace(p.namespace).Name(p.name).MaxRetries(0).
		VersionedParams(&opts, scheme.ParameterCodec).Do(ctx).Get()
	rd.ended = c.revision()
	switch {
	case err == nil:
		o := obj.(api.Object)
		rd.found, rd.items = true, []seenItem{{o.GetName(), o.GetNamespace(), rawOf(o)}}
		c.seen[p] = stateOf(o)
	case !apierrors.IsNotFound(err):
		c.lost(rd, err)
		return
	}
	c.w.keep(rd)
}

// lost judges a failed read: only a server that is not there may cause one.
func (c *client) lost(rd *read, err error) {
	var status *apierrors.StatusError
	if errors.As(err, &status) && status.ErrStatus.Code < 500 && !apierrors.IsTooManyRequests(err) {
		c.w.Errorf("%v: %v", rd, err)
	}
	if c.w.calm && !busy(err) {
		c.w.Errorf("%v: %v", rd, err)
	}
	c.vain++
	time.Sleep(20 * time.Millisecond)
}

func (w *world) keep(rd *read) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.reads = append(w.reads, rd)
}

// list reads a collection, perhaps page by page.
func (c *client) list(ctx context.Context) {
	rd := &read{selection: c.newSelection(), asked: -1, begun: c.revision(), cut: -1}
	opts := rd.selection.options()
	if c.r.IntN(2) == 0 {
		rd.limit = int64(1 + c.r.IntN(3))
		opts.Limit = rd.limit
	}
	switch c.r.IntN(6) {
	case 0:
		opts.ResourceVersion, rd.asked = "0", 0
	case 1:
		rd.asked = max(1, rd.begun-int64(c.r.IntN(30)))
		opts.ResourceVersionMatch = metav1.ResourceVersionMatchNotOlderThan
	case 2:
		rd.asked, rd.exact = max(1, rd.begun-int64(c.r.IntN(30))), true
		opts.ResourceVersionMatch = metav1.ResourceVersionMatchExact
	}
	if rd.asked > 0 {
		opts.ResourceVersion = strconv.FormatInt(rd.asked, 10)
	}
	rd.options = fmt.Sprintf("rv=%s match=%s limit=%d", opts.ResourceVersion, opts.ResourceVersionMatch, opts.Limit)
	for {
		more, err := c.page(ctx, rd, &opts)
		if err != nil {
			if !c.pageLost(rd, &opts, err) {
				return
			}
			continue
		}
		if !more {
			break
		}
	}
	rd.ended = c.revision()
	c.w.keep(rd)
}

// page reads the next page and prepares opts for the one after it.
func (c *client) page(ctx context.Context, rd *read, opts *metav1.ListOptions) (more bool, err error) {
	s := rd.selection
	list := s.kind.newList()
	req := c.rest(s.kind).Get().Resource(s.kind.Name)
	if s.namespace != "" {
		req = req.Namespace(s.namespace)
	}
	if err := req.MaxRetries(0).VersionedParams(opts, scheme.ParameterCodec).Do(ctx).Into(list); err != nil {
		return false, err
	}
	meta, _ := list.(metav1.ListInterface)
	revision, _ := strconv.ParseInt(meta.GetResourceVersion(), 10, 64)
	switch {
	case len(rd.pages) == 0:
		rd.revision = revision
	case rd.cut >= 0 && rd.resumed == 0:
		rd.resumed = revision
	case revision != max(rd.revision, rd.resumed):
		c.w.Errorf("%v: a later page is of revision %d, the one before it of %d", rd, revision, max(rd.revision, rd.resumed))
	}
	items := itemsOf(list)
	rd.pages = append(rd.pages, len(items))
	for _, o := range items {
		rd.items = append(rd.items, seenItem{o.GetName(), o.GetNamespace(), rawOf(o)})
	}
	if meta.GetContinue() == "" {
		return false, nil
	}
	rd.remaining = append(rd.remaining, -1)
	if n := meta.GetRemainingItemCount(); n != nil {
		rd.remaining[len(rd.remaining)-1] = *n
	}
	opts.Continue, opts.ResourceVersion, opts.ResourceVersionMatch = meta.GetContinue(), "", ""
	return true, nil
}

// pageLost decides whether to go on after a refusal: a state that is not kept any longer can
// be gone on with in another one, by the token of the refusal.
func (c *client) pageLost(rd *read, opts *metav1.ListOptions, err error) (goOn bool) {
	var status *apierrors.StatusError
	switch gone := apierrors.IsResourceExpired(err) && errors.As(err, &status); {
	case gone && opts.Continue != "" && rd.cut < 0:
		token := status.ErrStatus.ListMeta.Continue
		if token == "" {
			c.w.Errorf("%v: the continuation is gone and there is no token to go on with: %v", rd, err)
			return false
		}
		rd.cut, opts.Continue = len(rd.items), token
		return true
	case gone && (rd.exact || rd.limit > 0 && rd.asked > 0):
		return false // may have been compacted
	}
	c.lost(rd, err)
	return false
}
