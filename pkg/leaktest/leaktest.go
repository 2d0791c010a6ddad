// Package leaktest fails the tests of a package if they leave anything behind: goroutines,
// processes, mounts, network namespaces, cgroups, sockets of containerd's shims, files
// outside their temporary directories. One line in a test file asks for it:
//
//	func TestMain(m *testing.M) { leaktest.Main(m) }
//
// `go test` runs many packages at once on one machine. Therefore only what this process has
// made is looked at: its goroutines, what carries its name or its environment, and what
// lies in its temporary directory.
package leaktest

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// settle is how long what is on its way out may take: shims end some milliseconds after
// their containers.
const settle = 5 * time.Second

// environment variables that tell processes of one test run from those of others.
const (
	envName    = "MINIORCH_LEAKTEST"
	envPrivate = "MINIORCH_LEAKTEST_PRIVATE"
)

// Main runs the package's tests, looks for what they have left, and exits. Options say
// which goroutines of libraries nobody can end.
func Main(m *testing.M, options ...goleak.Option) {
	os.Exit(run(m, options))
}

// MainPrivate is Main for tests that run containers: as root, the tests get a mount
// namespace of their own, in which all mounts and all sockets of shims are theirs.
func MainPrivate(m *testing.M, options ...goleak.Option) {
	if os.Getenv(envPrivate) != "" {
		hide("/run/containerd", "/run/netns")
	} else if code, ran := again(); ran {
		os.Exit(code)
	}
	os.Exit(run(m, options))
}

// Name is part of the name of everything that tests make outside their temporary directory,
// a cgroup for example, so that it is known whose it is. It is short and unique to the process.
func Name() string { return cmp.Or(os.Getenv(envName), "leaktest") }

func run(m *testing.M, options []goleak.Option) int {
	dir, err := os.MkdirTemp("", "mo")
	if err == nil {
		err = os.Setenv(envName, filepath.Base(dir))
	}
	if err == nil {
		err = os.Setenv("TMPDIR", dir) // what os.TempDir and thereby t.TempDir and os.MkdirTemp go by
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "leaktest:", err)
		return 1
	}
	w := watch(dir)
	code := m.Run()
	if code == 0 { // tests that fail do not get to cleaning up
		if err := goroutines(options); err != nil {
			fmt.Fprintf(os.Stderr, "leaktest: goroutines are left: %v\n", err)
			code = 1
		}
		if left := w.wait(settle); len(left) > 0 {
			fmt.Fprintf(os.Stderr, "leaktest: the tests have left behind:\n  %s\n", strings.Join(left, "\n  "))
			code = 1
		}
	}
	if err := os.RemoveAll(dir); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, "leaktest:", err)
		code = 1
	}
	return code
}

// goroutines are waited for as everything is: spdystream's end a second after their connection.
func goroutines(options []goleak.Option) error {
	deadline := time.Now().Add(settle)
	for {
		err := goleak.Find(options...)
		if err == nil || time.Now().After(deadline) {
			return err
		}
	}
}
