package main

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// weighed is how many objects the control plane is weighed with.
const weighed = 10_000

// weigh measures what objects cost in memory: that they are there, and that they are listed.
func (b *bench) weigh(ctx context.Context) error {
	m, err := b.startMaster(ctx, b.dir+"/memory")
	if err != nil {
		return err
	}
	defer m.stop()
	defer b.profile(m, "memory")()
	peer, err := b.startEtcd()
	if err != nil {
		return err
	}
	defer peer.stop()
	clients, err := kubernetes.NewForConfig(m.config)
	if err != nil {
		return err
	}
	drop, err := newNamespace(ctx, clients, "weigh")
	if err != nil {
		return err
	}
	defer drop()
	idle, err := m.settled(ctx)
	if err != nil {
		return err
	}
	if _, err := createPods(ctx, m.config, "weigh", writers, weighed, apiPod); err != nil {
		return err
	}
	filled, err := m.settled(ctx)
	if err != nil {
		return err
	}
	if err := listAll(ctx, m.config, "weigh"); err != nil {
		return err
	}
	listed, err := m.settled(ctx)
	if err != nil {
		return err
	}
	etcd, err := peer.growth(etcdRequest{Writers: writers, Count: weighed})
	if err != nil {
		return err
	}
	b.add(row{what: fmt.Sprintf("memory (RSS) of the control plane for each %d pods: as created, after LISTs in every format", weighed),
		measured: mb(filled-idle) + ", " + mb(listed-idle), limit: "etcd alone: " + mb(etcd)})
	return nil
}

// growth is how much memory etcd alone takes for so many writes.
func (p *etcdPeer) growth(r etcdRequest) (int64, error) {
	before, err := memory(p.cmd.Process.Pid, "VmRSS")
	if err != nil {
		return 0, err
	}
	if _, err := p.write(r); err != nil {
		return 0, err
	}
	after, err := memory(p.cmd.Process.Pid, "VmRSS")
	return after - before, err
}

// listAll lists the pods of a namespace twice in each format.
func listAll(ctx context.Context, c *rest.Config, ns string) error {
	client, err := rest.HTTPClientFor(c)
	if err != nil {
		return err
	}
	for _, media := range []string{runtime.ContentTypeJSON, runtime.ContentTypeProtobuf, "application/json;as=Table;v=v1;g=meta.k8s.io"} {
		for range 2 {
			if _, _, err := fetch(ctx, client, c.Host+"/api/v1/namespaces/"+ns+"/pods", media); err != nil {
				return err
			}
		}
	}
	return nil
}
