package apiserver

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"

	corev1 "k8s.io/api/core/v1"

	"github.com/miniorch/miniorch/apiserver/handlers"
	"github.com/miniorch/miniorch/pkg/api"
)

// nodeCounters asks node agents, for metrics.k8s.io, over the connections by which logs are read too.
type nodeCounters struct {
	server   *Server
	kubelets handlers.Kubelets
}

// Nodes implements usage.Cluster.
func (n nodeCounters) Nodes(ctx context.Context) ([]*corev1.Node, error) {
	objs, err := n.server.registry.List(ctx, api.ResourceFor[*corev1.Node]().GVR(), "")
	if err != nil {
		return nil, err
	}
	nodes := make([]*corev1.Node, 0, len(objs))
	for _, obj := range objs {
		if node, ok := obj.(*corev1.Node); ok {
			nodes = append(nodes, node)
		}
	}
	return nodes, nil
}

// Pod implements usage.Cluster.
func (n nodeCounters) Pod(ctx context.Context, ns, name string) *corev1.Pod {
	obj, err := n.server.registry.Get(ctx, api.ResourceFor[*corev1.Pod]().GVR(), ns, name)
	if err != nil {
		return nil
	}
	pod, _ := obj.(*corev1.Pod)
	return pod
}

// Counters implements usage.Cluster.
func (n nodeCounters) Counters(ctx context.Context, node *corev1.Node) (io.ReadCloser, error) {
	address, err := handlers.AddressOf(node)
	if err != nil {
		return nil, err
	}
	conn, err := n.kubelets.Dial(ctx, address)
	if err != nil {
		return nil, fmt.Errorf("connecting to %s: %w", address, err)
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	body, err := fetch(ctx, conn, address)
	if err != nil {
		stop()
		_ = conn.Close()
		return nil, err
	}
	return answer{body, conn, stop}, nil
}

// fetch sends the question and returns the answer's body.
func fetch(ctx context.Context, conn net.Conn, address handlers.NodeAddress) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+address.String()+"/metrics/resource", nil)
	if err != nil {
		return nil, err
	}
	req.Close = true
	if err := req.Write(conn); err != nil {
		return nil, fmt.Errorf("asking %s: %w", address, err)
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), req)
	if err != nil {
		return nil, fmt.Errorf("reading the answer of %s: %w", address, err)
	}
	if res.StatusCode != http.StatusOK {
		_ = res.Body.Close()
		return nil, fmt.Errorf("%s answers %s", address, res.Status)
	}
	return res.Body, nil
}

// answer is a body that holds its connection.
type answer struct {
	io.ReadCloser
	conn net.Conn
	stop func() bool
}

func (a answer) Close() error {
	a.stop()
	_ = a.ReadCloser.Close()
	return a.conn.Close()
}

// watchUsage asks the nodes once there is a cluster.
func (s *Server) watchUsage(ctx context.Context) error {
	select {
	case <-s.ready:
	case <-ctx.Done():
		return nil
	}
	if err := s.usage.Run(ctx); ctx.Err() == nil {
		return err
	}
	return nil
}
