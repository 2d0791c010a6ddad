package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/cio"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/containerd/v2/pkg/oci"

	"github.com/miniorch/miniorch/kubelet/runtime/supervise"
)

const (
	image       = "docker.io/library/busybox:latest"
	snapshotter = "overlayfs"
)

// containerd is a containerd of this run's own: what pods are measured against.
type containerd struct {
	client *client.Client
	cgroup string
	stop   func() error
}

func (b *bench) startContainerd(ctx context.Context) (*containerd, error) {
	cgroup := "/" + filepath.Base(b.dir)
	s, err := supervise.New(supervise.Config{
		Root: b.dir + "/ctd/root", State: b.dir + "/ctd/run", Cgroup: cgroup, Logger: slog.Default(),
	})
	if err != nil {
		return nil, err
	}
	running, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(running) }()
	c := &containerd{cgroup: cgroup, stop: func() error { cancel(); return <-ended }}
	select {
	case <-s.Ready():
	case err := <-ended:
		cancel()
		return nil, fmt.Errorf("containerd: %w", err)
	case <-ctx.Done():
		return nil, errors.Join(ctx.Err(), c.close())
	}
	if c.client, err = client.New(s.Address()); err == nil {
		err = c.load(ctx, filepath.Join(b.bin, "images", "busybox.tar"))
	}
	if err != nil {
		return nil, errors.Join(err, c.close())
	}
	return c, nil
}

// load imports and unpacks an image tarball.
func (c *containerd) load(ctx context.Context, tarball string) error {
	file, err := os.Open(tarball)
	if err != nil {
		return fmt.Errorf("%w: run `make images` first", err)
	}
	defer file.Close()
	ctx = namespaces.WithNamespace(ctx, "bench")
	if _, err := c.client.Import(ctx, file); err != nil {
		return fmt.Errorf("importing %s: %w", tarball, err)
	}
	found, err := c.client.GetImage(ctx, image)
	if err != nil {
		return err
	}
	return found.Unpack(ctx, snapshotter)
}

// run starts a container with the least that it takes, its output going nowhere.
func (c *containerd) run(ctx context.Context, id string) (took time.Duration, remove func() error, err error) {
	ctx = namespaces.WithNamespace(ctx, "bench")
	found, err := c.client.GetImage(ctx, image)
	if err != nil {
		return 0, nil, err
	}
	began := time.Now()
	made, err := c.client.NewContainer(ctx, id, client.WithSnapshotter(snapshotter), client.WithNewSnapshot(id, found),
		client.WithNewSpec(oci.WithImageConfig(found), oci.WithProcessArgs("sleep", "3600"), oci.WithHostNamespace("network"),
			oci.WithCgroup(c.cgroup+"-"+id)))
	if err != nil {
		return 0, nil, err
	}
	task, err := made.NewTask(ctx, cio.NullIO)
	if err != nil {
		return 0, nil, errors.Join(err, made.Delete(ctx, client.WithSnapshotCleanup))
	}
	err = task.Start(ctx)
	took = time.Since(began)
	remove = func() error {
		ctx := context.WithoutCancel(ctx)
		_, err := task.Delete(ctx, client.WithProcessKill)
		return errors.Join(err, made.Delete(ctx, client.WithSnapshotCleanup))
	}
	return took, remove, err
}

// close stops containerd and removes what is not below the run's directory.
func (c *containerd) close() error {
	var err error
	if c.client != nil {
		err = c.client.Close()
	}
	err = errors.Join(err, c.stop())
	// Shims go some milliseconds after their last container; then the group is empty.
	for range 100 {
		left := 0
		for _, pattern := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/*"} {
			dirs, _ := filepath.Glob(pattern + c.cgroup)
			for _, dir := range dirs {
				if strings.Contains(dir, "mobench") && os.Remove(dir) != nil {
					left++
				}
			}
		}
		if left == 0 {
			return err
		}
		time.Sleep(10 * time.Millisecond)
	}
	return errors.Join(err, fmt.Errorf("cgroup %s cannot be removed", c.cgroup))
}
