package managedfields

import (
	"bytes"
	"testing"
)

// FuzzParseSet: what is read is written again as it was, and nothing else is read.
func FuzzParseSet(f *testing.F) {
	f.Add([]byte(`{"f:spec":{"f:a":{},"k:{\"name\":\"x\"}":{".":{},"f:b":{}}}}`))
	f.Add([]byte(`{"v:\"a\"":{}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		n, err := parseSet(text)
		if err != nil {
			return
		}
		again, err := parseSet(n.append(nil))
		if err != nil || !bytes.Equal(n.append(nil), again.append(nil)) {
			t.Errorf("%q became %q (%v)", text, n.append(nil), err)
		}
		n.remove(again)
		if len(n.kids) != 0 {
			t.Errorf("%q without itself is %q", text, n.append(nil))
		}
	})
}
