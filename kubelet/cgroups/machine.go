package cgroups

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"
	"strings"
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
