package runtime

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/errdefs"
	"github.com/containerd/errdefs/pkg/errgrpc"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc/status"

	"github.com/miniorch/miniorch/kubelet/container"
)

// scope puts a call into our containerd namespace.
func (r *Runtime) scope(ctx context.Context) context.Context {
	return namespaces.WithNamespace(ctx, r.cfg.Namespace)
}

// translate turns containerd's errors into the ones the pod worker knows.
func translate(err error) error {
	if err == nil {
		return nil
	}
	native := err
	if _, isStatus := status.FromError(err); isStatus {
		native = errgrpc.ToNative(err) // some of the client's methods have done so already
	}
	switch {
	case errdefs.IsNotFound(native):
		return fmt.Errorf("%w: %w", container.ErrNotFound, native)
	case errdefs.IsUnavailable(native):
		return fmt.Errorf("%w: %w", container.ErrUnavailable, native)
	}
	return native
}

func isNotFound(err error) bool {
	return errors.Is(translate(err), container.ErrNotFound)
}

func randomID() string {
	var b [16]byte
	rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// oomScoreFloor is the lowest oom_score_adj this process tree may set: everything with
// CAP_SYS_RESOURCE, else what it already has, since the kernel lets nobody lower it
// unprivileged.
func oomScoreFloor() int {
	const lowest = -1000
	if hasCapability(unix.CAP_SYS_RESOURCE) {
		return lowest
	}
	data, err := os.ReadFile("/proc/self/oom_score_adj")
	if err != nil {
		return 0
	}
	score, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil {
		return 0
	}
	return score
}

func hasCapability(number int) bool {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return false
	}
	return data[number/32].Effective&(1<<(number%32)) != 0
}
