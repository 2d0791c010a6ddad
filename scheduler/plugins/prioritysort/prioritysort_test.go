package prioritysort

import (
	"testing"
	"time"

	"github.com/miniorch/miniorch/scheduler/framework"
)

func TestLess(t *testing.T) {
	pod := func(priority int32, at int64) *framework.QueuedPod {
		return &framework.QueuedPod{PodInfo: &framework.PodInfo{Priority: priority}, Since: time.Unix(at, 0)}
	}
	tests := []struct {
		name, reason string
		a, b         *framework.QueuedPod
		want         bool
	}{
		{"priority", "goes before age", pod(2, 9), pod(1, 1), true},
		{"lower", "waits, although it is older", pod(1, 1), pod(2, 9), false},
		{"age", "decides between equals", pod(1, 1), pod(1, 2), true},
		{"equal", "neither is first", pod(1, 1), pod(1, 1), false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := (Plugin{}).Less(tt.a, tt.b); got != tt.want {
				t.Errorf("Less is %v: %s", got, tt.reason)
			}
		})
	}
}
