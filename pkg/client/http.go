package client

import (
	"time"
)

// HTTPConfig says how to reach an API server and who we are.
type HTTPConfig struct {
	Server     string // https://host:port[/prefix]
	CAFile     string // or
	CAData     []byte // PEM; both empty: the system's
	ServerName string // expected in the server's certificate, if it is not Server's host
	// Insecure accepts any server certificate.
	Insecure bool

	CertFile, KeyFile string // client certificate, read again when it changes; or
	CertData, KeyData []byte // PEM
	Token             string // bearer token; or
	TokenFile         string // read again when it changes

	Namespace string        // the kubeconfig context's; not used by the transport
	UserAgent string        // default: the program's name
	Timeout   time.Duration // of a call that is not a watch and whose context has no deadline; default 30s
}

// NewHTTP returns a Transport over HTTP.
func NewHTTP(cfg HTTPConfig) (Transport, error) { panic("stub") }

// LoadKubeconfig reads the current context of a kubeconfig file.
func LoadKubeconfig(path string) (HTTPConfig, error) { panic("stub") }
