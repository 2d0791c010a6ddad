package images

import (
	"archive/tar"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

func demo(t *testing.T, version string) v1.Image {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "demo")
	if err := os.WriteFile(binary, []byte("a program"), 0o755); err != nil {
		t.Fatal(err)
	}
	img, err := Demo(binary, version, "amd64")
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func TestDemoImage(t *testing.T) {
	img := demo(t, "v2")
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if config.Architecture != "amd64" || !slices.Contains(config.Config.Env, "DEMO_VERSION=v2") || config.Config.Entrypoint[0] != "/bin/demo" {
		t.Errorf("configuration: %+v", config)
	}
	layers, err := img.Layers()
	if err != nil || len(layers) != 1 {
		t.Fatalf("%d layers, err %v", len(layers), err)
	}
	found := files(t, layers[0])
	for path, mode := range map[string]int64{"bin/demo": 0o755, "tmp/": 0o1777, "etc/passwd": 0o644} {
		if found[path] == nil || found[path].Mode != mode {
			t.Errorf("%s is %+v, want mode %o", path, found[path], mode)
		}
	}
}

func files(t *testing.T, layer v1.Layer) map[string]*tar.Header {
	t.Helper()
	content, err := layer.Uncompressed()
	if err != nil {
		t.Fatal(err)
	}
	defer content.Close()
	found := map[string]*tar.Header{}
	for r := tar.NewReader(content); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return found
		}
		if err != nil {
			t.Fatal(err)
		}
		found[h.Name] = h
	}
}

func TestSameInputSameImage(t *testing.T) {
	first, err := demo(t, "v1").Digest()
	if err != nil {
		t.Fatal(err)
	}
	again, err := demo(t, "v1").Digest()
	if err != nil || first != again {
		t.Errorf("the same input gave %s and %s (err %v)", first, again, err)
	}
	if other, err := demo(t, "v2").Digest(); err != nil || other == first {
		t.Errorf("another version has the same digest %s (err %v)", other, err)
	}
}

func TestTarballHoldsAllNames(t *testing.T) {
	path := filepath.Join(t.TempDir(), "out", "demo.tar")
	if err := WriteTarball(path, demo(t, "v1"), "miniorch/demo:v1", "miniorch/demo:latest"); err != nil {
		t.Fatal(err)
	}
	for _, n := range []string{"miniorch/demo:v1", "miniorch/demo:latest"} {
		tag, err := name.NewTag(n)
		if err != nil {
			t.Fatal(err)
		}
		img, err := tarball.ImageFromPath(path, &tag)
		if err != nil {
			t.Fatalf("%s: %v", n, err)
		}
		if err := validate.Image(img); err != nil {
			t.Errorf("%s is not valid: %v", n, err)
		}
	}
	if err := WriteTarball(path, demo(t, "v1"), "Not A Name"); err == nil {
		t.Error("a name that cannot be a tag was accepted")
	}
}
