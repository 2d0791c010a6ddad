package brake

import "testing"

func TestTrips(t *testing.T) {
	cases := []struct {
		reason           string
		remove, existing int
		want             bool
	}{
		{"nothing", 0, 0, false},
		{"few, though all", 4, 4, false},
		{"all", 5, 5, true},
		{"half", 10, 20, true},
		{"less than half", 9, 20, false},
	}
	for _, tc := range cases {
		t.Run(tc.reason, func(t *testing.T) {
			if got := Default.Trips(tc.remove, tc.existing); got != tc.want {
				t.Errorf("Trips(%d, %d) = %v, want %v", tc.remove, tc.existing, got, tc.want)
			}
		})
	}
}
