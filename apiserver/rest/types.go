package rest

import (
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/miniorch/miniorch/apiserver/storage/watchcache"
	"github.com/miniorch/miniorch/pkg/api"
)

// ListResult is one page of a collection at one resourceVersion.
type ListResult struct {
	ResourceVersion string
	Continue        string
	Remaining       *int64 // of the items after this page; nil when a selector makes it unknown
	Items           []*watchcache.Item
}

// Event is one step of a watch.
type Event struct {
	Type            watch.EventType  // Added, Modified, Deleted, Bookmark or Error
	Item            *watchcache.Item // nil for Bookmark and Error
	ResourceVersion string           // of the item, or how far the watch is (Bookmark)
	// InitialEventsEnd marks the bookmark after the initial events; it is to be sent with
	// the annotation k8s.io/initial-events-end: "true".
	InitialEventsEnd bool
	Err              *apierrors.StatusError // of an Error event, which is the last one
}

// UpdateOptions say how an Update is to be done.
type UpdateOptions struct {
	metav1.UpdateOptions
	// UID, if not empty, must be the stored object's.
	UID string
}

// UpdateFunc makes the object to be written from what is stored now: current is read only,
// and nil when nothing is stored. The result belongs to the engine. It is called again
// when somebody else wrote in between.
type UpdateFunc func(current api.Object) (api.Object, error)

// Replace is the UpdateFunc of a PUT: whatever is stored, obj is wanted.
func Replace(obj api.Object) UpdateFunc {
	return func(api.Object) (api.Object, error) { return obj.DeepCopyObject().(api.Object), nil }
}
