package supervise

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// SweepSockets removes the sockets of shims that died without saying goodbye (a power cut,
// kill -9). A shim's socket is outside of containerd's directories, and containerd forgets
// it together with the shim; which sockets are ours is in the bundles below state.
func SweepSockets(state string) error {
	files, err := filepath.Glob(filepath.Join(state, "io.containerd.runtime.v2.task", "*", "*", "address"))
	if err != nil {
		return err
	}
	var errs []error
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			continue // the container is gone meanwhile
		}
		path, isUnix := strings.CutPrefix(strings.TrimSpace(string(content)), "unix://")
		if !isUnix {
			continue
		}
		conn, err := net.Dial("unix", path)
		if err == nil {
			conn.Close()
		} else if errors.Is(err, syscall.ECONNREFUSED) { // nobody listens: its shim is dead
			errs = append(errs, os.Remove(path))
		}
	}
	return errors.Join(errs...)
}
