// Package names gives the children of one owner names that look random and are not:
// the n-th child of an owner always has the same name. A controller that looks at a
// stale cache therefore asks for a name that exists already and loses a conflict,
// instead of making a duplicate.
package names

import (
	"hash/fnv"
	"strings"

	"k8s.io/apimachinery/pkg/types"
)

// alphabet is the one of generateName: no vowels and no look-alikes, so that no words appear.
const alphabet = "bcdfghjklmnpqrstvwxz2456789"

const (
	suffixLen = 5
	space     = 27 * 27 * 27 * 27 * 27 // names per owner before they repeat
	maxPrefix = 63 - suffixLen
)

// Sequence is the infinite list of child names of one owner: prefix plus five letters.
// The n-th suffix is an affine permutation of n, keyed by the owner's UID, so names of
// one owner never collide and n can be read back from a name.
type Sequence struct {
	prefix     string
	step, base uint64
}

// For returns the sequence of an owner's children. prefix usually is the owner's name and "-".
func For(prefix string, owner types.UID) Sequence {
	if len(prefix) > maxPrefix {
		prefix = prefix[:maxPrefix]
	}
	h := fnv.New64a()
	h.Write([]byte(owner))
	sum := h.Sum64()
	// 3 is the only prime factor of space: any step that it does not divide is a permutation.
	step := (sum>>24)%(space/3)*3 + 1
	return Sequence{prefix: prefix, step: step, base: sum % space}
}

// Name returns the n-th name.
func (s Sequence) Name(n uint64) string {
	x := (s.step*(n%space) + s.base) % space
	var suffix [suffixLen]byte
	for i := suffixLen - 1; i >= 0; i-- {
		suffix[i] = alphabet[x%27]
		x /= 27
	}
	return s.prefix + string(suffix[:])
}

// Ordinal is the inverse of Name; ok is false for names that are not of this sequence's form.
func (s Sequence) Ordinal(name string) (n uint64, ok bool) {
	suffix, ok := strings.CutPrefix(name, s.prefix)
	if !ok || len(suffix) != suffixLen {
		return 0, false
	}
	var x uint64
	for i := range suffixLen {
		digit := strings.IndexByte(alphabet, suffix[i])
		if digit < 0 {
			return 0, false
		}
		x = x*27 + uint64(digit)
	}
	return (x + space - s.base) % space * inverse(s.step) % space, true
}

// Free returns the first count of the candidates that none of the objects has.
func Free[T interface{ GetName() string }](candidates []string, count int, objects []T) []string {
	taken := make(map[string]bool, len(objects))
	for _, obj := range objects {
		taken[obj.GetName()] = true
	}
	var out []string
	for _, name := range candidates {
		if len(out) == count {
			break
		}
		if !taken[name] {
			out = append(out, name)
		}
	}
	return out
}

// inverse returns the multiplicative inverse of a modulo space, by Euler's theorem:
// the order of the group, 2/3 of a power of three, minus one as exponent.
func inverse(a uint64) uint64 {
	result, exponent := uint64(1), uint64(space/3*2-1)
	for a %= space; exponent > 0; exponent >>= 1 {
		if exponent&1 == 1 {
			result = result * a % space
		}
		a = a * a % space
	}
	return result
}
