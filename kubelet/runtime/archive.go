package runtime

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/images"

	"github.com/miniorch/miniorch/kubelet/container"
)

// Labels of images that came from an archive: which one, and how many came with it.
const (
	labelArchive      = "miniorch.dev/archive"
	labelArchiveCount = "miniorch.dev/archive-images"
)

// ImportDir imports every image archive (docker save or OCI layout, *.tar, *.tar.gz or *.tgz)
// of a directory, and skips those whose images are all there from before. One bad archive
// does not keep the others out; its error is part of the result. A missing directory is
// an error.
func (r *Runtime) ImportDir(ctx context.Context, dir string) ([]container.Image, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("importing images: %w", err)
	}
	var out []container.Image
	var errs []error
	for _, e := range entries {
		name := e.Name()
		if !strings.HasSuffix(name, ".tar") && !strings.HasSuffix(name, ".tar.gz") && !strings.HasSuffix(name, ".tgz") {
			continue
		}
		imported, err := r.Import(ctx, filepath.Join(dir, name))
		out = append(out, imported...)
		errs = append(errs, err)
	}
	return out, errors.Join(errs...)
}

// Import imports the images of one archive, unless they are there already.
func (r *Runtime) Import(ctx context.Context, file string) ([]container.Image, error) {
	ctx = r.scope(ctx)
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("importing images: %w", err)
	}
	defer f.Close()
	digest, err := fileDigest(f)
	if err != nil {
		return nil, fmt.Errorf("importing %s: %w", file, err)
	}
	records, err := r.importedFrom(ctx, digest)
	if err != nil {
		return nil, fmt.Errorf("importing %s: %w", file, err)
	}
	if records == nil {
		if records, err = r.importArchive(ctx, f, digest); err != nil {
			return nil, fmt.Errorf("importing %s: %w", file, err)
		}
		r.cfg.Logger.Info("imported images", "archive", file, "images", len(records))
	}
	var out []container.Image
	for _, record := range records {
		info, err := r.imageInfo(ctx, record)
		if err != nil {
			return out, fmt.Errorf("importing %s: %w", file, err)
		}
		out = append(out, describe(record.Name, info, []images.Image{record}))
	}
	return out, nil
}

func fileDigest(f *os.File) (string, error) {
	hash := sha256.New()
	if _, err := io.Copy(hash, f); err != nil {
		return "", err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return "", err
	}
	return hex.EncodeToString(hash.Sum(nil)), nil
}

// importedFrom returns the images that an archive brought, if all of them are still there
// and usable; else nil.
func (r *Runtime) importedFrom(ctx context.Context, digest string) ([]images.Image, error) {
	records, err := r.client.ImageService().List(ctx, "labels."+strconv.Quote(labelArchive)+"=="+digest)
	if err != nil {
		return nil, translate(err)
	}
	for _, record := range records {
		if record.Labels[labelArchiveCount] != strconv.Itoa(len(records)) {
			return nil, nil
		}
		if _, err := r.imageInfo(ctx, record); errors.Is(err, container.ErrImageNotFound) {
			return nil, nil
		} else if err != nil {
			return nil, err
		}
	}
	return records, nil
}

// importArchive imports and unpacks; the labels come last, when everything is usable.
func (r *Runtime) importArchive(ctx context.Context, f *os.File, digest string) ([]images.Image, error) {
	_, snapshotter, err := r.snapshots(ctx)
	if err != nil {
		return nil, err
	}
	// Keeps what is imported from being collected before it is unpacked.
	ctx, release, err := r.client.WithLease(ctx)
	if err != nil {
		return nil, translate(err)
	}
	defer release(context.WithoutCancel(ctx))
	// The importer recognizes compression by itself.
	records, err := r.client.Import(ctx, f, client.WithAllPlatforms(false))
	if err != nil {
		return nil, translate(err)
	}
	if len(records) == 0 {
		return nil, fmt.Errorf("%w: the archive names none", fs.ErrNotExist)
	}
	for _, record := range records {
		if err := client.NewImage(r.client, record).Unpack(ctx, snapshotter); err != nil {
			return nil, fmt.Errorf("unpacking %q: %w", record.Name, translate(err))
		}
	}
	for i := range records {
		if records[i].Labels == nil {
			records[i].Labels = map[string]string{}
		}
		records[i].Labels[labelArchive] = digest
		records[i].Labels[labelArchiveCount] = strconv.Itoa(len(records))
		updated, err := r.client.ImageService().Update(ctx, records[i], "labels."+labelArchive, "labels."+labelArchiveCount)
		if err != nil {
			return nil, fmt.Errorf("labelling %q: %w", records[i].Name, translate(err))
		}
		records[i] = updated
	}
	return records, nil
}
