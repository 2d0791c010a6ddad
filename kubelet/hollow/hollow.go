// Package hollow simulates the node under a kubelet: containers that "run" without a
// process, a network without packets, volumes without files. It lets one machine play a
// thousand nodes, and serves as the obedient fake in tests: it keeps the rules of the real
// parts (states only go forward, nothing starts twice, what is unknown is not found).
package hollow

import (
	"context"
	"fmt"
	"hash/fnv"
	"io"
	"net"
	"net/netip"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	"github.com/miniorch/miniorch/kubelet"
	"github.com/miniorch/miniorch/kubelet/cgroups"
	"github.com/miniorch/miniorch/kubelet/container"
	"github.com/miniorch/miniorch/kubelet/node"
	"github.com/miniorch/miniorch/kubelet/sandbox"
)

// Parts returns a complete simulated node, and its runtime for those who want to interfere.
func Parts(clk clock.WithTicker) (kubelet.Parts, *Runtime) {
	r := NewRuntime(clk)
	return kubelet.Parts{Runtime: r, Network: NewNetwork(), Volumes: NewVolumes(), Logs: Logs{}, Cgroups: Cgroups{}}, r
}

// NodeConfig describes a simulated machine: 32 CPUs, 128 GiB and 110 pods, without pressure.
func NodeConfig() node.Config {
	return node.Config{
		Labels: map[string]string{"miniorch.dev/hollow": "true"},
		Capacity: corev1.ResourceList{
			corev1.ResourceCPU: resource.MustParse("32"), corev1.ResourceMemory: resource.MustParse("128Gi"),
			corev1.ResourcePods: resource.MustParse("110"), corev1.ResourceEphemeralStorage: resource.MustParse("1Ti"),
		},
		Info: corev1.NodeSystemInfo{ContainerRuntimeVersion: "hollow://1", OSImage: "simulated", KernelVersion: "none"},
		Measure: func() (node.Pressure, error) {
			return node.Pressure{MemoryFree: 64 << 30, DiskFree: 1 << 40, DiskSize: 1 << 40, PIDs: 1, MaxPIDs: 1 << 20}, nil
		},
	}
}

// Network hands out addresses that lead nowhere.
type Network struct {
	mu   sync.Mutex
	pods map[types.UID]sandbox.Spec // guarded by mu
}

// NewNetwork returns a network without pods.
func NewNetwork() *Network { return &Network{pods: map[types.UID]sandbox.Spec{}} }

// Setup gives a pod the address that its UID stands for, in 100.64.0.0/10.
func (n *Network) Setup(_ context.Context, s sandbox.Spec) (sandbox.Result, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.pods[s.UID] = s
	if s.HostNetwork {
		return sandbox.Result{}, nil
	}
	h := fnv.New32a()
	_, _ = io.WriteString(h, string(s.UID))
	sum := h.Sum32()
	ip := netip.AddrFrom4([4]byte{100, 64 | byte(sum>>16)&63, byte(sum >> 8), byte(sum)})
	return sandbox.Result{IPs: []string{ip.String()}}, nil
}

// Teardown forgets a pod.
func (n *Network) Teardown(_ context.Context, uid types.UID) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.pods, uid)
	return nil
}

// Dial fails: no process is there to answer.
func (n *Network) Dial(_ context.Context, _ types.UID, _ bool, address string) (net.Conn, error) {
	return nil, fmt.Errorf("dial tcp %s: connection refused: the pod is simulated", address)
}

// Sandboxes lists the pods that have an address.
func (n *Network) Sandboxes(context.Context) ([]types.UID, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	var uids []types.UID
	for uid := range n.pods {
		uids = append(uids, uid)
	}
	return uids, nil
}

// Volumes promises directories that do not exist.
type Volumes struct {
	mu   sync.Mutex
	pods map[types.UID]bool // guarded by mu
}

// NewVolumes returns volumes of no pods.
func NewVolumes() *Volumes { return &Volumes{pods: map[types.UID]bool{}} }

// Prepare names a directory for every volume.
func (v *Volumes) Prepare(_ context.Context, pod *corev1.Pod) (map[string]container.Mount, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.pods[pod.UID] = true
	mounts := map[string]container.Mount{}
	for _, vol := range pod.Spec.Volumes {
		mounts[vol.Name] = container.Mount{HostPath: "/hollow/" + string(pod.UID) + "/" + vol.Name}
	}
	return mounts, nil
}

// Sync has nothing to write.
func (v *Volumes) Sync(context.Context, *corev1.Pod) error { return nil }

// Used is nothing.
func (v *Volumes) Used(context.Context, *corev1.Pod, string) (int64, error) { return 0, nil }

// Subpath names a directory.
func (v *Volumes) Subpath(_ *corev1.Pod, _ *corev1.Container, _ int, root, sub string) (string, error) {
	return root + "/" + sub, nil
}

// Teardown forgets a pod.
func (v *Volumes) Teardown(_ context.Context, uid types.UID) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	delete(v.pods, uid)
	return nil
}

// Pods lists the pods that were prepared.
func (v *Volumes) Pods(context.Context) ([]types.UID, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	var uids []types.UID
	for uid := range v.pods {
		uids = append(uids, uid)
	}
	return uids, nil
}

// Logs say that there is nothing to read.
type Logs struct{}

// Read writes one line, and waits for the container's end if it is to follow.
func (Logs) Read(ctx context.Context, path string, opts *corev1.PodLogOptions, exited <-chan struct{}, w io.Writer) error {
	if _, err := fmt.Fprintf(w, "simulated container: no output (%s)\n", path); err != nil {
		return err
	}
	if opts.Follow {
		select {
		case <-exited:
		case <-ctx.Done():
		}
	}
	return nil
}

// Cgroups limit nothing.
type Cgroups struct{}

// EnsurePod names a group.
func (Cgroups) EnsurePod(pod *corev1.Pod) (string, error) {
	return "/hollow/pod" + string(pod.UID), nil
}

// RemovePod has nothing to remove.
func (Cgroups) RemovePod(types.UID) error { return nil }

// Usage is none.
func (Cgroups) Usage(string) (cgroups.Stats, error) { return cgroups.Stats{}, nil }
