package kubelet

import (
	"context"

	"github.com/miniorch/miniorch/pkg/client"
)

// Kubelet runs the pods of one node.
type Kubelet struct {
	transport client.Transport
	informers *client.Informers
	parts     Parts
	cfg       Config
}

// New returns a kubelet; it starts nothing. It must be called before informers.Run.
func New(transport client.Transport, informers *client.Informers, parts Parts, cfg Config) (*Kubelet, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	return &Kubelet{transport: transport, informers: informers, parts: parts, cfg: cfg}, nil
}

// Run runs pods until ctx ends. Containers are left running.
func (k *Kubelet) Run(ctx context.Context) error {
	<-ctx.Done()
	return nil
}
