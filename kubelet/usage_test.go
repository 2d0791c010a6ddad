package kubelet

import (
	"testing"
	"time"

	"github.com/miniorch/miniorch/kubelet/cgroups"
	"github.com/miniorch/miniorch/kubelet/stats"
)

func TestRate(t *testing.T) {
	start := time.Unix(1000, 0)
	at := func(after, cpu time.Duration) stats.Sample {
		return stats.Sample{Stats: cgroups.Stats{CPU: cpu}, Time: start.Add(after)}
	}
	known := at(0, time.Second)
	known.Cores = 0.5
	for _, tc := range []struct {
		name   string
		before map[string]stats.Sample
		now    stats.Sample
		want   float64
		at     time.Time
	}{
		{"first", nil, at(time.Minute, time.Second), -1, start.Add(time.Minute)},
		{"ten seconds later", map[string]stats.Sample{"/a": known}, at(10*time.Second, 3*time.Second), 0.2, start.Add(10 * time.Second)},
		{"asked again at once", map[string]stats.Sample{"/a": known}, at(10*time.Millisecond, 2*time.Second), 0.5, start},
		{"another group of that name", map[string]stats.Sample{"/a": known}, at(10*time.Second, time.Millisecond), -1, start.Add(10 * time.Second)},
	} {
		if got := rate(tc.now, tc.before, "/a"); got.Cores != tc.want || !got.Time.Equal(tc.at) {
			t.Errorf("%s: %v cores at %v, want %v at %v", tc.name, got.Cores, got.Time, tc.want, tc.at)
		}
	}
}
