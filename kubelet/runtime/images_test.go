package runtime

import (
	"archive/tar"
	"bytes"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// applets are the commands of busybox that the tests' image has links for.
var applets = []string{"sh", "sleep", "cat", "echo", "true", "false", "id", "stty", "env", "pwd", "ls", "head", "yes", "dd", "kill", "touch", "mount", "tail", "seq", "printf", "hostname", "grep", "trap"}

// busyboxImage is an image with the host's busybox.
func busyboxImage(t testing.TB, config v1.Config) v1.Image {
	t.Helper()
	binary, err := os.ReadFile("/bin/busybox")
	if err != nil {
		t.Fatal(err)
	}
	var layer bytes.Buffer
	w := tar.NewWriter(&layer)
	add := func(h tar.Header, body []byte) {
		h.Size = int64(len(body))
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(body); err != nil {
			t.Fatal(err)
		}
	}
	for _, dir := range []string{"bin/", "etc/", "tmp/", "dev/", "proc/", "sys/", "work/"} {
		add(tar.Header{Name: dir, Typeflag: tar.TypeDir, Mode: 0o755}, nil)
	}
	add(tar.Header{Name: "bin/busybox", Typeflag: tar.TypeReg, Mode: 0o755}, binary)
	for _, applet := range applets {
		add(tar.Header{Name: "bin/" + applet, Typeflag: tar.TypeSymlink, Linkname: "busybox", Mode: 0o777}, nil)
	}
	add(tar.Header{Name: "bin/notexec", Typeflag: tar.TypeReg, Mode: 0o644}, []byte("hello"))
	add(tar.Header{Name: "etc/passwd", Typeflag: tar.TypeReg, Mode: 0o644}, []byte("root:x:0:0:root:/root:/bin/sh\nalice:x:1001:1002::/:/bin/sh\n"))
	add(tar.Header{Name: "etc/group", Typeflag: tar.TypeReg, Mode: 0o644}, []byte("root:x:0:\nalice:x:1002:\nbakers:x:1003:alice,bob\n"))
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(layer.Bytes())), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	image, err := mutate.AppendLayers(empty.Image, l)
	if err != nil {
		t.Fatal(err)
	}
	file, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	file = file.DeepCopy()
	file.OS, file.Architecture, file.Config = "linux", "amd64", config
	if image, err = mutate.ConfigFile(image, file); err != nil {
		t.Fatal(err)
	}
	return image
}

// buildImages writes the archives of the tests' images: busybox, and one with everything
// that an image's configuration can say.
func buildImages(t testing.TB, dir string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	writeArchive(t, filepath.Join(dir, "busybox.tar"), "busybox:latest", busyboxImage(t, v1.Config{Cmd: []string{"sh"}}))
	writeArchive(t, filepath.Join(dir, "configured.tar"), "example/configured:v1", busyboxImage(t, v1.Config{
		User: "alice", WorkingDir: "/work", StopSignal: "SIGUSR1",
		Env:        []string{"FROM=image", "KEEP=image"},
		Entrypoint: []string{"/bin/sh", "-c"},
		Cmd:        []string{"id; pwd; env"},
	}))
}

func writeArchive(t testing.TB, file, tag string, image v1.Image) {
	t.Helper()
	ref, err := name.NewTag(tag)
	if err != nil {
		t.Fatal(err)
	}
	if err := tarball.WriteToFile(file, ref, image); err != nil {
		t.Fatal(err)
	}
}
