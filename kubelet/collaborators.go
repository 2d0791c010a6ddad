package kubelet

import (
	"context"
	"io"
	"net"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/miniorch/miniorch/kubelet/cgroups"
	"github.com/miniorch/miniorch/kubelet/container"
	"github.com/miniorch/miniorch/kubelet/sandbox"
)

// Runtime creates, runs and observes containers and holds images. Its labels are the only
// memory of what runs. All methods are safe for concurrent use.
type Runtime interface {
	// Containers lists everything of ours: the whole state.
	Containers(ctx context.Context) ([]container.Container, error)
	// Events streams what happens to containers; the channel is closed when ctx ends or
	// when the connection is lost, after which Containers must be read anew.
	Events(ctx context.Context) (<-chan container.ContainerEvent, error)

	Pull(ctx context.Context, req container.PullRequest) (container.Image, error)
	Image(ctx context.Context, ref string) (image container.Image, present bool, err error)
	Images(ctx context.Context) ([]container.Image, error)
	// MountImage shows the content of a present image at dir for a pod; again changes nothing.
	MountImage(ctx context.Context, ref, podUID, dir string) error
	// ReleaseImages gives up all that MountImage took for a pod.
	ReleaseImages(ctx context.Context, podUID string) error

	Create(ctx context.Context, spec container.ContainerSpec) (id string, err error)
	Start(ctx context.Context, id string) error
	// Stop signals the container, kills it after the grace period, and returns once it has
	// exited. A shorter Stop beside a running one wins.
	Stop(ctx context.Context, id string, req container.StopRequest) error
	Remove(ctx context.Context, id string) error
	// Resize changes the CPU and memory of a running container, and labels of it.
	Resize(ctx context.Context, id string, to container.Resources, labels map[string]string) error
	Exec(ctx context.Context, id string, req container.ExecRequest) (exitCode int, err error)
	// Attach joins the streams of a container's own process until its output ends or ctx does.
	Attach(ctx context.Context, id string, req container.AttachRequest) error
}

// Network gives pods their namespaces and addresses. Setup is idempotent.
type Network interface {
	Setup(ctx context.Context, spec sandbox.Spec) (sandbox.Result, error)
	Teardown(ctx context.Context, uid types.UID) error
	// Dial connects to address ("127.0.0.1:80") by TCP from inside the pod's network.
	Dial(ctx context.Context, uid types.UID, hostNetwork bool, address string) (net.Conn, error)
	// Sandboxes lists the pods that hold anything, so that leftovers are found after a restart.
	Sandboxes(ctx context.Context) ([]types.UID, error)
}

// Volumes fills the volumes of pods and keeps their content current. Prepare is idempotent.
type Volumes interface {
	// Prepare returns the directory (or file) of the host behind each volume of the pod.
	Prepare(ctx context.Context, pod *corev1.Pod) (map[string]container.Mount, error)
	// Sync writes again what depends on the pod object: labels and annotations.
	Sync(ctx context.Context, pod *corev1.Pod) error
	// Subpath returns a path that shows sub of the volume at root and nothing beyond it, for
	// the mount-th volumeMount of c.
	Subpath(pod *corev1.Pod, c *corev1.Container, mount int, root, sub string) (string, error)
	// Used measures how much of the disk the files of an emptyDir take.
	Used(ctx context.Context, pod *corev1.Pod, volume string) (int64, error)
	Teardown(ctx context.Context, uid types.UID) error
	// Pods lists the pods that hold volumes.
	Pods(ctx context.Context) ([]types.UID, error)
}

// Logs reads container logs.
type Logs interface {
	// Read writes the log at path to w as opts ask. With opts.Follow it ends when
	// exited is closed and all was written, or when ctx ends.
	Read(ctx context.Context, path string, opts *corev1.PodLogOptions, exited <-chan struct{}, w io.Writer) error
}

// Cgroups keeps the pods' control groups.
type Cgroups interface {
	// EnsurePod makes the pod's cgroup with its limits and returns the parent for its containers.
	EnsurePod(pod *corev1.Pod) (parent string, err error)
	RemovePod(uid types.UID) error
	// Usage reads what a cgroup has used, or with "" the whole node.
	Usage(cgroup string) (cgroups.Stats, error)
}

// Parts are the kubelet's collaborators on the node.
type Parts struct {
	Runtime Runtime
	Network Network
	Volumes Volumes
	Logs    Logs
	Cgroups Cgroups
}
