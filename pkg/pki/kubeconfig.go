package pki

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	clientcmdv1 "k8s.io/client-go/tools/clientcmd/api/v1"
	"sigs.k8s.io/yaml"
)

// Kubeconfig is one cluster, one user and the context that joins them; all three carry
// the context's name.
type Kubeconfig struct {
	Context   string
	Server    string // https://host:port
	CA        []byte // PEM
	Client    Pair
	Namespace string // of the context; empty: default
}

// WriteKubeconfig makes or replaces a kubeconfig file that holds k alone. Only the owner
// can read it.
func WriteKubeconfig(path string, k Kubeconfig) error {
	data, err := yaml.Marshal(k.config())
	if err != nil {
		return fmt.Errorf("encoding the kubeconfig: %w", err)
	}
	return WriteFile(path, data, 0o600)
}

func (k Kubeconfig) config() clientcmdv1.Config {
	return clientcmdv1.Config{
		APIVersion:     "v1",
		Kind:           "Config",
		CurrentContext: k.Context,
		Clusters: []clientcmdv1.NamedCluster{{
			Name:    k.Context,
			Cluster: clientcmdv1.Cluster{Server: k.Server, CertificateAuthorityData: k.CA},
		}},
		AuthInfos: []clientcmdv1.NamedAuthInfo{{
			Name:     k.Context,
			AuthInfo: clientcmdv1.AuthInfo{ClientCertificateData: k.Client.Cert, ClientKeyData: k.Client.Key},
		}},
		Contexts: []clientcmdv1.NamedContext{{
			Name:    k.Context,
			Context: clientcmdv1.Context{Cluster: k.Context, AuthInfo: k.Context, Namespace: k.Namespace},
		}},
	}
}

// MergeKubeconfig puts k into the user's kubeconfig at path and makes its context the
// current one. Everything else in the file stays, also what this program does not know.
func MergeKubeconfig(path string, k Kubeconfig) error {
	return editKubeconfig(path, func(file map[string]any) error {
		data, err := yaml.Marshal(k.config())
		if err != nil {
			return err
		}
		var ours map[string]any
		if err := yaml.Unmarshal(data, &ours); err != nil {
			return err
		}
		for _, section := range []string{"clusters", "users", "contexts"} {
			kept, err := without(file, section, k.Context)
			if err != nil {
				return err
			}
			file[section] = append(kept, ours[section].([]any)...)
		}
		for key, value := range ours {
			if _, has := file[key]; !has {
				file[key] = value
			}
		}
		file["current-context"] = k.Context
		return nil
	})
}

// UnmergeKubeconfig takes what MergeKubeconfig put there under the context's name out of
// the file again. A file that does not exist is left alone.
func UnmergeKubeconfig(path, context string) error {
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return editKubeconfig(path, func(file map[string]any) error {
		for _, section := range []string{"clusters", "users", "contexts"} {
			kept, err := without(file, section, context)
			if err != nil {
				return err
			}
			file[section] = kept
		}
		if file["current-context"] == context {
			file["current-context"] = ""
		}
		return nil
	})
}

// without returns the entries of a section whose name is not name.
func without(file map[string]any, section, name string) ([]any, error) {
	if file[section] == nil {
		return []any{}, nil
	}
	entries, ok := file[section].([]any)
	if !ok {
		return nil, fmt.Errorf("%q is not a list", section)
	}
	kept := []any{}
	for _, e := range entries {
		if m, ok := e.(map[string]any); ok && m["name"] == name {
			continue
		}
		kept = append(kept, e)
	}
	return kept, nil
}

// editKubeconfig changes the file at path under the lock that kubectl takes as well. A
// symbolic link is followed, mode and owner of the file are kept.
func editKubeconfig(path string, edit func(map[string]any) error) error {
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("editing %s: %w", path, err)
	}
	unlock, err := lock(path + ".lock")
	if err != nil {
		return fmt.Errorf("editing %s: %w", path, err)
	}
	defer unlock()

	data, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("editing the kubeconfig: %w", err)
	}
	file := map[string]any{}
	if err := yaml.Unmarshal(data, &file); err != nil {
		return fmt.Errorf("%s is not a kubeconfig, it is left as it is: %w", path, err)
	}
	if file == nil {
		file = map[string]any{}
	}
	if err := edit(file); err != nil {
		return fmt.Errorf("editing %s: %w", path, err)
	}
	if data, err = yaml.Marshal(file); err != nil {
		return fmt.Errorf("editing %s: %w", path, err)
	}
	return replaceKeepingOwner(path, data)
}

func replaceKeepingOwner(path string, data []byte) error {
	mode := os.FileMode(0o600)
	owner := -1
	group := -1
	if info, err := os.Stat(path); err == nil {
		mode = info.Mode().Perm()
		if st, ok := info.Sys().(*syscall.Stat_t); ok {
			owner, group = int(st.Uid), int(st.Gid)
		}
	}
	if err := WriteFile(path, data, mode); err != nil {
		return err
	}
	if owner < 0 || owner == os.Getuid() {
		return nil
	}
	return os.Chown(path, owner, group)
}

// lock makes the lock file, waiting a little while for somebody else's. A lock older
// than a minute was left behind by a crash and is taken over.
func lock(path string) (unlock func(), err error) {
	for range 50 {
		f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		if err == nil {
			return func() { _ = os.Remove(path) }, f.Close()
		}
		if !errors.Is(err, os.ErrExist) {
			return nil, err
		}
		if info, statErr := os.Stat(path); statErr == nil && time.Since(info.ModTime()) > time.Minute {
			_ = os.Remove(path)
			continue
		}
		time.Sleep(100 * time.Millisecond)
	}
	return nil, fmt.Errorf("%s is held by another program", path)
}
