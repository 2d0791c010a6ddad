package apiserver

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"path/filepath"

	"golang.org/x/sync/errgroup"
	"k8s.io/utils/clock"

	"github.com/miniorch/miniorch/apiserver/auth"
	"github.com/miniorch/miniorch/pkg/pki"
)

// AdminUser is the name in the administrator's certificate.
const AdminUser = "kubernetes-admin"

// Security is everything that a server needs to prove who it is and to find out who others
// are. It lives in one directory and is made on first start.
type Security struct {
	CA      *pki.CA
	Serving *pki.Live    // the server's certificate
	Kubelet *pki.Live    // its client certificate towards kubelets, CN system:apiserver
	Admin   pki.Pair     // for the administrator's kubeconfig
	Tokens  *auth.Tokens // service-account tokens
}

// SecurityConfig says where the keys are and under which names the server is reached.
type SecurityConfig struct {
	Dir   string
	Hosts []string // beyond those that every server has; addresses and names
	// Issuer of service-account tokens. Default auth.DefaultIssuer.
	Issuer string
	Clock  clock.PassiveClock
}

// servingHosts are the names by which pods and people on this host reach the API.
var servingHosts = []string{
	"localhost", "127.0.0.1", "::1",
	"kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local",
}

// OpenSecurity reads the keys and certificates in cfg.Dir and makes those that are missing.
func OpenSecurity(cfg SecurityConfig) (*Security, error) {
	if cfg.Clock == nil {
		cfg.Clock = clock.RealClock{}
	}
	ca, err := pki.OpenCA(cfg.Dir, cfg.Clock)
	if err != nil {
		return nil, err
	}
	s := &Security{CA: ca}
	var g errgroup.Group // each is a few writes to disk
	g.Go(func() (err error) {
		s.Serving, err = s.live(cfg, "apiserver", pki.Subject{
			Name: "kube-apiserver", Hosts: append(append([]string{}, servingHosts...), cfg.Hosts...), Server: true,
		})
		return err
	})
	g.Go(func() (err error) {
		s.Kubelet, err = s.live(cfg, "apiserver-kubelet-client", pki.Subject{Name: auth.UserAPIServer, Client: true})
		return err
	})
	g.Go(func() (err error) {
		s.Admin, err = ca.Ensure(cfg.Dir, "admin", pki.Subject{Name: AdminUser, Groups: []string{auth.GroupMasters}, Client: true})
		return err
	})
	g.Go(func() error {
		key, err := pki.OpenSigningKey(filepath.Join(cfg.Dir, "sa.key"))
		if err != nil {
			return err
		}
		s.Tokens, err = auth.NewTokens(key, auth.TokensConfig{Issuer: cfg.Issuer, Clock: cfg.Clock})
		return err
	})
	if err := g.Wait(); err != nil {
		return nil, fmt.Errorf("opening the keys in %s: %w", cfg.Dir, err)
	}
	return s, nil
}

func (s *Security) live(cfg SecurityConfig, name string, subject pki.Subject) (*pki.Live, error) {
	return pki.NewLive(func() (pki.Pair, error) { return s.CA.Ensure(cfg.Dir, name, subject) }, 0, cfg.Clock)
}

// Apply fills the security part of a server's configuration.
func (s *Security) Apply(cfg *Config) {
	cfg.Certificate = s.Serving.GetCertificate
	cfg.ClientCAs = s.CA.Pool()
	cfg.Tokens = s.Tokens
	cfg.KubeletTLS = s.kubeletTLS(s.CA.Pool())
}

func (s *Security) kubeletTLS(roots *x509.CertPool) *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots, GetClientCertificate: s.Kubelet.GetClientCertificate}
}

// WriteAdminKubeconfig writes the file with which an administrator reaches the server.
func (s *Security) WriteAdminKubeconfig(path, server, context string) error {
	return pki.WriteKubeconfig(path, pki.Kubeconfig{Context: context, Server: server, CA: s.CA.PEM(), Client: s.Admin})
}

// WriteNodeKubeconfig writes the file with which the node's agent joins the cluster. The
// certificate also serves: the agent's own HTTPS server uses it.
func (s *Security) WriteNodeKubeconfig(path, server, context, node string) error {
	pair, err := s.CA.Issue(pki.Subject{
		Name: auth.NodePrefix + node, Groups: []string{auth.GroupNodes}, Hosts: []string{node}, Server: true, Client: true,
	})
	if err != nil {
		return err
	}
	return pki.WriteKubeconfig(path, pki.Kubeconfig{Context: context, Server: server, CA: s.CA.PEM(), Client: pair})
}
