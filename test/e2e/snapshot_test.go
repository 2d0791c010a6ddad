package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// snapshot is what a cluster could leave on a machine, by kind.
type snapshot map[string][]string

func takeSnapshot(t *testing.T) snapshot {
	t.Helper()
	s := snapshot{
		"process":           processes(t),
		"network namespace": names("/run/netns/*"),
		"link":              output(t, "ip", "-o", "-br", "link"),
		"address":           output(t, "ip", "-o", "-br", "-4", "address"),
		"route":             output(t, "ip", "-4", "route"),
		"mount":             mounts(t),
		"iptables rule":     rules(t),
		"control group":     append(names("/sys/fs/cgroup/miniorch*"), names("/sys/fs/cgroup/*/miniorch*")...),
		"file":              append(names("/var/lib/miniorch*"), names("/run/containerd/s/*")...),
		"ip_forward":        output(t, "cat", "/proc/sys/net/ipv4/ip_forward"),
	}
	return s
}

// compare fails the test for everything that came or went.
func (s snapshot) compare(t *testing.T, after snapshot) {
	t.Helper()
	for kind, were := range s {
		for _, now := range after[kind] {
			if !slices.Contains(were, now) {
				t.Errorf("left behind: %s %s", kind, now)
			}
		}
		for _, was := range were {
			if !slices.Contains(after[kind], was) {
				t.Errorf("taken away: %s %s", kind, was)
			}
		}
	}
}

func names(pattern string) []string {
	found, _ := filepath.Glob(pattern)
	return found
}

// processes lists the command lines of programs that a cluster runs.
func processes(t *testing.T) []string {
	entries, err := os.ReadDir("/proc")
	check(t, err)
	var found []string
	for _, e := range entries {
		line, err := os.ReadFile(filepath.Join("/proc", e.Name(), "cmdline"))
		if err != nil {
			continue
		}
		text := strings.ReplaceAll(string(line), "\x00", " ")
		program := filepath.Base(strings.Fields(text + " -")[0])
		if strings.HasPrefix(program, "miniorch-") || strings.HasPrefix(program, "containerd") || program == "demo" || program == "busybox" {
			found = append(found, text)
		}
	}
	return found
}

func mounts(t *testing.T) []string {
	content, err := os.ReadFile("/proc/self/mountinfo")
	check(t, err)
	var points []string
	for line := range strings.Lines(string(content)) {
		points = append(points, strings.Fields(line)[4])
	}
	return points
}

var counters = regexp.MustCompile(`\[\d+:\d+\]`)

// rules lists iptables rules and chains of users; tables that merely exist do not count.
func rules(t *testing.T) []string {
	var found []string
	for _, line := range output(t, "iptables-save") {
		if strings.HasPrefix(line, "-A") || (strings.HasPrefix(line, ":") && strings.Contains(line, " - ")) {
			found = append(found, counters.ReplaceAllString(line, ""))
		}
	}
	return found
}

func output(t *testing.T, program string, args ...string) []string {
	t.Helper()
	out, err := exec.Command(program, args...).Output()
	if err != nil {
		t.Fatalf("%s: %v", program, err)
	}
	return strings.Split(strings.TrimSpace(string(out)), "\n")
}
