package cgroups

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Stats is what a cgroup has used.
type Stats struct {
	CPU         time.Duration // cumulative
	Memory      uint64        // bytes, page cache included
	WorkingSet  uint64        // bytes that cannot be reclaimed easily: Memory less inactive file pages
	RSS         uint64        // bytes of anonymous memory
	Swap        uint64        // bytes
	Faults      uint64        // of pages, cumulative
	MajorFaults uint64        // those that had to read from a disk
	PIDs        uint64
	OOMKills    uint64
}

// Stats reads the usage of a cgroup, given by its path from the root.
func (h Hierarchy) Stats(cgroup string) (Stats, error) {
	if h.Version == V2 {
		dir, _ := h.dir("", cgroup)
		return statsV2(dir)
	}
	memory, _ := h.dir("memory", cgroup)
	stats, err := memoryV1(memory)
	if err != nil {
		return Stats{}, err
	}
	if dir, ok := h.dir("cpuacct", cgroup); ok {
		nanos, err := readNumber(dir, "cpuacct.usage")
		if err != nil {
			return Stats{}, err
		}
		stats.CPU = time.Duration(nanos)
	}
	if dir, ok := h.dir("pids", cgroup); ok {
		if stats.PIDs, err = readNumber(dir, "pids.current"); err != nil {
			return Stats{}, err
		}
	}
	return stats, nil
}

func memoryV1(dir string) (Stats, error) {
	usage, err := readNumber(dir, "memory.usage_in_bytes")
	if err != nil {
		return Stats{}, err
	}
	detail, err := readTable(dir, "memory.stat")
	if err != nil {
		return Stats{}, err
	}
	control, err := readTable(dir, "memory.oom_control")
	if err != nil {
		return Stats{}, err
	}
	return Stats{
		Memory: usage, WorkingSet: less(usage, detail["total_inactive_file"]),
		RSS: detail["total_rss"], Swap: detail["total_swap"], Faults: detail["total_pgfault"], MajorFaults: detail["total_pgmajfault"],
		OOMKills: control["oom_kill"],
	}, nil
}

func statsV2(dir string) (Stats, error) {
	usage, err := readNumber(dir, "memory.current")
	if err != nil {
		return Stats{}, err
	}
	detail, err := readTable(dir, "memory.stat")
	if err != nil {
		return Stats{}, err
	}
	events, err := readTable(dir, "memory.events")
	if err != nil {
		return Stats{}, err
	}
	cpu, err := readTable(dir, "cpu.stat")
	if err != nil {
		return Stats{}, err
	}
	pids, err := readNumber(dir, "pids.current")
	if err != nil {
		return Stats{}, err
	}
	swap, err := readNumber(dir, "memory.swap.current")
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // a kernel without swap does not have it
		return Stats{}, err
	}
	return Stats{
		CPU: time.Duration(cpu["usage_usec"]) * time.Microsecond, Memory: usage,
		WorkingSet: less(usage, detail["inactive_file"]), RSS: detail["anon"], Swap: swap,
		Faults: detail["pgfault"], MajorFaults: detail["pgmajfault"], PIDs: pids, OOMKills: events["oom_kill"],
	}, nil
}

// OOMKills is how many processes the kernel killed in a cgroup for want of memory; zero
// if the cgroup is gone.
func OOMKills(cgroup string) uint64 {
	h, err := Detect()
	if err != nil || cgroup == "" {
		return 0
	}
	file := "memory.events"
	if h.Version == V1 {
		file = "memory.oom_control"
	}
	dir, _ := h.dir("memory", cgroup)
	table, err := readTable(dir, file)
	if err != nil {
		return 0
	}
	return table["oom_kill"]
}

// less subtracts without going below zero: the two numbers were not read at one instant.
func less(a, b uint64) uint64 {
	if b > a {
		return 0
	}
	return a - b
}

func readNumber(dir, file string) (uint64, error) {
	data, err := os.ReadFile(filepath.Join(dir, file))
	if err != nil {
		return 0, fmt.Errorf("reading cgroup: %w", err)
	}
	n, err := strconv.ParseUint(strings.TrimSpace(string(data)), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("reading cgroup %s/%s: %w", dir, file, err)
	}
	return n, nil
}

// readTable reads a file of lines "key number".
func readTable(dir, file string) (map[string]uint64, error) {
	f, err := os.Open(filepath.Join(dir, file))
	if err != nil {
		return nil, fmt.Errorf("reading cgroup: %w", err)
	}
	defer f.Close()
	table := map[string]uint64{}
	for lines := bufio.NewScanner(f); lines.Scan(); {
		key, value, _ := strings.Cut(lines.Text(), " ")
		if n, err := strconv.ParseUint(value, 10, 64); err == nil {
			table[key] = n
		}
	}
	return table, nil
}
