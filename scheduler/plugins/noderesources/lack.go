package noderesources

import (
	"slices"

	"github.com/miniorch/miniorch/scheduler/framework"
)

// lack is what a node has not enough of.
type lack struct {
	what   uint8    // a set of the constants below
	others []string // said of other resources
	never  bool     // an empty node would not have it either
}

// What most pods request, as bits.
const (
	pods uint8 = 1 << iota
	cpu
	memory
	storage
	bits = iota
)

// words are what users read, in the order of the bits.
var words = [bits]string{"Too many pods", "Insufficient cpu", "Insufficient memory", "Insufficient ephemeral-storage"}

// refusals are made once: many nodes refuse a pod for the same reason.
var refusals = func() (all [1 << bits][2]*framework.Status) {
	for what := range all {
		var reasons []string
		for bit, word := range words {
			if what>>bit&1 == 1 {
				reasons = append(reasons, word)
			}
		}
		all[what] = [2]*framework.Status{framework.Refuse(reasons...).By(name), framework.RefuseForGood(reasons...).By(name)}
	}
	return all
}()

// check notes that there is less left than wanted; it reports whether there is.
func (l *lack) check(what uint8, want, used, has int64) bool {
	if want <= 0 || want <= has-used {
		return false
	}
	l.what |= what
	l.never = l.never || want > has
	return true
}

// refusal says what the node lacks; nil if nothing.
func (l *lack) refusal() *framework.Status {
	if l.what == 0 && l.others == nil {
		return nil
	}
	known := refusals[l.what][0]
	if l.never {
		known = refusals[l.what][1]
	}
	if l.others == nil {
		return known
	}
	all := *known
	all.Reasons = slices.Concat(known.Reasons, l.others)
	return &all
}
