// Package events describes Event, which two groups serve from one storage: the core group's
// form is stored, that of events.k8s.io/v1 is a view on it.
package events

import (
	"time"

	"github.com/miniorch/miniorch/apiserver/resource"
)

// Kinds returns the two descriptors. An Event goes away ttl after its last write.
func Kinds(ttl time.Duration) []resource.Descriptor {
	return []resource.Descriptor{events(ttl), eventsView(ttl)}
}
