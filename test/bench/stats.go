package main

import (
	"fmt"
	"slices"
	"time"
)

// percentile is the smallest of the samples that at least p percent of them do not exceed
// (nearest rank). It is 0 without samples.
func percentile(samples []time.Duration, p float64) time.Duration {
	if len(samples) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(samples))
	rank := int(p/100*float64(len(sorted)) + 0.999999999)
	return sorted[min(max(rank, 1), len(sorted))-1]
}

// median is the middle of the values, of an even number the lower one of the two.
func median[T int | float64 | time.Duration](values []T) T {
	var zero T
	if len(values) == 0 {
		return zero
	}
	return slices.Sorted(slices.Values(values))[(len(values)-1)/2]
}

// rate is how many per second.
func rate(n int, took time.Duration) float64 {
	if took <= 0 {
		return 0
	}
	return float64(n) / took.Seconds()
}

// ms writes a duration in milliseconds, with a decimal where it matters.
func ms(d time.Duration) string {
	if v := float64(d) / float64(time.Millisecond); v < 10 {
		return fmt.Sprintf("%.1f ms", v)
	}
	return fmt.Sprintf("%d ms", d.Round(time.Millisecond).Milliseconds())
}

// mb writes bytes as megabytes.
func mb(bytes int64) string { return fmt.Sprintf("%.0f MB", float64(bytes)/1e6) }

// perSecond writes a rate with its unit.
func perSecond(rate float64) string { return fmt.Sprintf("%.0f/s", rate) }
