package client

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"sigs.k8s.io/yaml"
)

// kubeconfig is what we read of a kubeconfig file.
type kubeconfig struct {
	CurrentContext string `json:"current-context"`
	Clusters       []struct {
		Name    string            `json:"name"`
		Cluster kubeconfigCluster `json:"cluster"`
	} `json:"clusters"`
	Users []struct {
		Name string         `json:"name"`
		User kubeconfigUser `json:"user"`
	} `json:"users"`
	Contexts []struct {
		Name    string            `json:"name"`
		Context kubeconfigContext `json:"context"`
	} `json:"contexts"`
}

type kubeconfigCluster struct {
	Server                   string `json:"server"`
	CertificateAuthority     string `json:"certificate-authority"`
	CertificateAuthorityData []byte `json:"certificate-authority-data"`
	TLSServerName            string `json:"tls-server-name"`
	InsecureSkipTLSVerify    bool   `json:"insecure-skip-tls-verify"`
	ProxyURL                 string `json:"proxy-url"`
}

type kubeconfigUser struct {
	ClientCertificate     string         `json:"client-certificate"`
	ClientCertificateData []byte         `json:"client-certificate-data"`
	ClientKey             string         `json:"client-key"`
	ClientKeyData         []byte         `json:"client-key-data"`
	Token                 string         `json:"token"`
	TokenFile             string         `json:"tokenFile"`
	Username              string         `json:"username"`
	As                    string         `json:"as"`
	AsUID                 string         `json:"as-uid"`
	AsGroups              []any          `json:"as-groups"`
	AsExtra               map[string]any `json:"as-user-extra"`
	Exec                  any            `json:"exec"`
	AuthProvider          any            `json:"auth-provider"`
}

type kubeconfigContext struct {
	Cluster   string `json:"cluster"`
	User      string `json:"user"`
	Namespace string `json:"namespace"`
}

// LoadKubeconfig reads the current context of a kubeconfig file. Ways to authenticate that
// this package does not know are refused.
func LoadKubeconfig(path string) (HTTPConfig, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return HTTPConfig{}, fmt.Errorf("reading kubeconfig: %w", err)
	}
	var k kubeconfig
	if err := yaml.Unmarshal(raw, &k); err != nil {
		return HTTPConfig{}, fmt.Errorf("reading kubeconfig %s: %w", path, err)
	}
	cfg, err := k.config(filepath.Dir(path))
	if err != nil {
		return HTTPConfig{}, fmt.Errorf("reading kubeconfig %s: %w", path, err)
	}
	return cfg, nil
}

// config resolves the current context; relative paths are relative to dir.
func (k *kubeconfig) config(dir string) (HTTPConfig, error) {
	use, err := k.context()
	if err != nil {
		return HTTPConfig{}, err
	}
	cluster, err := k.cluster(use.Cluster)
	if err != nil {
		return HTTPConfig{}, err
	}
	user, err := k.user(use.User)
	if err != nil {
		return HTTPConfig{}, err
	}
	at := func(p string) string {
		if p == "" || filepath.IsAbs(p) {
			return p
		}
		return filepath.Join(dir, p)
	}
	cfg := HTTPConfig{
		Server: cluster.Server, CAData: cluster.CertificateAuthorityData,
		ServerName: cluster.TLSServerName, Insecure: cluster.InsecureSkipTLSVerify,
		Namespace: use.Namespace,
		CertData:  user.ClientCertificateData, KeyData: user.ClientKeyData,
		Token: user.Token, As: user.As,
	}
	// Inline data goes before files, as everywhere.
	if len(cfg.CAData) == 0 {
		cfg.CAFile = at(cluster.CertificateAuthority)
	}
	if len(cfg.CertData) == 0 {
		cfg.CertFile, cfg.KeyFile = at(user.ClientCertificate), at(user.ClientKey)
	}
	if cfg.Token == "" {
		cfg.TokenFile = at(user.TokenFile)
	}
	if (len(cfg.CertData) == 0) != (len(cfg.KeyData) == 0) || (cfg.CertFile == "") != (cfg.KeyFile == "") {
		return HTTPConfig{}, errors.New("client certificate and key must both be inline or both be files")
	}
	return cfg, nil
}

func (k *kubeconfig) context() (kubeconfigContext, error) {
	for _, c := range k.Contexts {
		if c.Name == k.CurrentContext {
			return c.Context, nil
		}
	}
	return kubeconfigContext{}, fmt.Errorf("there is no context %q", k.CurrentContext)
}

func (k *kubeconfig) cluster(name string) (kubeconfigCluster, error) {
	for _, c := range k.Clusters {
		if c.Name != name {
			continue
		}
		if c.Cluster.ProxyURL != "" {
			return c.Cluster, errors.New("proxy-url is not supported")
		}
		return c.Cluster, nil
	}
	return kubeconfigCluster{}, fmt.Errorf("there is no cluster %q", name)
}

func (k *kubeconfig) user(name string) (kubeconfigUser, error) {
	if name == "" {
		return kubeconfigUser{}, nil
	}
	for _, u := range k.Users {
		if u.Name != name {
			continue
		}
		switch {
		case u.User.Exec != nil:
			return u.User, errors.New("exec credentials are not supported")
		case u.User.AuthProvider != nil:
			return u.User, errors.New("auth-provider is not supported")
		case u.User.Username != "":
			return u.User, errors.New("username and password are not supported")
		case u.User.AsUID != "" || len(u.User.AsGroups) > 0 || len(u.User.AsExtra) > 0:
			return u.User, errors.New("as-uid, as-groups and as-user-extra are not supported: only as")
		}
		return u.User, nil
	}
	return kubeconfigUser{}, fmt.Errorf("there is no user %q", name)
}
