package runtime

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/miniorch/miniorch/kubelet/container"
)

func ptr[T any](v T) *T { return &v }

// finish runs a container to its end and returns what it was.
func (n *node) finish(spec container.ContainerSpec) container.Container {
	n.t.Helper()
	id := n.run(spec)
	eventually(n.t, func() string {
		if c := n.get(id); c.State != container.StateExited {
			return "not exited: " + c.String()
		}
		return ""
	})
	return n.get(id)
}

func TestProcess(t *testing.T) {
	n := startNode(t)
	cases := []struct {
		name, reason string
		change       func(*container.ContainerSpec)
		wantLog      string // lines the log must have
		wantCode     int
		wantReason   string
	}{
		{
			name: "image-defaults", reason: "without command and args the image's entrypoint, cmd, user, directory and environment hold",
			change:  func(s *container.ContainerSpec) { s.Image, s.Command = "example/configured:v1", nil },
			wantLog: "uid=1001(alice) gid=1002(alice) groups=1003(bakers)|/work|FROM=image|KEEP=image|HOME=/",
		},
		{
			name: "args", reason: "args replace the image's cmd and keep its entrypoint",
			change: func(s *container.ContainerSpec) {
				s.Image, s.Command, s.Args = "example/configured:v1", nil, []string{"echo args"}
			},
			wantLog: "args",
		},
		{
			name: "command", reason: "a command drops the image's cmd as well",
			change: func(s *container.ContainerSpec) {
				s.Image, s.Command = "example/configured:v1", []string{"/bin/echo"}
			},
			wantLog: "",
		},
		{
			name: "environment", reason: "the pod's environment wins over the image's",
			change: func(s *container.ContainerSpec) {
				s.Image, s.Command, s.Env, s.WorkingDir = "example/configured:v1", []string{"sh", "-c", "env; pwd"}, []string{"FROM=pod", "A=b=c"}, "/tmp"
			},
			wantLog: "FROM=pod|KEEP=image|A=b=c|/tmp",
		},
		{
			name: "user", reason: "runAsUser, runAsGroup and supplemental groups are numbers that need not be in the image",
			change: func(s *container.ContainerSpec) {
				s.Command = []string{"id"}
				s.Security = container.Security{User: ptr(int64(4000)), Group: ptr(int64(4001)), SupplementalGroups: []int64{4002}}
			},
			wantLog: "uid=4000 gid=4001 groups=4002",
		},
		{
			name: "exit-code", reason: "the exit code is the process's",
			change:   func(s *container.ContainerSpec) { s.Command = []string{"sh", "-c", "exit 7"} },
			wantCode: 7, wantReason: container.ReasonError,
		},
		{
			name: "capabilities", reason: "drop ALL leaves none, add puts one back",
			change: func(s *container.ContainerSpec) {
				s.Command = []string{"grep", "CapBnd", "/proc/self/status"}
				s.Security = container.Security{DropCapabilities: []string{"ALL"}, AddCapabilities: []string{"NET_BIND_SERVICE"}}
			},
			wantLog: "CapBnd:\t0000000000000400",
		},
		{
			name: "no-new-privileges", reason: "the flag is the kernel's",
			change: func(s *container.ContainerSpec) {
				s.Command, s.Security.NoNewPrivileges = []string{"grep", "NoNewPrivs", "/proc/self/status"}, true
			},
			wantLog: "NoNewPrivs:\t1",
		},
		{
			name: "seccomp", reason: "RuntimeDefault installs a filter",
			change: func(s *container.ContainerSpec) {
				s.Command, s.Security.Seccomp = []string{"grep", "Seccomp:", "/proc/self/status"}, container.SeccompRuntimeDefault
			},
			wantLog: "Seccomp:\t2",
		},
		{
			name: "readonly-root", reason: "nothing can be written to a read-only root",
			change: func(s *container.ContainerSpec) {
				s.Command, s.ReadonlyRootfs = []string{"touch", "/x"}, true
			},
			wantCode: 1, wantReason: container.ReasonError, wantLog: "touch: /x: Read-only file system",
		},
		{
			name: "privileged", reason: "a privileged container may mount",
			change: func(s *container.ContainerSpec) {
				s.Command, s.Security.Privileged = []string{"sh", "-c", "mount -t tmpfs none /tmp && echo mounted"}, true
			},
			wantLog: "mounted",
		},
		{
			name: "unprivileged", reason: "an ordinary one may not",
			change: func(s *container.ContainerSpec) {
				s.Command = []string{"sh", "-c", "mount -t tmpfs none /tmp 2>/dev/null || echo refused"}
			},
			wantLog: "refused",
		},
		{
			name: "tty", reason: "a terminal is one",
			change: func(s *container.ContainerSpec) {
				s.Command, s.TTY = []string{"sh", "-c", "test -t 1 && echo $TERM"}, true
			},
			wantLog: "xterm\r",
		},
		{
			name: "oom-score", reason: "a score below what we may set becomes the lowest we may",
			change: func(s *container.ContainerSpec) {
				s.Command, s.Resources.OOMScoreAdj = []string{"sh", "-c", "test $(cat /proc/self/oom_score_adj) -le 1 && echo low"}, -997
			},
			wantLog: "low",
		},
		{
			name: "limits", reason: "the process sees its cgroup's limits",
			change: func(s *container.ContainerSpec) {
				s.Resources.MemoryLimit, s.Resources.CPUQuota, s.Resources.PIDs = 64<<20, 50000, 17
				s.Command = []string{"sh", "-c", "cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null; cat /sys/fs/cgroup/pids/pids.max /sys/fs/cgroup/pids.max 2>/dev/null; true"}
			},
			wantLog: "67108864|17",
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			spec := n.spec(c.name, "main")
			c.change(&spec)
			got := n.finish(spec)
			wantReason := c.wantReason
			if wantReason == "" {
				wantReason = container.ReasonCompleted
			}
			if got.ExitCode != c.wantCode || got.Reason != wantReason {
				t.Errorf("%s: exit %d %s, want %d %s", c.reason, got.ExitCode, got.Reason, c.wantCode, wantReason)
			}
			for want := range strings.SplitSeq(c.wantLog, "|") {
				eventually(t, func() string {
					data, _ := os.ReadFile(got.LogPath)
					if want == "" || strings.Contains(string(data), " F "+want+"\n") {
						return ""
					}
					return c.reason + ": no line " + want + " in\n" + string(data)
				})
			}
		})
	}
}

func TestMounts(t *testing.T) {
	n := startNode(t)
	dir := filepath.Join(n.dir, "volume")
	if err := os.MkdirAll(filepath.Join(dir, "sub"), 0o755); err != nil {
		t.Fatal(err)
	}
	message := filepath.Join(n.dir, "message")
	spec := n.spec("m", "main", "sh", "-c", "echo a > /data/w; touch /ro/x 2>/dev/null || echo refused; ls /data; printf done > /dev/termination-log")
	spec.Security.User = ptr(int64(0))
	spec.Mounts = []container.Mount{
		{HostPath: filepath.Join(dir, "sub"), ContainerPath: "/data/inner"},
		{HostPath: dir, ContainerPath: "/ro", ReadOnly: true},
		{HostPath: dir, ContainerPath: "/data"},
	}
	spec.TerminationMessagePath, spec.TerminationMessageHostPath = "/dev/termination-log", message
	c := n.finish(spec)
	eventually(t, func() string { return wantLog(c.LogPath, "refused\ninner\nsub\nw\n") })
	for file, want := range map[string]string{filepath.Join(dir, "w"): "a\n", message: "done", c.TerminationMessagePath: "done"} {
		if data, err := os.ReadFile(file); err != nil || string(data) != want {
			t.Errorf("%s: %q, %v; want %q", file, data, err, want)
		}
	}
}

// TestRecursiveReadOnly: what is mounted below a read-only mount is read-only as well, if
// that is asked for.
func TestRecursiveReadOnly(t *testing.T) {
	n := startNode(t)
	dir := filepath.Join(n.dir, "volume")
	inner := filepath.Join(dir, "inner")
	if err := os.MkdirAll(inner, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", inner, "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(inner, 0); err != nil {
			t.Error(err)
		}
	})
	for _, c := range []struct {
		recursive bool
		want      string
	}{{false, "written\n"}, {true, "refused\n"}} {
		spec := n.spec(fmt.Sprint("rro-", c.recursive), "main", "sh", "-c", "touch /v/inner/x 2>/dev/null && echo written || echo refused")
		spec.Mounts = []container.Mount{{HostPath: dir, ContainerPath: "/v", ReadOnly: true, Recursive: c.recursive}}
		got := n.finish(spec)
		eventually(t, func() string { return wantLog(got.LogPath, c.want) })
	}
}

func TestRefusals(t *testing.T) {
	n := startNode(t)
	cases := []struct {
		name, reason string
		change       func(*container.ContainerSpec)
		want         error
		text         string
	}{
		{"no-image", "an image that is not there", func(s *container.ContainerSpec) { s.Image = "nowhere/nothing" }, container.ErrImageNotFound, ""},
		{"bad-image", "a reference that is none", func(s *container.ContainerSpec) { s.Image = "UPPER:::" }, container.ErrInvalidImageName, ""},
		{"no-command", "a command that is not in the image", func(s *container.ContainerSpec) { s.Command = []string{"/nope"} }, container.ErrCommand, "no such file"},
		{"not-in-path", "a command that is not on the path", func(s *container.ContainerSpec) { s.Command = []string{"nope"} }, container.ErrCommand, "not found"},
		{"not-executable", "a file without x", func(s *container.ContainerSpec) { s.Command = []string{"/bin/notexec"} }, container.ErrCommand, "permission denied"},
		{"root", "runAsNonRoot with an image that is root's", func(s *container.ContainerSpec) { s.Security.RunAsNonRoot = true }, container.ErrRunAsNonRoot, "image will run as root"},
		{"named-user", "runAsNonRoot with an image whose user is a name", func(s *container.ContainerSpec) {
			s.Security.RunAsNonRoot, s.Image = true, "example/configured:v1"
		}, container.ErrRunAsNonRoot, "non-numeric user (alice)"},
		{"no-mount", "a host path that does not exist", func(s *container.ContainerSpec) {
			s.Mounts = []container.Mount{{HostPath: "/does/not/exist", ContainerPath: "/x"}}
		}, os.ErrNotExist, ""},
		{"propagation", "bidirectional out of a private mount", func(s *container.ContainerSpec) {
			s.Mounts = []container.Mount{{HostPath: "/proc", ContainerPath: "/x", Propagation: container.PropagationBidirectional}}
		}, nil, "not a shared mount"},
		{"capability", "a capability nobody knows", func(s *container.ContainerSpec) { s.Security.AddCapabilities = []string{"FLY"} }, nil, `unknown capability "CAP_FLY"`},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			spec := n.spec(c.name, "main", "true")
			c.change(&spec)
			id, err := n.Create(t.Context(), spec)
			if err == nil {
				err = n.Start(t.Context(), id)
				if got := n.get(id); got.State != container.StateExited || got.Reason != container.ReasonStartError || got.ExitCode != 128 || got.Message == "" {
					t.Errorf("%s: a failed start is observed as %+v", c.reason, got)
				}
			}
			if err == nil || c.want != nil && !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.text) {
				t.Errorf("%s: error %v, want %v %q", c.reason, err, c.want, c.text)
			}
		})
	}
}

func TestMergeEnv(t *testing.T) {
	got := mergeEnv([]string{"A=1", "PATH=/image", "B=2"}, container.ContainerSpec{Env: []string{"B=3", "C=", "A=$(B)"}})
	want := []string{"PATH=/image", "A=$(B)", "B=3", "C="}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("mergeEnv (-want +got):\n%s", diff)
	}
}
