package scheduler

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/miniorch/miniorch/scheduler/config"
)

// maxAnswer bounds what an extender may answer: the names and objects of very many nodes.
const maxAnswer = 256 << 20

// The wire format of extenders, as Kubernetes has it.
type (
	extenderArgs struct {
		Pod       *corev1.Pod
		Nodes     *corev1.NodeList `json:",omitempty"`
		NodeNames *[]string        `json:",omitempty"`
	}
	extenderFilterResult struct {
		Nodes                      *corev1.NodeList
		NodeNames                  *[]string
		FailedNodes                map[string]string
		FailedAndUnresolvableNodes map[string]string
		Error                      string
	}
	hostPriority struct {
		Host  string
		Score int64
	}
	extenderBindingArgs struct {
		PodName, PodNamespace, PodUID, Node string
	}
	extenderBindingResult struct{ Error string }

	extenderPreemptionArgs struct {
		Pod                   *corev1.Pod
		NodeNameToVictims     map[string]*extenderVictims     `json:",omitempty"`
		NodeNameToMetaVictims map[string]*extenderMetaVictims `json:",omitempty"`
	}
	extenderPreemptionResult struct {
		NodeNameToMetaVictims map[string]*extenderMetaVictims
	}
	extenderVictims struct {
		Pods             []*corev1.Pod
		NumPDBViolations int64
	}
	extenderMetaVictims struct {
		Pods             []extenderMetaPod
		NumPDBViolations int64
	}
	extenderMetaPod struct{ UID string }
)

func (e *extender) call(ctx context.Context, verb string, args, answer any) error {
	body, err := json.Marshal(args)
	if err != nil {
		return fmt.Errorf("encoding for extender %s: %w", e.URLPrefix, err)
	}
	url := strings.TrimRight(e.URLPrefix, "/") + "/" + strings.TrimLeft(verb, "/")
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("asking extender: %w", err)
	}
	r.Header.Set("Content-Type", "application/json")
	resp, err := e.client.Do(r)
	if err != nil {
		return fmt.Errorf("asking extender: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("extender %s: %s", url, resp.Status)
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(answer); err != nil {
		return fmt.Errorf("extender %s: reading its answer: %w", url, err)
	}
	return nil
}

func tlsOf(c *config.ExtenderTLS) (*tls.Config, error) {
	t := &tls.Config{MinVersion: tls.VersionTLS12}
	if c == nil {
		return t, nil
	}
	ca, err := dataOr(c.CAData, c.CAFile)
	if err != nil {
		return nil, err
	}
	t.InsecureSkipVerify, t.ServerName = c.Insecure, c.ServerName
	if len(ca) > 0 {
		t.RootCAs = x509.NewCertPool()
		if !t.RootCAs.AppendCertsFromPEM(ca) {
			return nil, fmt.Errorf("tlsConfig: no certificate of an authority")
		}
	}
	cert, err := dataOr(c.CertData, c.CertFile)
	if err != nil {
		return nil, err
	}
	key, err := dataOr(c.KeyData, c.KeyFile)
	if err != nil || len(cert) == 0 {
		return t, err
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("tlsConfig: %w", err)
	}
	t.Certificates = []tls.Certificate{pair}
	return t, nil
}

func dataOr(data []byte, file string) ([]byte, error) {
	if len(data) > 0 || file == "" {
		return data, nil
	}
	return os.ReadFile(file)
}
