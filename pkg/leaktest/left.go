package leaktest

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// watched knows what was there before the tests.
type watched struct {
	dir     string
	private bool
	before  map[string]bool
}

func watch(dir string) *watched {
	w := &watched{dir: dir, private: os.Getenv(envPrivate) != "", before: map[string]bool{}}
	for _, thing := range w.all() {
		w.before[thing] = true
	}
	return w
}

// wait returns what is left when nothing is left, or after d.
func (w *watched) wait(d time.Duration) []string {
	deadline := time.Now().Add(d)
	for {
		left := slices.DeleteFunc(w.all(), func(thing string) bool { return w.before[thing] })
		if len(left) == 0 || time.Now().After(deadline) {
			return left
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func (w *watched) all() []string {
	return slices.Concat(w.processes(), w.mounts(), w.cgroups(), w.files())
}

// processes descend from this one, or carry its environment, as daemons do that were
// adopted by init. Threads of this process are not meant, nor is who only waits to be reaped.
func (w *watched) processes() []string {
	type process struct {
		parent        int
		ours, zombie  bool
		name, comment string
	}
	self := os.Getpid()
	all := map[int]process{}
	mark := []byte("\x00" + envName + "=" + filepath.Base(w.dir) + "\x00")
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, file := range stats {
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		stat, err := os.ReadFile(file)
		open, end := bytes.IndexByte(stat, '('), bytes.LastIndexByte(stat, ')')
		if err != nil || open < 0 || end < 0 {
			continue // gone
		}
		fields := strings.Fields(string(stat[end+1:]))
		p := process{name: string(stat[open+1 : end]), zombie: fields[0] == "Z" || fields[0] == "X"}
		p.parent, _ = strconv.Atoi(fields[1])
		env, _ := os.ReadFile(filepath.Join(filepath.Dir(file), "environ"))
		p.ours = bytes.Contains(append([]byte{0}, env...), mark)
		command, _ := os.ReadFile(filepath.Join(filepath.Dir(file), "cmdline"))
		p.comment = string(bytes.TrimSpace(bytes.ReplaceAll(command, []byte{0}, []byte(" "))))
		all[pid] = p
	}
	var out []string
	for _, pid := range slices.Sorted(maps.Keys(all)) {
		p := all[pid]
		descends := p.ours
		for at := p.parent; at > 1 && !descends; at = all[at].parent {
			descends = at == self || all[at].ours
		}
		if descends && pid != self && !p.zombie {
			out = append(out, fmt.Sprintf("process %d (%s): %s", pid, p.name, p.comment))
		}
	}
	return out
}

// mounts below the temporary directory, all in a namespace of our own. What pins a network
// namespace is a mount, too.
func (w *watched) mounts() []string {
	var out []string
	info, _ := os.ReadFile("/proc/self/mountinfo")
	for line := range strings.Lines(string(info)) {
		fields := strings.Fields(line)
		if len(fields) > 4 && (w.private || strings.HasPrefix(fields[4], w.dir+"/")) {
			out = append(out, "mount "+fields[4]+" ("+fields[len(fields)-3]+")")
		}
	}
	return out
}

// cgroups that carry our name, in any hierarchy.
func (w *watched) cgroups() []string {
	var out []string
	for _, level := range []string{"/sys/fs/cgroup/", "/sys/fs/cgroup/*/"} {
		groups, _ := filepath.Glob(level + "*" + filepath.Base(w.dir) + "*")
		for _, g := range groups {
			out = append(out, "cgroup "+g)
		}
	}
	return out
}

// files in the temporary directory, in /run/netns those with our name, and in a mount
// namespace of our own those of containerd's shims.
func (w *watched) files() []string {
	patterns := []string{w.dir + "/*", "/run/netns/*" + filepath.Base(w.dir) + "*"}
	if w.private {
		patterns = append(patterns, "/run/containerd/s/*", "/run/containerd/runc/*/*", "/run/netns/*")
	}
	var out []string
	for _, p := range patterns {
		files, _ := filepath.Glob(p)
		for _, f := range files {
			out = append(out, "file "+f)
		}
	}
	return out
}
