package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/miniorch/miniorch/kubelet"
	"github.com/miniorch/miniorch/kubelet/cgroups"
	"github.com/miniorch/miniorch/kubelet/container"
	"github.com/miniorch/miniorch/kubelet/csi"
	"github.com/miniorch/miniorch/kubelet/logs"
	"github.com/miniorch/miniorch/kubelet/network"
	"github.com/miniorch/miniorch/kubelet/runtime"
	"github.com/miniorch/miniorch/kubelet/runtime/supervise"
	"github.com/miniorch/miniorch/kubelet/volumes"
	"github.com/miniorch/miniorch/pkg/client"
)

// nodeParts are the kubelet's collaborators, and what has to run and to be closed with them.
type nodeParts struct {
	kubelet.Parts
	images  *imageImport
	version func(context.Context) (string, error) // of the container runtime, for the node's status
	runs    []func(context.Context) error
	close   func()
}

// Run runs them until ctx ends.
func (p nodeParts) Run(ctx context.Context) error { return together(ctx, p.runs...) }

func (o options) logDir() string { return filepath.Join(o.DataDir, "pod-logs") }

// localRoot is where the node's local-path volumes are.
func (o options) localRoot() string { return filepath.Join(o.DataDir, "local-path") }

// openParts makes the collaborators on this machine. Nothing runs yet.
func openParts(o options, transport client.Transport, pods *network.Network, logger *slog.Logger) (nodeParts, error) {
	self, err := os.Executable()
	if err != nil {
		return nodeParts{}, err
	}
	groups, err := cgroups.NewManager(o.CgroupRoot)
	if err != nil {
		return nodeParts{}, err
	}
	containerd, address, err := o.containerd(logger)
	if err != nil {
		return nodeParts{}, err
	}
	containers, err := runtime.New(runtime.Config{
		Address: address, StateDir: filepath.Join(o.DataDir, "run"), LogWriter: runtime.LogWriter{Path: self},
		InsecureRegistries: o.InsecureRegistries, Logger: logger,
	})
	if err != nil {
		return nodeParts{}, err
	}
	reader := logs.NewReader(logs.Config{})
	drivers := csi.New(transport, csi.Config{RootDir: o.DataDir, NodeName: o.NodeName, Mounted: volumes.Kernel{}.Mounted, Logger: logger})
	content := volumes.New(transport, volumes.Config{RootDir: o.DataDir, NodeName: o.NodeName, LocalRoot: o.localRoot(), Drivers: drivers, Logger: logger})
	images := &imageImport{dir: o.ImageDir, runtime: containers, logger: logger, done: make(chan struct{})}
	runs := []func(context.Context) error{content.Run, images.Run, drivers.Run}
	if containerd != nil {
		images.after = containerd.Ready()
		runs = append(runs, containerd.Run)
	}
	return nodeParts{
		images: images,
		version: func(ctx context.Context) (string, error) {
			v, err := containers.Version(ctx)
			return "containerd://" + v, err
		},
		Parts: kubelet.Parts{Runtime: importedFirst{containers, images.done}, Network: pods, Volumes: content, Logs: reader, Cgroups: groups},
		runs:  runs,
		close: func() {
			if err := reader.Close(); err != nil {
				logger.Warn("closing the log reader", "err", err)
			}
			if err := containers.Close(); err != nil {
				logger.Warn("closing the connection to containerd", "err", err)
			}
		},
	}, nil
}

// containerd returns the private one to run, or nil when a running one was named.
func (o options) containerd(logger *slog.Logger) (*supervise.Supervisor, string, error) {
	if o.ContainerdAddress != "" {
		return nil, o.ContainerdAddress, nil
	}
	s, err := supervise.New(supervise.Config{
		Root: filepath.Join(o.DataDir, "containerd"), State: filepath.Join(o.DataDir, "run", "containerd"),
		Cgroup: filepath.Join("/", o.CgroupRoot, "runtime"), Logger: logger,
	})
	if err != nil {
		return nil, "", err
	}
	return s, s.Address(), nil
}

// imageImport brings the tarballs of --image-dir into containerd, once per start.
type imageImport struct {
	dir     string
	runtime *runtime.Runtime
	logger  *slog.Logger
	done    chan struct{}
	after   <-chan struct{} // the private containerd is up: a predecessor's may answer until then; nil: at once
	tell    func()          // called when ready's answer changes
}

// ready keeps pods away until the images are there: they would be looked for in a registry.
func (i *imageImport) ready() error {
	select {
	case <-i.done:
		return nil
	default:
		return fmt.Errorf("images are being imported from %s", i.dir)
	}
}

// Run imports everything. A tarball that cannot be read is reported, and does not keep the
// node from working.
func (i *imageImport) Run(ctx context.Context) error {
	defer i.tell()
	defer close(i.done)
	if i.dir == "" {
		return nil
	}
	if i.after != nil {
		select {
		case <-i.after:
		case <-ctx.Done():
			return nil
		}
	}
	if err := i.runtime.WaitReady(ctx); err != nil {
		return fmt.Errorf("waiting for containerd: %w", err)
	}
	images, err := i.runtime.ImportDir(ctx, i.dir)
	if err != nil {
		i.logger.Error("cannot import all images", "dir", i.dir, "err", err)
	}
	i.logger.Info("images imported", "dir", i.dir, "count", len(images))
	return nil
}

// importedFirst says of no image that it is not there before all are imported. A node that comes back
// with an empty disk has pods from before, and pods are not kept away from where they already are.
type importedFirst struct {
	kubelet.Runtime
	imported <-chan struct{}
}

// Image implements kubelet.Runtime.
func (r importedFirst) Image(ctx context.Context, ref string) (container.Image, bool, error) {
	select {
	case <-r.imported:
		return r.Runtime.Image(ctx, ref)
	default:
	}
	image, present, err := r.Runtime.Image(ctx, ref)
	if present || err != nil {
		return image, present, err
	}
	select {
	case <-r.imported:
		return r.Runtime.Image(ctx, ref)
	case <-ctx.Done():
		return image, false, ctx.Err()
	}
}
