// Package virtual runs a whole cluster in one process and in virtual time: API server on
// the memory store, scheduler, controllers, and kubelets of nodes that are simulated. What
// happens is a function of a seed, and is written down as transcripts of kubectl sessions
// in testdata, which are tests and documentation at once.
package virtual

import (
	"flag"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
)

var (
	update = flag.Bool("update", false, "write what happens now into testdata; read the difference before you commit it")
	seed   = flag.Uint64("seed", 1, "another seed tells each scenario with other names and another order of events")
)

func TestMain(m *testing.M) {
	// kubectl listens to signals. The runtime's own goroutine for them must not be born in a
	// bubble of virtual time.
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt)
	signal.Stop(signals)
	os.Exit(m.Run())
}

// story plays a transcript from a seed and returns it as it went.
func story(t *testing.T, steps []step, seed uint64) (played string) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c := start(t, seed)
		played = print(c.play(steps))
		c.checkDecisions()
	})
	return played
}

func eachScenario(t *testing.T, test func(t *testing.T, file string, steps []step)) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenarios: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			steps, err := parse(string(text))
			if err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			test(t, file, steps)
		})
	}
}

func TestScenarios(t *testing.T) {
	eachScenario(t, func(t *testing.T, file string, steps []step) {
		got, want := story(t, steps, *seed), print(steps)
		if got == want {
			return
		}
		if *update {
			if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
			return
		}
		t.Errorf("it went otherwise (-update writes it down):\n%s", cmp.Diff(strings.Split(want, "\n"), strings.Split(got, "\n")))
	})
}

// The same seed makes the same names, addresses, versions and decisions at the same instants.
func TestSameSeedSameStory(t *testing.T) {
	eachScenario(t, func(t *testing.T, _ string, steps []step) {
		steps = append(steps, step{command: "history"})
		first, second := story(t, steps, 7), story(t, steps, 7)
		if diff := cmp.Diff(strings.Split(first, "\n"), strings.Split(second, "\n")); diff != "" {
			t.Errorf("two stories of one seed:\n%s", diff)
		}
	})
}

func TestSeedsDiffer(t *testing.T) {
	steps := []step{{command: "boot node-1"}, {command: "create deployment web --image=web:1"}, {command: "tick 1s"}, {command: "get pods"}}
	if one, two := story(t, steps, 1), story(t, steps, 2); one == two {
		t.Errorf("the seed changes nothing:\n%s", one)
	}
}
