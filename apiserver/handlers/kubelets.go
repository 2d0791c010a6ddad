package handlers

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
)

const (
	kubeletPort        = 10250
	kubeletDialTimeout = 5 * time.Second
)

// NodeAddress is where a node's agent listens.
type NodeAddress struct {
	Node string // its name, which its certificate must carry
	Host string
	Port int32
}

func (a NodeAddress) String() string { return net.JoinHostPort(a.Host, strconv.Itoa(int(a.Port))) }

// Conn is a connection that can say that nothing more will be written.
type Conn interface {
	net.Conn
	CloseWrite() error
}

// Kubelets opens connections to node agents.
type Kubelets interface {
	// Dial connects to the agent of the node and makes sure that it is that node's.
	Dial(ctx context.Context, address NodeAddress) (Conn, error)
}

// TLSKubelets dials agents over TLS, under the API server's own identity.
type TLSKubelets struct {
	config *tls.Config
	dialer *net.Dialer
}

// NewTLSKubelets returns a dialer that uses config, which carries the client certificate
// and the CAs; a nil dialer is the network's.
func NewTLSKubelets(config *tls.Config, dialer *net.Dialer) *TLSKubelets {
	if dialer == nil {
		dialer = &net.Dialer{}
	}
	return &TLSKubelets{config: config, dialer: dialer}
}

// Dial implements Kubelets. The certificate must be the node's by name: an address says
// nothing about who answers there.
func (k *TLSKubelets) Dial(ctx context.Context, address NodeAddress) (Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, kubeletDialTimeout)
	defer cancel()
	raw, err := k.dialer.DialContext(ctx, "tcp", address.String())
	if err != nil {
		return nil, err
	}
	config := k.config.Clone()
	config.ServerName = address.Node
	config.NextProtos = []string{"http/1.1"} // what can be upgraded
	conn := tls.Client(raw, config)
	if err := conn.HandshakeContext(ctx); err != nil {
		_ = raw.Close()
		return nil, fmt.Errorf("TLS with %s: %w", address, err)
	}
	return conn, nil
}

// AddressOf chooses the address at which the cluster reaches a node.
func AddressOf(node *corev1.Node) (NodeAddress, error) {
	a := NodeAddress{Node: node.Name, Port: node.Status.DaemonEndpoints.KubeletEndpoint.Port}
	if a.Port == 0 {
		a.Port = kubeletPort
	}
	for _, wanted := range []corev1.NodeAddressType{corev1.NodeInternalIP, corev1.NodeExternalIP, corev1.NodeHostName} {
		for _, have := range node.Status.Addresses {
			if have.Type == wanted && have.Address != "" {
				a.Host = have.Address
				return a, nil
			}
		}
	}
	return a, fmt.Errorf("node %q has no address", node.Name)
}
