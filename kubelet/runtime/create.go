package runtime

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"

	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/pkg/cio"
	"github.com/containerd/typeurl/v2"

	"github.com/miniorch/miniorch/kubelet/container"
	"github.com/miniorch/miniorch/kubelet/logs"
	"github.com/miniorch/miniorch/kubelet/logs/writer"
)

// shim is the containerd runtime that runs everything.
const shim = "io.containerd.runc.v2"

// Create prepares a container: its record, labels and root file system. The image must be
// on the node. No process runs before Start.
func (r *Runtime) Create(ctx context.Context, want container.ContainerSpec) (string, error) {
	ctx = r.scope(ctx)
	id := r.cfg.NewID()
	record, info, err := r.plan(ctx, id, want)
	if err != nil {
		return "", errors.Join(fmt.Errorf("creating container %q: %w", want.Name, err), r.removeStdio(id))
	}
	// The record comes first: from then on it protects its snapshot from containerd's
	// garbage collection, so that no lease is needed.
	if _, err := r.store().Create(ctx, record); err != nil {
		return "", fmt.Errorf("creating container %q: %w", want.Name, translate(err))
	}
	snapshotter, _, err := r.snapshots(ctx)
	if err == nil {
		_, err = snapshotter.Prepare(ctx, id, info.chainID)
	}
	if err != nil {
		err = fmt.Errorf("creating root file system of container %q: %w", want.Name, translate(err))
		return "", errors.Join(err, r.Remove(context.WithoutCancel(ctx), id))
	}
	return id, nil
}

// plan composes the record of a container to be.
func (r *Runtime) plan(ctx context.Context, id string, want container.ContainerSpec) (containers.Container, imageInfo, error) {
	fail := func(err error) (containers.Container, imageInfo, error) {
		return containers.Container{}, imageInfo{}, err
	}
	image, err := r.findImage(ctx, want.Image)
	if err != nil {
		return fail(err)
	}
	info, err := r.imageInfo(ctx, image)
	if err != nil {
		return fail(err)
	}
	db, err := r.accounts(ctx, info)
	if err != nil {
		return fail(err)
	}
	user, err := resolveUser(want.Security, info.process.User, db)
	if err != nil {
		return fail(err)
	}
	group, err := r.shimGroup(ctx, id, want.PodUID)
	if err != nil {
		return fail(err)
	}
	if err := errors.Join(makeTerminationFile(want), makeLogDir(want.LogPath), r.makeStdio(id, want, user)); err != nil {
		return fail(err)
	}
	spec, err := buildSpec(ctx, specInput{
		id: id, want: want, image: info.process, user: user, group: group,
		oomFloor: *r.cfg.OOMScoreFloor, cgroups: cgroupVersion(),
	})
	if err != nil {
		return fail(err)
	}
	encoded, err := typeurl.MarshalAny(spec)
	if err != nil {
		return fail(fmt.Errorf("encoding spec: %w", err))
	}
	_, snapshotter, err := r.snapshots(ctx)
	if err != nil {
		return fail(err)
	}
	labels := identityLabels(want)
	labels[labelImageID] = repositoryOf(image.Name) + "@" + info.manifest.String()
	labels[labelCgroup] = spec.Linux.CgroupsPath
	labels[labelStopSignal] = cmp.Or(want.StopSignal, info.process.StopSignal)
	labels[labelShimGroup] = group
	if labels[labelLogURI], err = r.logURI(id, want); err != nil {
		return fail(err)
	}
	options, err := r.shimOptions(want)
	if err != nil {
		return fail(err)
	}
	return containers.Container{
		ID:          id,
		Labels:      labels,
		Image:       image.Name,
		Runtime:     containers.RuntimeInfo{Name: shim, Options: options},
		Spec:        encoded,
		SnapshotKey: id,
		Snapshotter: snapshotter,
	}, info, nil
}

// shimGroup chooses whose shim a container will live in: that of a container of its pod
// that runs now, else one of its own. Only running ones count, for the shim of a pod whose
// last container has ended is about to leave.
func (r *Runtime) shimGroup(ctx context.Context, id, podUID string) (string, error) {
	siblings, err := r.PodContainers(ctx, podUID)
	if err != nil {
		return "", err
	}
	for _, s := range siblings {
		if group := s.Labels[labelShimGroup]; s.State == container.StateRunning && group != "" {
			return group, nil
		}
	}
	return id, nil
}

// logURI tells the shim which program writes the container's log, and where to.
func (r *Runtime) logURI(id string, want container.ContainerSpec) (string, error) {
	if want.LogPath == "" && !want.Stdin && !want.TTY {
		return "", nil
	}
	if r.cfg.LogWriter.Path == "" {
		return "", errors.New("a log path, stdin or tty is given but no log writer is configured")
	}
	uri, err := cio.LogURIGenerator("binary", r.cfg.LogWriter.Path, nil)
	if err != nil {
		return "", fmt.Errorf("naming the log writer: %w", err)
	}
	// containerd passes every key and value of the query on as an argument.
	uri.RawQuery = url.Values{logs.WriterCommand: {logs.WriterArgument(writer.Options{
		Path:     want.LogPath,
		MaxBytes: cmp.Or(want.LogMaxBytes, r.cfg.LogMaxBytes), MaxFiles: cmp.Or(want.LogMaxFiles, r.cfg.LogMaxFiles),
		Dir: r.stdioDir(id), Partial: want.Stdin, Once: want.StdinOnce && !want.TTY,
	})}}.Encode()
	return uri.String(), nil
}

// makeLogDir makes the directory of a container's log.
func makeLogDir(logPath string) error {
	if logPath == "" {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(logPath), 0o755); err != nil {
		return fmt.Errorf("making log directory: %w", err)
	}
	return nil
}
