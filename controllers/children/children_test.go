package children

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestFailures(t *testing.T) {
	f := NewFailures(15 * time.Minute)
	at := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	var waits []string
	for range 12 {
		f.Note("o", "p", at)
		w := f.Wait("o", "p", at)
		waits = append(waits, w.String())
		at = at.Add(w)
	}
	if got, want := strings.Join(waits, " "), "1s 2s 4s 8s 16s 32s 1m4s 2m8s 4m16s 8m32s 15m0s 15m0s"; got != want {
		t.Errorf("waits are %s, want %s", got, want)
	}
	if w := f.Wait("o", "elsewhere", at); w != 0 {
		t.Errorf("another place waits %v", w)
	}
	if at = at.Add(time.Hour); f.Wait("o", "p", at) != 0 {
		t.Error("an hour of peace is not rewarded")
	}
	if f.Note("o", "p", at); f.Wait("o", "p", at) != firstWait {
		t.Error("after an hour of peace it does not start anew")
	}
	f.Note("o", "q", at)
	if f.Leave("q"); len(f.at) != 1 {
		t.Error("a place that is gone is remembered")
	}
	if f.Forget("o"); len(f.at) != 0 {
		t.Error("an owner that is gone is remembered")
	}
}

func TestInBatches(t *testing.T) {
	items := make([]int, 20)
	for i := range items {
		items[i] = i
	}
	cases := []struct {
		reason string
		fails  func(int) error
		tried  int
		left   int
		err    bool
	}{
		{"all go well", func(int) error { return nil }, 20, 0, false},
		{"after a failure the batch is ended and no other begun", func(i int) error {
			if i >= 1 {
				return errors.New("refused")
			}
			return nil
		}, 3, 17, true},
		{"a stale view is no failure", func(int) error { return fmt.Errorf("creating: %w", ErrStale) }, 20, 0, false},
	}
	for _, tc := range cases {
		t.Run(tc.reason, func(t *testing.T) {
			tried := make(chan int, len(items))
			left, err := InBatches(items, func(i int) error { tried <- i; return tc.fails(i) })
			if len(tried) != tc.tried || left != tc.left || (WithoutStale(err) != nil) != tc.err {
				t.Errorf("%d were tried, %d left, error %v; want %d, %d, %v", len(tried), left, err, tc.tried, tc.left, tc.err)
			}
		})
	}
}
