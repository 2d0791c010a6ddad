package rest

import (
	"context"
	"errors"
	"fmt"
	"sort"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/internalversion"
	"k8s.io/apimachinery/pkg/apis/meta/internalversion/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/miniorch/miniorch/apiserver/storage"
	"github.com/miniorch/miniorch/apiserver/storage/watchcache"
)

// state is a collection at one revision: a snapshot of the cache, or what the store still
// knows of an older one.
type state interface {
	Ascend(prefix, from string, f func(*watchcache.Item) bool)
	Len(prefix string) int
}

// page is what a list starts from.
type page struct {
	state    state
	revision int64
	from     string
	since    int64 // when the first page was made, in Unix time
	left     int64 // of objects from here on, selected or not; 0: not known
	// keep holds the state for the next page; nil when it is not the cache's.
	keep func()
}

// List returns the objects of a namespace (all namespaces if empty), or one page of them.
// Without a resourceVersion it shows everything that was written before it was called.
func (s *Store) List(ctx context.Context, ns string, opts metav1.ListOptions) (*ListResult, error) {
	if err := checkListOptions(opts, false); err != nil {
		return nil, err
	}
	if s.desc.Virtual != nil {
		return s.listVirtual(ctx, ns, opts)
	}
	sel, err := s.selector(opts)
	if err != nil {
		return nil, err
	}
	if err := s.waitReady(ctx); err != nil {
		return nil, err
	}
	p, err := s.page(ctx, ns, opts)
	if err != nil {
		return nil, err
	}
	return s.collect(p, ns, sel, opts.Limit)
}

// checkListOptions refuses combinations that mean nothing.
func checkListOptions(opts metav1.ListOptions, isWatch bool) error {
	errs := validation.ValidateListOptions(&internalversion.ListOptions{
		Watch: isWatch, ResourceVersion: opts.ResourceVersion, ResourceVersionMatch: opts.ResourceVersionMatch,
		Continue: opts.Continue, Limit: opts.Limit, SendInitialEvents: opts.SendInitialEvents,
	}, true)
	if len(errs) > 0 {
		return apierrors.NewInvalid(schema.GroupKind{Group: metav1.GroupName, Kind: "ListOptions"}, "", errs)
	}
	if opts.Limit < 0 {
		return apierrors.NewBadRequest("limit must not be negative")
	}
	return nil
}

// page finds the state and the place in it that a list is about.
func (s *Store) page(ctx context.Context, ns string, opts metav1.ListOptions) (page, error) {
	if opts.Continue != "" {
		return s.nextPage(ctx, ns, opts)
	}
	rev, err := parseRevision(opts.ResourceVersion)
	if err != nil {
		return page{}, err
	}
	// A limited list of an explicit revision has always meant exactly this revision.
	exact := opts.ResourceVersionMatch == metav1.ResourceVersionMatchExact ||
		opts.ResourceVersionMatch == "" && opts.Limit > 0 && rev > 0
	if err := s.catchUp(ctx, opts.ResourceVersion); err != nil {
		return page{}, err
	}
	if !exact {
		return s.newest(), nil
	}
	p, err := s.exactly(ctx, rev)
	if errors.Is(err, errGone) {
		return page{}, apierrors.NewResourceExpired("The resourceVersion for the provided list is too old.")
	}
	return p, err
}

func (s *Store) nextPage(ctx context.Context, ns string, opts metav1.ListOptions) (page, error) {
	token, err := parsePageToken(opts.Continue)
	if err != nil {
		return page{}, err
	}
	if opts.ResourceVersion != "" && opts.ResourceVersion != "0" {
		return page{}, apierrors.NewBadRequest("specifying resource version is not allowed when using continue")
	}
	var p page
	if token.Revision == anyRevision {
		if err := s.catchUp(ctx, ""); err != nil {
			return page{}, err
		}
		p = s.newest()
	} else {
		if s.now().Sub(time.Unix(token.Since, 0)) > pageAge {
			return page{}, pageGone(token)
		}
		if err := s.catchUp(ctx, formatRevision(token.Revision)); err != nil {
			return page{}, err
		}
		if p, err = s.exactly(ctx, token.Revision); errors.Is(err, errGone) {
			return page{}, pageGone(token)
		} else if err != nil {
			return page{}, err
		}
		p.since, p.left = token.Since, token.Left
	}
	p.from = s.prefix(ns) + token.Start
	return p, nil
}

func (s *Store) newest() page { return s.snapshotPage(s.cache.Snapshot()) }

func (s *Store) snapshotPage(snap watchcache.Snapshot) page {
	return page{state: snap, revision: snap.Revision, keep: func() { s.cache.Keep(snap) }}
}

// errGone says that neither the cache nor the store knows a revision any more.
var errGone = errors.New("revision is gone")

// exactly returns the state at rev, from the store if the cache does not keep it.
func (s *Store) exactly(ctx context.Context, rev int64) (page, error) {
	snap, err := s.cache.SnapshotAt(rev)
	if err == nil {
		p := s.snapshotPage(snap)
		p.revision = rev
		return p, nil
	}
	kvs, _, err := s.reg.storage.List(ctx, s.root, rev)
	if errors.Is(err, storage.ErrCompacted) {
		return page{}, errGone
	}
	if err != nil {
		return page{}, s.storageError(err)
	}
	items := make(sortedItems, 0, len(kvs))
	for i := range kvs {
		it, err := s.itemOf(&kvs[i])
		if err != nil {
			return page{}, err
		}
		items = append(items, it)
	}
	return page{state: items, revision: rev}, nil
}

// sortedItems is a state that the store remembered, in key order.
type sortedItems []*watchcache.Item

// Ascend implements state.
func (items sortedItems) Ascend(prefix, from string, f func(*watchcache.Item) bool) {
	from = max(from, prefix)
	for _, it := range items[sort.Search(len(items), func(i int) bool { return items[i].Key >= from }):] {
		if !strings.HasPrefix(it.Key, prefix) {
			return
		}
		if !strings.HasSuffix(prefix, "/") && it.Key != prefix {
			return // one object's key
		}
		if !f(it) {
			return
		}
	}
}

// Len implements state.
func (items sortedItems) Len(prefix string) (n int) {
	if prefix == "" {
		return len(items)
	}
	items.Ascend(prefix, "", func(*watchcache.Item) bool { n++; return true })
	return n
}

// collect reads a page.
func (s *Store) collect(p page, ns string, sel selector, limit int64) (*ListResult, error) {
	res := &ListResult{ResourceVersion: formatRevision(p.revision)}
	all := sel.everything()
	if all && limit > 0 && p.left == 0 && p.from == "" && s.prefix(ns) == s.root {
		p.left = int64(p.state.Len("")) // known without looking at each
	}
	var last string
	var after int64
	var failed error
	p.state.Ascend(s.prefixFor(ns, sel), p.from, func(it *watchcache.Item) bool {
		if it, failed = s.view(it); failed != nil {
			return false
		}
		if !all && !sel.matches(it.Object) {
			return true
		}
		if limit > 0 && int64(len(res.Items)) == limit {
			after++
			return all && p.left == 0 // with a selector it is enough to know that there are more
		}
		res.Items = append(res.Items, it)
		last = it.Key
		return true
	})
	if failed != nil {
		return nil, fmt.Errorf("listing %s: %w", s.desc, failed)
	}
	if after > 0 {
		if p.since == 0 {
			p.since = s.now().Unix()
		}
		next := pageToken{Revision: p.revision, Since: p.since, Start: strings.TrimPrefix(last, s.prefix(ns)) + "\x00"}
		if all {
			after = max(after, p.left-int64(len(res.Items)))
			res.Remaining, next.Left = &after, after
		}
		res.Continue = next.String()
		if p.keep != nil {
			p.keep()
		}
	}
	return res, nil
}
