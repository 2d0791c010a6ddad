package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/netip"
	"net/url"
	"os"

	"github.com/miniorch/miniorch/pkg/client"
)

const nodeUser = "system:node:"

// pair returns the certificate with which this node calls and serves, and the authority
// that both sides trust.
func pair(c client.HTTPConfig) (cert tls.Certificate, ca []byte, err error) {
	certPEM, keyPEM, ca := c.CertData, c.KeyData, c.CAData
	for _, f := range []struct {
		path string
		data *[]byte
	}{{c.CertFile, &certPEM}, {c.KeyFile, &keyPEM}, {c.CAFile, &ca}} {
		if f.path != "" {
			if *f.data, err = os.ReadFile(f.path); err != nil {
				return cert, nil, err
			}
		}
	}
	cert, err = tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return cert, nil, fmt.Errorf("the kubeconfig's client certificate: %w", err)
	}
	return cert, ca, nil
}

// checkIdentity refuses to start under a name that the credentials are not for: the API
// server would refuse every call, one by one.
func (o options) checkIdentity(c client.HTTPConfig) error {
	cert, _, err := pair(c)
	if err != nil {
		return fmt.Errorf("reading the credentials in %s: %w", o.Kubeconfig, err)
	}
	leaf, err := x509.ParseCertificate(cert.Certificate[0])
	if err != nil {
		return err
	}
	if name := leaf.Subject.CommonName; name != nodeUser+o.NodeName {
		return fmt.Errorf("--node-name %s: the credentials in %s are for %q, not for %q", o.NodeName, o.Kubeconfig, name, nodeUser+o.NodeName)
	}
	return nil
}

// servingTLS is how the kubelet's own API is served: with the certificate that the node
// calls with, to callers whom the cluster's authority knows.
func servingTLS(c client.HTTPConfig) (*tls.Config, error) {
	cert, ca, err := pair(c)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(ca) {
		return nil, fmt.Errorf("the kubeconfig names no certificate authority")
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{cert}, ClientCAs: pool}, nil
}

// nodeIP is the address given, or the one that leads to the API server.
func (o options) nodeIP(server string) (netip.Addr, error) {
	if o.NodeIP.IsValid() {
		return o.NodeIP, nil
	}
	u, err := url.Parse(server)
	if err != nil {
		return netip.Addr{}, err
	}
	return addressTowards(u.Host)
}
