// Package brake keeps a controller from a mass delete that rests on one stale or absurd
// look at the world: when a decision would remove most of what an owner has, although
// nobody asked for fewer, it must be confirmed by a consistent read first.
package brake

import "fmt"

// Limit says from where on a decision needs confirmation.
type Limit struct {
	Share float64 // of what exists
	Floor int     // fewer deletions than this never need it
}

// Default asks from five deletions on that take half or more of what exists.
var Default = Limit{Share: 0.5, Floor: 5}

// Trips tells whether removing remove of existing objects is to be confirmed first.
func (l Limit) Trips(remove, existing int) bool {
	return remove >= l.Floor && float64(remove) >= l.Share*float64(existing)
}

// Message is the event text for a decision that the consistent read did not confirm.
func Message(remove, existing int, what, confirmed string) string {
	return fmt.Sprintf("Held back the removal of %d of %d %s: a consistent read says %s", remove, existing, what, confirmed)
}
