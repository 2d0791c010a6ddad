package runtime

import (
	"fmt"
	"os"
	"path/filepath"
	goruntime "runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/miniorch/miniorch/kubelet/container"
)

// pin makes namespaces as a pod's network does, and binds them to files below dir.
func pin(t *testing.T, dir, hostname string) (paths map[string]string) {
	t.Helper()
	paths = map[string]string{}
	failed := make(chan error, 1)
	go func() {
		goruntime.LockOSThread() // never unlocked: the thread ends with its namespaces
		failed <- func() error {
			if err := unix.Unshare(unix.CLONE_NEWNET | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS); err != nil {
				return err
			}
			if err := unix.Sethostname([]byte(hostname)); err != nil {
				return err
			}
			for _, kind := range []string{"net", "ipc", "uts"} {
				file := filepath.Join(dir, "ns-"+kind)
				if err := os.WriteFile(file, nil, 0o600); err != nil {
					return err
				}
				if err := unix.Mount("/proc/thread-self/ns/"+kind, file, "", unix.MS_BIND, ""); err != nil {
					return fmt.Errorf("pinning %s: %w", kind, err)
				}
				paths[kind] = file
			}
			return nil
		}()
	}()
	err := <-failed
	t.Cleanup(func() {
		for _, file := range paths {
			if err := unix.Unmount(file, unix.MNT_DETACH); err != nil {
				t.Errorf("unpinning %s: %v", file, err)
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

// TestNamespaces: the containers of a pod share its network, IPC and host name, get its
// sysctls, and have processes of their own.
func TestNamespaces(t *testing.T) {
	n := startNode(t)
	paths := pin(t, n.dir, "pod-host")
	shm := filepath.Join(n.dir, "shm")
	if err := os.Mkdir(shm, 0o777); err != nil {
		t.Fatal(err)
	}
	pod := func(name string, command string) container.ContainerSpec {
		s := n.spec("ns", name, "sh", "-c", command)
		s.Network = container.Namespaces{NetPath: paths["net"], IPCPath: paths["ipc"], UTSPath: paths["uts"], Sysctls: map[string]string{"net.ipv4.ip_unprivileged_port_start": "77"}}
		s.Mounts = []container.Mount{{HostPath: shm, ContainerPath: "/dev/shm"}}
		return s
	}
	inode := func(kind string) string {
		var stat unix.Stat_t
		if err := unix.Stat(paths[kind], &stat); err != nil {
			t.Fatal(err)
		}
		return fmt.Sprintf("%s:[%d]", kind, stat.Ino)
	}
	c := n.finish(pod("one", "hostname; cat /proc/sys/net/ipv4/ip_unprivileged_port_start; for k in net ipc uts; do ls -l /proc/self/ns/$k | grep -o '[a-z]*:.[0-9]*.$'; done; echo $$; echo x > /dev/shm/x"))
	want := strings.Join([]string{"pod-host", "77", inode("net"), inode("ipc"), inode("uts"), "1"}, "\n") + "\n"
	eventually(t, func() string { return wantLog(c.LogPath, want) })
	c = n.finish(pod("two", "cat /dev/shm/x; hostname"))
	eventually(t, func() string { return wantLog(c.LogPath, "x\npod-host\n") })

	own := n.spec("own", "main", "hostname")
	own.Network = container.Namespaces{NetPath: paths["net"]}
	own.Hostname = "my-own"
	c = n.finish(own)
	eventually(t, func() string { return wantLog(c.LogPath, "my-own\n") })

	host := n.spec("host", "main", "sh", "-c", "ls -d /proc/"+fmt.Sprint(os.Getpid()))
	host.Network.HostPID = true
	c = n.finish(host)
	eventually(t, func() string { return wantLog(c.LogPath, fmt.Sprintf("/proc/%d\n", os.Getpid())) })
}
