package volumeprotection

import "testing"

// https://kubernetes.io/docs/concepts/storage/persistent-volumes/#storage-object-in-use-protection
func TestDecide(t *testing.T) {
	for _, tc := range []struct {
		name                      string
		deleting, protected, used bool
		want                      Plan
	}{
		{"new and unprotected", false, false, false, protect},
		{"in use", false, true, true, nothing},
		{"not in use", false, true, false, nothing},
		{"deleted in use", true, true, true, nothing},
		{"deleted and free", true, true, false, release},
		{"deleted, others hold it", true, false, false, nothing},
	} {
		if got := decide(tc.deleting, tc.protected, tc.used); got != tc.want {
			t.Errorf("%s: got %q, want %q", tc.name, got, tc.want)
		}
	}
}
