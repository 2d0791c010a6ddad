package runtime

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"
)

// TestShimsLeave: the exit of a container and the end of its pod both delete its task, at the
// same time and for all containers of the pod; the shim must hear of the last one.
func TestShimsLeave(t *testing.T) {
	n := startNode(t)
	ctx := n.scope(t.Context())
	for round := range 6 {
		var ids []string
		for i := range 3 {
			ids = append(ids, n.run(n.spec(fmt.Sprint("pod", round), fmt.Sprint("c", i), "sleep", "1000")))
		}
		var all sync.WaitGroup
		for _, id := range ids {
			if err := n.killAndWait(ctx, id); err != nil {
				t.Fatal(err)
			}
		}
		for _, id := range ids {
			all.Go(func() {
				if err := n.reap(ctx, id); err != nil {
					t.Error(err)
				}
			})
			all.Go(func() {
				if err := n.Remove(ctx, id); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
	}
	awaitNoShim(t, n.dir)
}

// TestSweepShims: a shim that serves no container on record goes when an agent starts, and
// one that serves stays.
func TestSweepShims(t *testing.T) {
	n := startNode(t)
	bundle := t.TempDir()
	if err := os.WriteFile(filepath.Join(bundle, "config.json"), []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(filepath.Join(bundle, "log"), 0o600); err != nil {
		t.Fatal(err)
	}
	log, err := os.OpenFile(filepath.Join(bundle, "log"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close() // until then there is room for what the shim writes
	orphan := exec.Command("containerd-shim-runc-v2", "-namespace", n.cfg.Namespace, "-id", "orphan", "-address", n.cfg.Address, "start")
	orphan.Dir = bundle
	orphan.Env = append(os.Environ(), "TTRPC_ADDRESS="+n.cfg.Address+".ttrpc")
	if out, err := orphan.Output(); err != nil {
		t.Fatalf("starting a shim: %v: %s", err, out)
	}
	id := n.run(n.spec("p", "c", "sleep", "1000"))
	if got := shims(t, n.dir); got != 2 {
		t.Fatalf("%d shims, want the orphan and one that serves", got)
	}
	if _, err := n.Events(t.Context()); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(2 * time.Minute); shims(t, n.dir) != 1 && time.Now().Before(deadline); {
		time.Sleep(10 * time.Millisecond)
	}
	if left := leftovers(t, n.dir); shims(t, n.dir) != 1 {
		t.Errorf("the wrong shims are left:\n%s", left)
	}
	if err := n.Remove(t.Context(), id); err != nil {
		t.Error(err)
	}
	awaitNoShim(t, n.dir)
}

func awaitNoShim(t *testing.T, dir string) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if shims(t, dir) == 0 {
			return
		}
	}
	t.Errorf("shims without containers:\n%s", leftovers(t, dir))
}

// TestTurns: one key is had by one at a time, keys do not wait for each other, and nothing is
// kept of those who are done.
func TestTurns(t *testing.T) {
	var list turns
	var all sync.WaitGroup
	inside, most := 0, 0
	for range 50 {
		all.Go(func() {
			defer list.lock("a")()
			inside++
			most = max(most, inside)
			inside--
		})
	}
	unlockB := list.lock("b")
	all.Wait()
	unlockB()
	if most != 1 || len(list.queues) != 0 {
		t.Errorf("%d inside at once, %d queues kept", most, len(list.queues))
	}
}
