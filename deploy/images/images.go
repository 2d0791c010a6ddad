// Package images builds the project's own container images, so that nothing depends on
// an image registry: miniorch/demo from one static Go binary, and busybox from Debian's
// busybox-static. The same input gives the same image, bit for bit.
package images

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// File is one entry of an image's file system: a directory (Path ends in "/"), a symbolic
// link (Link set) or a file.
type File struct {
	Path    string
	Link    string
	Content []byte
	Mode    int64
}

// Build makes an image of one layer for this machine's architecture.
func Build(files []File, config v1.Config, arch string) (v1.Image, error) {
	content, err := layerTar(files)
	if err != nil {
		return nil, err
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(content)), nil
	})
	if err != nil {
		return nil, fmt.Errorf("building layer: %w", err)
	}
	img, err := mutate.AppendLayers(empty.Image, layer)
	if err != nil {
		return nil, fmt.Errorf("appending layer: %w", err)
	}
	file, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	file = file.DeepCopy()
	file.OS, file.Architecture, file.Config = "linux", arch, config
	return mutate.ConfigFile(img, file)
}

func layerTar(files []File) ([]byte, error) {
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, f := range files {
		h := &tar.Header{Name: f.Path, Mode: f.Mode, ModTime: time.Unix(0, 0), Format: tar.FormatPAX}
		switch {
		case strings.HasSuffix(f.Path, "/"):
			h.Typeflag = tar.TypeDir
		case f.Link != "":
			h.Typeflag, h.Linkname = tar.TypeSymlink, f.Link
		default:
			h.Typeflag, h.Size = tar.TypeReg, int64(len(f.Content))
		}
		if err := w.WriteHeader(h); err != nil {
			return nil, fmt.Errorf("adding %s: %w", f.Path, err)
		}
		if _, err := w.Write(f.Content); err != nil {
			return nil, fmt.Errorf("adding %s: %w", f.Path, err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return buf.Bytes(), nil
}

// base is what programs expect of any Linux file system.
func base() []File {
	return []File{
		{Path: "bin/", Mode: 0o755}, {Path: "etc/", Mode: 0o755}, {Path: "dev/", Mode: 0o755}, {Path: "proc/", Mode: 0o755},
		{Path: "sys/", Mode: 0o755}, {Path: "root/", Mode: 0o700}, {Path: "var/", Mode: 0o755}, {Path: "tmp/", Mode: 0o1777},
		{Path: "etc/passwd", Mode: 0o644, Content: []byte("root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n")},
		{Path: "etc/group", Mode: 0o644, Content: []byte("root:x:0:\nnogroup:x:65534:\n")},
	}
}

// Demo makes miniorch/demo from its static binary. The version is what its pages say, so
// that a rolling update can be seen.
func Demo(binary, version, arch string) (v1.Image, error) {
	content, err := os.ReadFile(binary)
	if err != nil {
		return nil, fmt.Errorf("reading the demo binary: %w", err)
	}
	files := append(base(), File{Path: "bin/demo", Mode: 0o755, Content: content})
	return Build(files, v1.Config{
		Entrypoint: []string{"/bin/demo"},
		Cmd:        []string{"serve"},
		Env:        []string{"PATH=/bin", "DEMO_VERSION=" + version},
	}, arch)
}

// Busybox makes an image from a static busybox with a link for each of its applets.
func Busybox(binary, arch string) (v1.Image, error) {
	content, err := os.ReadFile(binary)
	if err != nil {
		return nil, fmt.Errorf("reading busybox (Debian package busybox-static): %w", err)
	}
	list, err := exec.Command(binary, "--list").Output()
	if err != nil {
		return nil, fmt.Errorf("listing busybox's applets: %w", err)
	}
	files := append(base(), File{Path: "bin/busybox", Mode: 0o755, Content: content})
	for applet := range strings.FieldsSeq(string(list)) {
		if applet != "busybox" {
			files = append(files, File{Path: "bin/" + applet, Link: "busybox", Mode: 0o777})
		}
	}
	return Build(files, v1.Config{Cmd: []string{"sh"}, Env: []string{"PATH=/bin"}}, arch)
}

// WriteTarball writes img under all of its names as one archive, as `docker save` would.
func WriteTarball(path string, img v1.Image, names ...string) error {
	refs := map[name.Reference]v1.Image{}
	for _, n := range names {
		tag, err := name.NewTag(n)
		if err != nil {
			return fmt.Errorf("image name %q: %w", n, err)
		}
		refs[tag] = img
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	temporary := path + ".part"
	if err := tarball.MultiRefWriteToFile(temporary, refs); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return os.Rename(temporary, path)
}
