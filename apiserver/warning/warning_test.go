package warning_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/miniorch/miniorch/apiserver/warning"
)

func TestRecorder(t *testing.T) {
	ctx, r := warning.With(context.Background())
	for _, text := range []string{"one", "two", "one", ""} {
		warning.Add(ctx, text)
	}
	if got := r.Warnings(); !slices.Equal(got, []string{"one", "two"}) {
		t.Errorf("warnings = %q", got)
	}
	warning.Add(context.Background(), "nobody listens") // must not panic
}

func TestRecorderIsBounded(t *testing.T) {
	ctx, r := warning.With(context.Background())
	for i := range 1000 {
		warning.Add(ctx, fmt.Sprint(i, strings.Repeat("x", 100)))
	}
	if size := len(strings.Join(r.Warnings(), "")); size == 0 || size > 4<<10 {
		t.Errorf("%d bytes of warnings", size)
	}
}
