package cgroups

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// Capacity is what the machine has.
type Capacity struct {
	CPUs   int   // that this process may run on
	Memory int64 // bytes
}

// MachineCapacity returns the machine's CPUs and memory.
func MachineCapacity() (Capacity, error) {
	f, err := os.Open("/proc/meminfo")
	if err != nil {
		return Capacity{}, fmt.Errorf("reading capacity: %w", err)
	}
	defer f.Close()
	memory, err := memoryOf(f, "MemTotal")
	if err != nil {
		return Capacity{}, err
	}
	return Capacity{CPUs: runtime.NumCPU(), Memory: memory}, nil
}

// MemoryAvailable is the machine's memory that can be had without swapping.
func MemoryAvailable() (int64, error) {
	f, err := os.Open("/proc/meminfo")
	if err != nil {
		return 0, fmt.Errorf("reading free memory: %w", err)
	}
	defer f.Close()
	return memoryOf(f, "MemAvailable")
}

// memoryOf finds one entry of a meminfo file, in bytes.
func memoryOf(meminfo io.Reader, key string) (int64, error) {
	for lines := bufio.NewScanner(meminfo); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) < 2 || fields[0] != key+":" {
			continue
		}
		kib, err := strconv.ParseInt(fields[1], 10, 64)
		if err != nil {
			return 0, fmt.Errorf("reading %s: %w", key, err)
		}
		return kib << 10, nil
	}
	return 0, fmt.Errorf("reading memory: no %s", key)
}

// machineUsage is what runs on the machine, whoever started it.
func machineUsage() (Stats, error) {
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return Stats{}, fmt.Errorf("reading the machine's usage: %w", err)
	}
	table := map[string]int64{}
	for _, key := range []string{"MemTotal", "MemFree", "MemAvailable", "AnonPages", "SwapTotal", "SwapFree"} {
		if table[key], err = memoryOf(bytes.NewReader(text), key); err != nil {
			return Stats{}, err
		}
	}
	cpu, err := os.ReadFile("/proc/stat")
	if err != nil {
		return Stats{}, fmt.Errorf("reading the machine's usage: %w", err)
	}
	return Stats{
		CPU: busy(string(cpu)), Memory: uint64(table["MemTotal"] - table["MemFree"]),
		WorkingSet: uint64(table["MemTotal"] - table["MemAvailable"]), RSS: uint64(table["AnonPages"]),
		Swap: uint64(table["SwapTotal"] - table["SwapFree"]),
	}, nil
}

// busy adds up the time that all processors worked, from the first line of /proc/stat: in
// hundredths of a second, user, nice, system, idle, iowait, irq, softirq, steal.
func busy(stat string) time.Duration {
	line, _, _ := strings.Cut(stat, "\n")
	var sum time.Duration
	for i, field := range strings.Fields(line) {
		if n, err := strconv.ParseInt(field, 10, 64); err == nil && i < 9 && i != 4 && i != 5 {
			sum += time.Duration(n) * (time.Second / 100)
		}
	}
	return sum
}
