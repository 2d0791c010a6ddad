package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"strings"
)

// shapes runs the scheduler's own benchmarks: the shapes of upstream's scheduler_perf, alone at 500
// and 5,000 nodes, and some through the API and etcd at 1,000.
func (b *bench) shapes(ctx context.Context) error {
	for _, one := range []struct{ name, times, unit, what string }{
		{"Shapes", "2000x", "pods/s", "the scheduler alone"},
		{"ThroughAPI", "1x", "binds/s", "scheduling through the API, nodes=1000"},
	} {
		cmd := exec.CommandContext(ctx, "go", "test", "-run", "^$", "-bench", "^Benchmark"+one.name+"$", "-benchtime", one.times, "./scheduler")
		out, err := cmd.Output()
		if err != nil {
			return fmt.Errorf("%s: %w\n%s", cmd, err, out)
		}
		lines := bufio.NewScanner(bytes.NewReader(out))
		for lines.Scan() {
			if name, rate, ok := benchLine(lines.Text(), one.unit); ok {
				b.add(row{what: one.what + ", " + name + ": " + one.unit, measured: perSecond(rate), target: shapeTargets[name]})
			}
		}
	}
	return nil
}

// shapeTargets are those of the design, by benchmark.
var shapeTargets = map[string]string{
	"Basic, nodes=5000": "20000/s", "PodAntiAffinity, nodes=5000": "1000/s", "TopologySpreading, nodes=5000": "1000/s", "TopologySpreadingHosts, nodes=5000": "1000/s",
	"store=etcd, Basic": "2500/s", "store=etcd, PodAntiAffinityOfMany": "2500/s", "store=etcd, PodAffinity": "2500/s", "store=etcd, TopologySpreading": "2500/s",
}

// benchLine reads a line that "go test -bench" prints: which benchmark below the first, and its
// number of a unit.
func benchLine(line, unit string) (name string, number float64, ok bool) {
	words := strings.Fields(line)
	if len(words) == 0 || !strings.HasPrefix(words[0], "Benchmark") {
		return "", 0, false
	}
	_, name, _ = strings.Cut(words[0], "/")
	if at := strings.LastIndex(name, "-"); at > 0 { // how many processors there are
		name = name[:at]
	}
	for i := 1; i < len(words); i++ {
		if words[i] == unit {
			_, err := fmt.Sscan(words[i-1], &number)
			return strings.ReplaceAll(name, "/", ", "), number, err == nil
		}
	}
	return "", 0, false
}
