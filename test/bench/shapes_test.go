package main

import "testing"

func TestBenchLine(t *testing.T) {
	for _, c := range []struct {
		line, unit, name string
		number           float64
		ok               bool
	}{
		{"BenchmarkShapes/Basic/nodes=500-2         \t    3000\t    161551 ns/op\t         1.000 placed\t     39477 pods/cpu-s\t      6190 pods/s", "pods/s", "Basic, nodes=500", 6190, true},
		{"BenchmarkThroughAPI/store=etcd/Basic-16 1 4347412264 ns/op 2347 binds/s", "binds/s", "store=etcd, Basic", 2347, true},
		{"BenchmarkThroughAPI/store=etcd/Basic-16 1 4347412264 ns/op", "binds/s", "", 0, false},
		{"PASS", "pods/s", "", 0, false},
		{"", "pods/s", "", 0, false},
	} {
		if name, number, ok := benchLine(c.line, c.unit); name != c.name || number != c.number || ok != c.ok {
			t.Errorf("%q: %q, %v, %v", c.line, name, number, ok)
		}
	}
}
