package framework

import "testing"

func TestShape(t *testing.T) {
	shape := Shape{{Utilization: 20, Score: 10}, {Utilization: 40, Score: 50}, {Utilization: 80, Score: 90}}
	for utilization, want := range map[int64]int64{0: 10, 20: 10, 30: 30, 40: 50, 60: 70, 80: 90, 100: 90} {
		if got := shape.At(utilization); got != want {
			t.Errorf("at %d: %d, want %d", utilization, got, want)
		}
	}
}
