package main

import (
	"testing"
	"time"
)

func TestPercentile(t *testing.T) {
	hundred := make([]time.Duration, 100) // 100, 99, … 1: the order must not matter
	for i := range hundred {
		hundred[i] = time.Duration(100 - i)
	}
	for _, c := range []struct {
		name    string
		samples []time.Duration
		p       float64
		want    time.Duration
	}{
		{"no samples", nil, 50, 0},
		{"one sample is every percentile", []time.Duration{7}, 99, 7},
		{"the lowest", hundred, 0, 1},
		{"the median of an even number is the lower one", hundred, 50, 50},
		{"the 99th of a hundred is not the worst", hundred, 99, 99},
		{"the highest", hundred, 100, 100},
		{"the 99th of thirty is the worst", hundred[70:], 99, 30},
		{"the median of three", []time.Duration{9, 1, 5}, 50, 5},
	} {
		if got := percentile(c.samples, c.p); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
	if hundred[0] != 100 {
		t.Error("the samples were reordered")
	}
}

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		name   string
		values []int
		want   int
	}{
		{"nothing", nil, 0}, {"one", []int{3}, 3}, {"odd", []int{9, 1, 5}, 5}, {"even", []int{4, 1, 3, 2}, 2},
	} {
		if got := median(c.values); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
}

func TestUnits(t *testing.T) {
	for _, c := range []struct{ name, got, want string }{
		{"short times keep a decimal", ms(1250 * time.Microsecond), "1.2 ms"},
		{"long ones do not", ms(76*time.Millisecond + 600*time.Microsecond), "77 ms"},
		{"bytes", mb(54_300_000), "54 MB"},
		{"rates", perSecond(rate(5000, 2*time.Second)), "2500/s"},
		{"no time is no rate", perSecond(rate(5, 0)), "0/s"},
	} {
		if c.got != c.want {
			t.Errorf("%s: %q, want %q", c.name, c.got, c.want)
		}
	}
}
