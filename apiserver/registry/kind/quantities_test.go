package kind

import (
	"testing"

	"k8s.io/apimachinery/pkg/api/resource"
)

func TestCapped(t *testing.T) {
	for _, c := range []struct{ name, given, want string }{
		{"as it is", "1500m", "1500m"},
		{"zero", "0", "0"},
		{"large and possible", "8E", "8E"},
		{"a number of a billion digits", "1e999999999", "9223372036854775807"},
		{"below", "-1e999999999", "-9223372036854775807"},
	} {
		got := capped(resource.MustParse(c.given))
		if want := resource.MustParse(c.want); got.Cmp(want) != 0 {
			t.Errorf("%s: %s became %s, want %s", c.name, c.given, got.String(), c.want)
		}
	}
}
