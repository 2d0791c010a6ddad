package pki

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/tools/clientcmd"
)

func TestWriteKubeconfigIsReadByClientGo(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sub", "admin.kubeconfig")
	k := Kubeconfig{Context: "lab", Server: "https://127.0.0.1:6443", CA: []byte("ca"), Client: Pair{Cert: []byte("cert"), Key: []byte("key")}}
	must(t, WriteKubeconfig(path, k))
	cfg, err := clientcmd.LoadFromFile(path)
	must(t, err)
	ctx := cfg.Contexts[cfg.CurrentContext]
	if ctx == nil || cfg.Clusters[ctx.Cluster].Server != k.Server || string(cfg.AuthInfos[ctx.AuthInfo].ClientKeyData) != "key" {
		t.Errorf("unexpected content: %+v", cfg)
	}
	if mode := fileMode(t, path); mode != 0o600 {
		t.Errorf("mode %o, want 600: the file holds a private key", mode)
	}
}

const foreign = `apiVersion: v1
kind: Config
current-context: work
clusters:
- name: work
  cluster: {server: https://work:6443, future-field: {a: [1, 2]}}
contexts:
- name: work
  context: {cluster: work, user: work}
users:
- name: work
  user:
    exec: {apiVersion: client.authentication.k8s.io/v1, command: get-token, interactiveMode: Never}
extensions:
- name: someone
  extension: {keep: me}
`

func TestMergeKeepsWhatOthersPutThere(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "config")
	real := filepath.Join(dir, "real")
	must(t, os.WriteFile(real, []byte(foreign), 0o640))
	must(t, os.Symlink(real, path))

	k := Kubeconfig{Context: "miniorch-lab", Server: "https://127.0.0.1:6443", CA: []byte("ca")}
	must(t, MergeKubeconfig(path, k))
	k.Server = "https://127.0.0.1:7443"
	must(t, MergeKubeconfig(path, k)) // a second time: replaced, not doubled
	cfg, err := clientcmd.LoadFromFile(path)
	must(t, err)
	if cfg.CurrentContext != "miniorch-lab" || cfg.Clusters["miniorch-lab"].Server != k.Server || len(cfg.Clusters) != 2 {
		t.Errorf("after merging: %+v", cfg)
	}

	must(t, UnmergeKubeconfig(path, "miniorch-lab"))
	data, err := os.ReadFile(real)
	must(t, err)
	if strings.Contains(string(data), "miniorch") {
		t.Errorf("unmerging left something:\n%s", data)
	}
	for _, want := range []string{"future-field", "get-token", "keep: me"} {
		if !strings.Contains(string(data), want) {
			t.Errorf("%q was lost:\n%s", want, data)
		}
	}
	if info, err := os.Lstat(path); err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Error("the symbolic link was replaced")
	}
	if mode := fileMode(t, real); mode != 0o640 {
		t.Errorf("mode %o, want the file's own 640", mode)
	}
}

func TestMergeMakesTheFileAndUnmergeForgivesItsAbsence(t *testing.T) {
	path := filepath.Join(t.TempDir(), ".kube", "config")
	must(t, UnmergeKubeconfig(path, "x"))
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Error("unmerging made a file")
	}
	must(t, MergeKubeconfig(path, Kubeconfig{Context: "x", Server: "https://h:1"}))
	if cfg, err := clientcmd.LoadFromFile(path); err != nil || cfg.CurrentContext != "x" {
		t.Errorf("%v %+v", err, cfg)
	}
}

func TestMergeLeavesDamagedFilesAlone(t *testing.T) {
	for name, content := range map[string]string{"not YAML": "{{{", "not a kubeconfig": "clusters: 7\n"} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "config")
			must(t, os.WriteFile(path, []byte(content), 0o600))
			if err := MergeKubeconfig(path, Kubeconfig{Context: "x"}); err == nil {
				t.Error("no error")
			}
			if data, _ := os.ReadFile(path); string(data) != content {
				t.Errorf("the file was changed to %q", data)
			}
		})
	}
}

func TestMergeTakesOverStaleLocks(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config")
	must(t, os.WriteFile(path+".lock", nil, 0o600))
	old := time.Now().Add(-time.Hour)
	must(t, os.Chtimes(path+".lock", old, old))
	must(t, MergeKubeconfig(path, Kubeconfig{Context: "x"}))
	if _, err := os.Stat(path + ".lock"); !os.IsNotExist(err) {
		t.Error("the lock file was left behind")
	}
}
