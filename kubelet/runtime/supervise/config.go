package supervise

import (
	"path/filepath"
	"strconv"
	"strings"
)

func (s *Supervisor) configFile() string { return filepath.Join(s.cfg.State, "config.toml") }

// disabled are the plugins a node has no use for. The CRI plugin is the largest: it would
// serve a kubelet of another kind, take a port and watch CNI. The snapshotters need file
// systems or devices that nobody prepared. A name that a version of containerd does not
// know is passed over by it.
var disabled = []string{
	"io.containerd.grpc.v1.cri",         // 1.x
	"io.containerd.cri.v1.images",       // 2.x
	"io.containerd.cri.v1.runtime",      // 2.x
	"io.containerd.internal.v1.opt",     // would make /opt/containerd
	"io.containerd.internal.v1.tracing", //
	"io.containerd.internal.v1.restart", // restarting is the kubelet's business
	"io.containerd.tracing.processor.v1.otlp",
	"io.containerd.snapshotter.v1.aufs",
	"io.containerd.snapshotter.v1.btrfs",
	"io.containerd.snapshotter.v1.devmapper",
	"io.containerd.snapshotter.v1.zfs",
	"io.containerd.snapshotter.v1.blockfile",
	"io.containerd.snapshotter.v1.erofs",
	"io.containerd.nri.v1.nri",
}

// renderConfig is containerd's configuration, in the version that 1.6 and 2.x both read.
func (s *Supervisor) renderConfig() string {
	var b strings.Builder
	line := func(parts ...string) { b.WriteString(strings.Join(parts, "") + "\n") }
	line("# Written by miniorch at every start; changes are lost.")
	line("version = 2")
	line("root = ", strconv.Quote(s.cfg.Root))
	line("state = ", strconv.Quote(s.cfg.State))
	line("disabled_plugins = [")
	for _, name := range disabled {
		line("  ", strconv.Quote(name), ",")
	}
	line("]")
	line("[grpc]")
	line("  address = ", strconv.Quote(s.cfg.Address))
	line("[ttrpc]")
	line("  address = ", strconv.Quote(s.cfg.Address+".ttrpc"))
	if s.cfg.Cgroup != "" {
		line("[cgroup]")
		line("  path = ", strconv.Quote(s.cfg.Cgroup))
	}
	line("[debug]")
	line("  level = \"warn\"")
	line("[plugins.\"io.containerd.gc.v1.scheduler\"]")
	// Not while a starting node starts its pods.
	line("  startup_delay = \"5s\"")
	return b.String()
}
