package container

import "time"

// ContainerSpec is everything needed to create a container. Values are final: variables
// are expanded, paths are the host's, defaults of the image are still to be filled in
// where a field says so.
type ContainerSpec struct {
	// Identity, kept in labels.
	PodUID       string
	PodNamespace string
	PodName      string
	Name         string
	Kind         Kind
	RestartCount int
	SpecHash     string            // compared by the pod worker to find changed containers
	Labels       map[string]string // further labels, kept as they are
	Annotations  map[string]string // OCI annotations

	// Process. Empty Command means the image's ENTRYPOINT and, if Args is empty as well,
	// its CMD; a given Command drops the image's CMD, as Kubernetes documents.
	Image      string // must be present: see Runtime.Pull
	Command    []string
	Args       []string
	Env        []string // "NAME=value", on top of the image's; $(VAR) already expanded
	WorkingDir string   // empty: the image's, else "/"
	TTY        bool
	Stdin      bool // keep a stdin open; without it stdin is /dev/null
	StdinOnce  bool // the first session attached is the one it is for: stdin ends with it, unless there is a terminal
	StopSignal string
	Hostname   string // for /etc/hostname-less images: only used with a UTS namespace of its own

	// File system.
	Mounts         []Mount
	Devices        []Device
	ReadonlyRootfs bool
	// TerminationMessagePath is the path inside the container; when set,
	// TerminationMessageHostPath (an existing file) is mounted there.
	TerminationMessagePath     string
	TerminationMessageHostPath string
	LogPath                    string // where the CRI log goes; empty discards output
	LogMaxBytes                int64  // rotate beyond this size; 0 takes the runtime's default
	LogMaxFiles                int    // keep this many files; 0 takes the runtime's default

	Security  Security
	Network   Namespaces
	Resources Resources
}

// Mount binds a path of the host into a container.
type Mount struct {
	HostPath      string
	ContainerPath string
	ReadOnly      bool
	NoExec        bool        // no file of it can be executed
	Device        bool        // HostPath is a block device: containers get it as such or not at all
	Recursive     bool        // ReadOnly holds for everything mounted beneath, too
	Propagation   Propagation // empty means private
}

// Propagation says which way later mounts travel between host and container.
type Propagation string

// The propagations, in Kubernetes' words.
const (
	PropagationNone            Propagation = "None"
	PropagationHostToContainer Propagation = "HostToContainer"
	PropagationBidirectional   Propagation = "Bidirectional"
)

// Device gives a container access to a device node of the host.
type Device struct {
	HostPath      string
	ContainerPath string // empty: as on the host
	Permissions   string // any of "rwm"; empty means all
}

// Security says as whom and with which powers a container's process runs.
type Security struct {
	User               *int64 // nil: the image's user
	Group              *int64 // nil: the user's primary group in the image's /etc/passwd, else 0
	SupplementalGroups []int64
	// RunAsNonRoot refuses to create a container whose process would be root or whose
	// image names its user, which cannot be known to be non-zero.
	RunAsNonRoot    bool
	Privileged      bool
	AddCapabilities []string // "NET_ADMIN" or "CAP_NET_ADMIN"; "ALL"
	// DropCapabilities is applied to the default set before AddCapabilities; "ALL" empties it.
	DropCapabilities []string
	NoNewPrivileges  bool
	Seccomp          Seccomp
	SeccompProfile   string // path of a JSON profile, for SeccompLocalhost
	// UnmaskedProc shows all of /proc, of which parts are hidden or read-only otherwise.
	UnmaskedProc bool
}

// Seccomp chooses a system call filter.
type Seccomp string

// The kinds of filters.
const (
	SeccompRuntimeDefault Seccomp = "RuntimeDefault"
	SeccompUnconfined     Seccomp = "Unconfined"
	SeccompLocalhost      Seccomp = "Localhost"
)

// Namespaces names the Linux namespaces a container shares. An empty path means a new
// namespace of the container's own, unless Host… says to stay in the host's.
type Namespaces struct {
	NetPath string
	IPCPath string
	UTSPath string
	PIDPath string

	HostNetwork bool
	HostIPC     bool
	HostPID     bool
	HostUTS     bool // implied by HostNetwork: a pod on the host's network has its name

	Sysctls map[string]string // only for namespaces of the container's own or of the pod
}

// Resources limits what a container may use. Zero means no limit, or the kernel's default.
type Resources struct {
	// CgroupParent is the cgroup the container's own is made in, as returned by
	// kubelet/cgroups: "/kubepods/burstable/pod<uid>".
	CgroupParent  string
	CPUShares     uint64 // relative weight, 1024 per CPU
	CPUQuota      int64  // microseconds per CPUPeriod
	CPUPeriod     uint64 // microseconds; default 100000
	MemoryLimit   int64  // bytes
	MemoryRequest int64  // bytes; enforced by nothing: placing and evicting pods go by it
	PIDs          int64
	CPUSetCPUs    string
	OOMScoreAdj   int // the lowest value allowed to the agent is taken if this one is not
	HugepageLimit map[string]uint64
	Rlimits       []Rlimit
}

// Rlimit is one POSIX resource limit, named as "RLIMIT_NOFILE".
type Rlimit struct {
	Type string
	Soft uint64
	Hard uint64
}

// Size is that of a terminal, in characters.
type Size struct {
	Width  uint16
	Height uint16
}

// StopRequest says how to end a container.
type StopRequest struct {
	Signal string        // "SIGTERM"; empty takes the spec's, then the image's StopSignal, then SIGTERM
	Grace  time.Duration // after which SIGKILL follows; zero kills at once
}
