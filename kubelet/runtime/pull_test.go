package runtime

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"golang.org/x/crypto/bcrypt"

	"github.com/miniorch/miniorch/kubelet/container"
)

// push uploads an image by the registry protocol, as user:password if given.
func push(t *testing.T, ref string, image v1.Image, login string) {
	t.Helper()
	host, rest, _ := strings.Cut(ref, "/")
	repository, tag, _ := strings.Cut(rest, ":")
	base := "http://" + host + "/v2/" + repository
	config, err := image.RawConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	blobs := [][]byte{config}
	layers, err := image.Layers()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range layers {
		r, err := l.Compressed()
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		blobs = append(blobs, data)
	}
	for _, blob := range blobs {
		where, err := url.Parse(upload(t, http.MethodPost, base+"/blobs/uploads/", "", nil, login))
		if err != nil {
			t.Fatal(err)
		}
		query := where.Query()
		query.Set("digest", fmt.Sprintf("sha256:%x", sha256.Sum256(blob)))
		where.RawQuery, where.Scheme, where.Host = query.Encode(), "http", host
		upload(t, http.MethodPut, where.String(), "application/octet-stream", blob, login)
	}
	manifest, err := image.RawManifest()
	if err != nil {
		t.Fatal(err)
	}
	kind, err := image.MediaType()
	if err != nil {
		t.Fatal(err)
	}
	upload(t, http.MethodPut, base+"/manifests/"+tag, string(kind), manifest, login)
}

// upload makes one request and returns where it leads.
func upload(t *testing.T, method, to, kind string, body []byte, login string) (location string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, to, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", kind)
	if user, password, ok := strings.Cut(login, ":"); ok {
		req.SetBasicAuth(user, password)
	}
	transport := &http.Transport{DisableKeepAlives: true}
	answer, err := transport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode/100 != 2 {
		text, _ := io.ReadAll(answer.Body)
		t.Fatalf("%s %s: %s %s", method, to, answer.Status, text)
	}
	return answer.Header.Get("Location")
}

func TestPull(t *testing.T) {
	n := startNode(t)
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	defer server.Close()
	host := strings.TrimPrefix(server.URL, "http://")
	image := busyboxImage(t, v1.Config{Cmd: []string{"echo", "pulled"}, User: "1000"})
	push(t, host+"/a/b:v1", image, "")
	ref := host + "/a/b:v1"

	if _, present, err := n.Image(t.Context(), ref); present || err != nil {
		t.Errorf("before the pull: present %v, %v", present, err)
	}
	var stages []string
	got, err := n.Pull(t.Context(), container.PullRequest{Ref: ref, Progress: func(p container.PullProgress) { stages = append(stages, p.Stage) }})
	if err != nil {
		t.Fatal(err)
	}
	digest, err := image.Digest()
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(got.RepoDigests, host+"/a/b@"+digest.String()) || !slices.Contains(got.RepoTags, ref) || got.Size == 0 || got.User.UID == nil || *got.User.UID != 1000 {
		t.Errorf("pulled %+v", got)
	}
	if len(stages) < 2 || stages[0] != "resolving" || stages[len(stages)-1] != "done" {
		t.Errorf("progress %v", stages)
	}
	spec := n.spec("p", "main")
	spec.Image = ref
	c := n.finish(spec)
	eventually(t, func() string { return wantLog(c.LogPath, "pulled\n") })

	t.Run("other names", func(t *testing.T) {
		for _, other := range []string{got.ID, host + "/a/b@" + digest.String(), host + "/a/b:v1@" + digest.String()} {
			if found, present, err := n.Image(t.Context(), other); err != nil || !present || found.ID != got.ID {
				t.Errorf("%s: %+v %v %v", other, found, present, err)
			}
		}
	})
	t.Run("by digest", func(t *testing.T) {
		if _, err := n.Pull(t.Context(), container.PullRequest{Ref: host + "/a/b@" + digest.String()}); err != nil {
			t.Error(err)
		}
	})
	t.Run("missing", func(t *testing.T) {
		for _, missing := range []string{host + "/a/b:nope", host + "/nope:v1", host + "/a/b@sha256:" + strings.Repeat("0", 64)} {
			if _, err := n.Pull(t.Context(), container.PullRequest{Ref: missing}); !errors.Is(err, container.ErrImageNotFound) {
				t.Errorf("%s: %v", missing, err)
			}
		}
	})
	t.Run("nobody there", func(t *testing.T) {
		_, err := n.Pull(t.Context(), container.PullRequest{Ref: "127.0.0.1:1/a:v1"})
		if err == nil || errors.Is(err, container.ErrImageNotFound) || !strings.Contains(err.Error(), "connection refused") {
			t.Errorf("error %v", err)
		}
	})
	t.Run("remove", func(t *testing.T) {
		if err := n.Remove(t.Context(), c.ID); err != nil {
			t.Fatal(err)
		}
		if err := n.RemoveImage(t.Context(), ref); err != nil {
			t.Fatal(err)
		}
		all, err := n.Images(t.Context())
		if err != nil || slices.ContainsFunc(all, func(i container.Image) bool { return i.ID == got.ID }) || len(all) != 2 {
			t.Errorf("after removal: %+v %v", all, err)
		}
	})
}

// TestPullTampered: content that is not what its digest says is never kept.
func TestPullTampered(t *testing.T) {
	n := startNode(t)
	honest := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	image := busyboxImage(t, v1.Config{})
	layers, err := image.Layers()
	if err != nil {
		t.Fatal(err)
	}
	layer, err := layers[0].Digest()
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet || !strings.HasSuffix(r.URL.Path, layer.String()) {
			honest.ServeHTTP(w, r)
			return
		}
		answer := httptest.NewRecorder()
		honest.ServeHTTP(answer, r)
		body := answer.Body.Bytes()
		body[len(body)/2] ^= 1
		for k, v := range answer.Header() {
			w.Header()[k] = v
		}
		w.WriteHeader(answer.Code)
		w.Write(body)
	}))
	defer server.Close()
	ref := strings.TrimPrefix(server.URL, "http://") + "/evil:v1"
	push(t, ref, image, "")
	if err := n.RemoveImage(t.Context(), "busybox"); err != nil {
		t.Fatal(err) // it has the same layer, which would not be fetched then
	}
	if err := n.RemoveImage(t.Context(), "example/configured:v1"); err != nil {
		t.Fatal(err)
	}
	_, err = n.Pull(t.Context(), container.PullRequest{Ref: ref})
	if err == nil || !strings.Contains(err.Error(), "unexpected commit digest") && !strings.Contains(err.Error(), "checksum") {
		t.Errorf("error %v, want one about the digest", err)
	}
	if _, present, err := n.Image(t.Context(), ref); present || err != nil {
		t.Errorf("after the refused pull: present %v, %v", present, err)
	}
}

// TestPullCredentials pulls from Debian's registry with and without a password.
func TestPullCredentials(t *testing.T) {
	if _, err := exec.LookPath("docker-registry"); err != nil {
		t.Skip("needs docker-registry (apt install docker-registry)")
	}
	n := startNode(t)
	host := startRegistry(t, n.dir, "alice", "secret")
	push(t, host+"/private:v1", busyboxImage(t, v1.Config{}), "alice:secret")
	cases := []struct {
		name string
		auth *container.RegistryAuth
		want error
	}{
		{"nobody", nil, container.ErrImagePullUnauthorized},
		{"wrong password", &container.RegistryAuth{Username: "alice", Password: "guess"}, container.ErrImagePullUnauthorized},
		{"right password", &container.RegistryAuth{Username: "alice", Password: "secret"}, nil},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			_, err := n.Pull(t.Context(), container.PullRequest{Ref: host + "/private:v1", Auth: c.auth})
			if !errors.Is(err, c.want) {
				t.Errorf("error %v, want %v", err, c.want)
			}
		})
	}
}

// startRegistry runs Debian's registry on loopback and returns its address.
func startRegistry(t *testing.T, dir, user, password string) string {
	t.Helper()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := free.Addr().String()
	free.Close()
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	passwords, config := filepath.Join(dir, "htpasswd"), filepath.Join(dir, "registry.yml")
	text := fmt.Sprintf("version: 0.1\nlog:\n  level: error\nstorage:\n  filesystem:\n    rootdirectory: %s\nhttp:\n  addr: %s\nauth:\n  htpasswd:\n    realm: test\n    path: %s\n",
		filepath.Join(dir, "registry"), address, passwords)
	for file, data := range map[string]string{passwords: user + ":" + string(hash) + "\n", config: text} {
		if err := os.WriteFile(file, []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("docker-registry", "serve", config)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	eventually(t, func() string {
		conn, err := (&net.Dialer{Timeout: time.Minute}).DialContext(context.Background(), "tcp", address)
		if err != nil {
			return "registry: " + err.Error()
		}
		conn.Close()
		return ""
	})
	return address
}

func TestImport(t *testing.T) {
	n := startNode(t)
	oci := filepath.Join(n.dir, "layout")
	path, err := layout.Write(oci, empty.Index)
	if err != nil {
		t.Fatal(err)
	}
	image := busyboxImage(t, v1.Config{Cmd: []string{"echo", "from a layout"}})
	if err := path.AppendImage(image, layout.WithAnnotations(map[string]string{"org.opencontainers.image.ref.name": "docker.io/example/layout:v2"})); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("tar", "-C", oci, "-cf", filepath.Join(n.images, "layout.tar"), ".").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if err := os.WriteFile(filepath.Join(n.images, "broken.tar"), []byte("not a tar at all"), 0o644); err != nil {
		t.Fatal(err)
	}
	images, err := n.ImportDir(t.Context(), n.images)
	if err == nil || !strings.Contains(err.Error(), "broken.tar") || strings.Contains(err.Error(), "layout.tar") {
		t.Errorf("error %v, want one about broken.tar only", err)
	}
	var names []string
	for _, i := range images {
		names = append(names, i.Ref)
	}
	want := []string{"docker.io/library/busybox:latest", "docker.io/example/configured:v1", "docker.io/example/layout:v2"}
	if !slices.Equal(names, want) {
		t.Errorf("imported %v, want %v", names, want)
	}
	before, err := n.client.ImageService().Get(n.scope(t.Context()), want[2])
	if err != nil {
		t.Fatal(err)
	}
	if _, err := n.Import(t.Context(), filepath.Join(n.images, "layout.tar")); err != nil {
		t.Fatal(err)
	}
	if after, err := n.client.ImageService().Get(n.scope(t.Context()), want[2]); err != nil || !after.UpdatedAt.Equal(before.UpdatedAt) {
		t.Errorf("imported again: %v %v", after, err)
	}
	if err := n.RemoveImage(t.Context(), want[2]); err != nil {
		t.Fatal(err)
	}
	if again, err := n.Import(t.Context(), filepath.Join(n.images, "layout.tar")); err != nil || len(again) != 1 {
		t.Errorf("after removal: %v %v", again, err)
	}
}
