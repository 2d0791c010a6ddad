package runtime

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/identity"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/miniorch/miniorch/kubelet/container"
)

// imageInfo is what creating a container needs to know of its image. It is determined by
// the image's digest and so never changes.
type imageInfo struct {
	manifest digest.Digest // or the index's, whatever the image's name points to
	config   digest.Digest
	process  ocispec.ImageConfig
	chainID  string // of the snapshot that all layers make
	size     int64
}

// imageCache remembers images by digest: their configuration and the user database
// inside them. It saves every container but an image's first some round trips and a mount.
type imageCache struct {
	mu    sync.Mutex
	infos map[digest.Digest]imageInfo // guarded by mu
	users map[string]accounts         // guarded by mu; key is the chain ID
}

func newImageCache() *imageCache {
	return &imageCache{infos: map[digest.Digest]imageInfo{}, users: map[string]accounts{}}
}

// keepOnly forgets all images but those whose digests are in keep.
func (c *imageCache) keepOnly(keep map[digest.Digest]bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	chains := map[string]bool{}
	for d, info := range c.infos {
		if !keep[d] {
			delete(c.infos, d)
			continue
		}
		chains[info.chainID] = true
	}
	for chain := range c.users {
		if !chains[chain] {
			delete(c.users, chain)
		}
	}
}

// normalize completes an image reference the way people expect: "busybox" means
// "docker.io/library/busybox:latest".
func normalize(ref string) (string, error) {
	named, err := reference.ParseDockerRef(ref)
	if err != nil {
		return "", fmt.Errorf("%w %q: %w", container.ErrInvalidImageName, ref, err)
	}
	return named.String(), nil
}

// Image looks up an image on the node, by name, by name@digest or by its ID. ok is false
// if it is not there or not unpacked.
func (r *Runtime) Image(ctx context.Context, ref string) (image container.Image, ok bool, err error) {
	ctx = r.scope(ctx)
	record, err := r.findImage(ctx, ref)
	if errors.Is(err, container.ErrImageNotFound) {
		return container.Image{}, false, nil
	}
	if err != nil {
		return container.Image{}, false, err
	}
	info, err := r.imageInfo(ctx, record)
	if errors.Is(err, container.ErrImageNotFound) {
		return container.Image{}, false, nil
	}
	if err != nil {
		return container.Image{}, false, err
	}
	return describe(ref, info, []images.Image{record}), true, nil
}

// findImage resolves a reference to the record of an image.
func (r *Runtime) findImage(ctx context.Context, ref string) (images.Image, error) {
	if strings.HasPrefix(ref, "sha256:") {
		return r.findImageByID(ctx, digest.Digest(ref))
	}
	name, err := normalize(ref)
	if err != nil {
		return images.Image{}, err
	}
	record, err := r.client.ImageService().Get(ctx, name)
	if err == nil {
		return record, nil
	}
	if !isNotFound(err) {
		return images.Image{}, fmt.Errorf("looking up image %q: %w", ref, translate(err))
	}
	// name@digest also matches the same content under any tag of that repository.
	if repository, d, ok := strings.Cut(name, "@"); ok {
		all, err := r.client.ImageService().List(ctx, "target.digest=="+d)
		if err != nil {
			return images.Image{}, fmt.Errorf("looking up image %q: %w", ref, translate(err))
		}
		for _, other := range all {
			if repositoryOf(other.Name) == repository {
				return other, nil
			}
		}
	}
	return images.Image{}, fmt.Errorf("%w: %q", container.ErrImageNotFound, ref)
}

func (r *Runtime) findImageByID(ctx context.Context, id digest.Digest) (images.Image, error) {
	all, err := r.client.ImageService().List(ctx)
	if err != nil {
		return images.Image{}, fmt.Errorf("looking up image %s: %w", id, translate(err))
	}
	for _, record := range all {
		info, err := r.imageInfo(ctx, record)
		if err == nil && (info.config == id || info.manifest == id) {
			return record, nil
		}
	}
	return images.Image{}, fmt.Errorf("%w: %s", container.ErrImageNotFound, id)
}

// imageInfo reads, or remembers, what an image is made of. An image whose layers are not
// unpacked counts as not found: pulling it again is what repairs it.
func (r *Runtime) imageInfo(ctx context.Context, record images.Image) (imageInfo, error) {
	r.images.mu.Lock()
	info, known := r.images.infos[record.Target.Digest]
	r.images.mu.Unlock()
	if known {
		return info, nil
	}
	_, snapshotter, err := r.snapshots(ctx)
	if err != nil {
		return imageInfo{}, err
	}
	image := client.NewImage(r.client, record)
	unpacked, err := image.IsUnpacked(ctx, snapshotter)
	if err != nil && !isNotFound(err) {
		return imageInfo{}, fmt.Errorf("reading image %q: %w", record.Name, translate(err))
	}
	if !unpacked {
		return imageInfo{}, fmt.Errorf("%w: %q is not unpacked", container.ErrImageNotFound, record.Name)
	}
	if info, err = readImage(ctx, image); err != nil {
		return imageInfo{}, fmt.Errorf("reading image %q: %w", record.Name, translate(err))
	}
	r.images.mu.Lock()
	r.images.infos[record.Target.Digest] = info
	r.images.mu.Unlock()
	return info, nil
}

func readImage(ctx context.Context, image client.Image) (imageInfo, error) {
	config, err := image.Config(ctx)
	if err != nil {
		return imageInfo{}, err
	}
	spec, err := image.Spec(ctx)
	if err != nil {
		return imageInfo{}, err
	}
	size, err := image.Size(ctx)
	if err != nil {
		return imageInfo{}, err
	}
	return imageInfo{
		manifest: image.Target().Digest,
		config:   config.Digest,
		process:  spec.Config,
		chainID:  identity.ChainID(spec.RootFS.DiffIDs).String(),
		size:     size,
	}, nil
}

// Images returns every unpacked image on the node, one entry per content with all its
// names.
func (r *Runtime) Images(ctx context.Context) ([]container.Image, error) {
	ctx = r.scope(ctx)
	records, err := r.client.ImageService().List(ctx)
	if err != nil {
		return nil, fmt.Errorf("listing images: %w", translate(err))
	}
	byID := map[digest.Digest][]images.Image{}
	infos := map[digest.Digest]imageInfo{}
	keep := map[digest.Digest]bool{}
	for _, record := range records {
		keep[record.Target.Digest] = true
		info, err := r.imageInfo(ctx, record)
		if errors.Is(err, container.ErrImageNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		byID[info.config] = append(byID[info.config], record)
		infos[info.config] = info
	}
	r.images.keepOnly(keep)
	out := make([]container.Image, 0, len(byID))
	for id, named := range byID {
		out = append(out, describe(named[0].Name, infos[id], named))
	}
	slices.SortFunc(out, func(a, b container.Image) int { return strings.Compare(a.Ref, b.Ref) })
	return out, nil
}

// RemoveImage deletes all names of an image, and with them its content as far as no other
// image or container needs it.
func (r *Runtime) RemoveImage(ctx context.Context, ref string) error {
	ctx = r.scope(ctx)
	record, err := r.findImage(ctx, ref)
	if err != nil {
		return fmt.Errorf("removing image: %w", err)
	}
	same, err := r.client.ImageService().List(ctx, "target.digest=="+record.Target.Digest.String())
	if err != nil {
		return fmt.Errorf("removing image %q: %w", ref, translate(err))
	}
	for i, each := range same {
		// The last deletion waits until the content is collected, so that the space is
		// free when this returns.
		var opts []images.DeleteOpt
		if i == len(same)-1 {
			opts = append(opts, images.SynchronousDelete())
		}
		if err := r.client.ImageService().Delete(ctx, each.Name, opts...); err != nil && !isNotFound(err) {
			return fmt.Errorf("removing image %q: %w", each.Name, translate(err))
		}
	}
	return nil
}

// describe renders an image under all the names its content has.
func describe(ref string, info imageInfo, named []images.Image) container.Image {
	image := container.Image{ID: info.config.String(), Ref: ref, Size: info.size, User: imageUser(info.process.User)}
	for _, record := range named {
		if !strings.Contains(record.Name, "@") {
			image.RepoTags = append(image.RepoTags, record.Name)
		}
		if by := repositoryOf(record.Name) + "@" + record.Target.Digest.String(); !slices.Contains(image.RepoDigests, by) {
			image.RepoDigests = append(image.RepoDigests, by)
		}
	}
	return image
}

// repositoryOf is a name without tag and digest.
func repositoryOf(name string) string {
	named, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return name
	}
	return named.Name()
}

func imageUser(user string) container.ImageUser {
	name, _, _ := strings.Cut(user, ":")
	if name == "" {
		return container.ImageUser{}
	}
	if uid, err := strconv.ParseInt(name, 10, 64); err == nil {
		return container.ImageUser{UID: &uid}
	}
	return container.ImageUser{Name: name}
}
