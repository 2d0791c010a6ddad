package decode

import (
	"regexp"
	"testing"
)

// FuzzSuspicious compares the search with the expression that it stands for.
func FuzzSuspicious(f *testing.F) {
	for _, seed := range []string{"", "1e12345", ".E+12345", "1e-1234", "e12345", "1e1234x5", "1e+", "x1e123456", "1ee12345", "11e1e99999"} {
		f.Add([]byte(seed))
	}
	meant := regexp.MustCompile(`[0-9.][eE][+-]?[0-9]{5}`)
	f.Fuzz(func(t *testing.T, data []byte) {
		if got, want := suspicious(data), meant.Match(data); got != want {
			t.Errorf("%q: %t, want %t", data, got, want)
		}
	})
}
