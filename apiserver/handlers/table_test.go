package handlers

import (
	"encoding/json"
	"testing"
)

// FuzzText compares a cell's text with what encoding/json writes.
func FuzzText(f *testing.F) {
	for _, seed := range []string{"", "<none>", "1/1", "a&b", `"\`, "\x00\x1f\x7f", "é\u2028", "\xff"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		want, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		if got := appendText([]byte("["), s); string(got) != "["+string(want) {
			t.Errorf("got %s, want [%s", got, want)
		}
	})
}
