package names

import (
	"hash/fnv"
	"strconv"

	"k8s.io/apimachinery/pkg/util/rand"
)

// Hash names a template by what it says. collisions counts how often the name was found to
// be taken by another one.
func Hash(template []byte, collisions *int32) string {
	h := fnv.New32a()
	h.Write(template)
	if collisions != nil {
		h.Write([]byte(strconv.Itoa(int(*collisions))))
	}
	return rand.SafeEncodeString(strconv.FormatUint(uint64(h.Sum32()), 10))
}
