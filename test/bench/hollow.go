package main

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
)

const (
	hollowNodes = 1_000
	hollowPods  = 5_000
	// idlePods are there when it is measured what a quiet cluster costs.
	idlePods = 10_000
	// quiet is how long nothing is asked for, and that is measured; settling is how long before.
	quiet, settling = 30 * time.Second, 10 * time.Second
)

// hollow lets pods pile up while no scheduler runs, then starts one: what is measured is the
// scheduler (and the API that takes its bindings), not who makes the pods. All the while
// the nodes run what they are given.
func (b *bench) hollow(ctx context.Context) error {
	data := b.dir + "/hollow"
	// Room for more nodes than 10.244.0.0/16 has ranges.
	flags := []string{"--cluster-cidr=10.128.0.0/9"}
	m, err := b.startMaster(ctx, data, append(flags, "--disable=scheduler")...)
	if err != nil {
		return err
	}
	defer func() { m.stop() }()
	address := m.config.Host[len("https://127.0.0.1:"):]
	nodes, err := start(filepath.Join(b.dir, "hollow.log"), filepath.Join(b.bin, "miniorch-node"),
		fmt.Sprintf("--hollow=%d", hollowNodes), "--kubeconfig", m.kubeconfig())
	if err != nil {
		return err
	}
	defer nodes.stop()
	registered, err := waitNodes(ctx, m, nodes.began, hollowNodes)
	if err != nil {
		return err
	}
	clients, err := kubernetes.NewForConfig(m.config)
	if err != nil {
		return err
	}
	const ns = "bench"
	if _, err := newNamespace(ctx, clients, ns); err != nil {
		return err
	}
	if _, err := createPods(ctx, m.config, ns, writers, hollowPods, somePod); err != nil {
		return err
	}
	m.stop()
	m, err = b.startMaster(ctx, data, append(flags, "--secure-port="+address)...)
	if err != nil {
		return err
	}
	began := time.Now() // the scheduler starts when the control plane is ready
	defer b.profile(m, "hollow")()
	binds, err := watchPods(ctx, m, ns, hollowPods, began, func(p *corev1.Pod) bool { return p.Spec.NodeName != "" }, isRunning)
	if err != nil {
		return err
	}
	b.add(row{what: fmt.Sprintf("%d simulated nodes in one process: all Ready after, memory (RSS)", hollowNodes),
		measured: ms(registered) + ", " + rssOf(nodes)})
	b.add(row{what: fmt.Sprintf("scheduling of %d pods onto %d nodes: binds/s", hollowPods, hollowNodes),
		measured: perSecond(rate(hollowPods, binds[0])), target: "2500/s", upstream: "217/s"})
	b.add(row{what: "… until all have been reported Running by their nodes", measured: ms(binds[1])})
	b.add(row{what: "… memory (RSS) of the control plane then", measured: rssOf(m.process)})
	return b.idle(ctx, m, ns)
}

func isRunning(p *corev1.Pod) bool { return p.Status.Phase == corev1.PodRunning }

// idle measures what the control plane takes when nobody wants anything, but all nodes are alive.
func (b *bench) idle(ctx context.Context, m *master, ns string) error {
	more := func(name string) *corev1.Pod { return somePod("more-" + name) }
	if _, err := createPods(ctx, m.config, ns, writers, idlePods-hollowPods, more); err != nil {
		return err
	}
	if _, err := watchPods(ctx, m, ns, idlePods, time.Now(), isRunning); err != nil {
		return err
	}
	pause := func(d time.Duration) {
		select {
		case <-ctx.Done():
		case <-time.After(d):
		}
	}
	pause(settling)
	before := cpu(m.cmd.Process.Pid)
	pause(quiet)
	used := cpu(m.cmd.Process.Pid) - before
	b.add(row{what: fmt.Sprintf("control plane with %d pods on %d nodes, nothing asked for: CPU over %s", idlePods, hollowNodes, quiet),
		measured: fmt.Sprintf("%.1f %% of a core", 100*used.Seconds()/quiet.Seconds())})
	return ctx.Err()
}

func rssOf(p *process) string {
	bytes, err := memory(p.cmd.Process.Pid, "VmRSS")
	if err != nil {
		return err.Error()
	}
	return mb(bytes)
}

// waitNodes returns how long after began all nodes were Ready.
func waitNodes(ctx context.Context, m *master, began time.Time, count int) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	clients, err := kubernetes.NewForConfig(m.config)
	if err != nil {
		return 0, err
	}
	w, err := clients.CoreV1().Nodes().Watch(ctx, metav1.ListOptions{ResourceVersion: "0"})
	if err != nil {
		return 0, err
	}
	defer w.Stop()
	ready := map[string]bool{}
	for e := range w.ResultChan() {
		if node, ok := e.Object.(*corev1.Node); ok && nodeReady(node) {
			if ready[node.Name] = true; len(ready) == count {
				return time.Since(began), nil
			}
		}
	}
	return 0, fmt.Errorf("only %d of %d nodes became Ready", len(ready), count)
}

func nodeReady(n *corev1.Node) bool {
	for _, c := range n.Status.Conditions {
		if c.Type == corev1.NodeReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// watchPods returns for each milestone how long after began the last of so many pods of the namespace
// reached it.
func watchPods(ctx context.Context, m *master, ns string, count int, began time.Time, milestones ...func(*corev1.Pod) bool) ([]time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	clients, err := kubernetes.NewForConfig(m.config)
	if err != nil {
		return nil, err
	}
	reached := make([]map[string]bool, len(milestones))
	for i := range reached {
		reached[i] = map[string]bool{}
	}
	took := make([]time.Duration, len(milestones))
	for ctx.Err() == nil {
		w, err := clients.CoreV1().Pods(ns).Watch(ctx, metav1.ListOptions{ResourceVersion: "0"})
		if err != nil {
			return nil, err
		}
		for e := range w.ResultChan() {
			pod, ok := e.Object.(*corev1.Pod)
			if !ok || e.Type == watch.Deleted {
				continue
			}
			for i, done := range milestones {
				if !reached[i][pod.Name] && done(pod) {
					if reached[i][pod.Name] = true; len(reached[i]) == count {
						took[i] = time.Since(began)
					}
				}
			}
			if len(reached[len(reached)-1]) == count {
				w.Stop()
				return took, nil
			}
		}
	}
	return nil, fmt.Errorf("of %d pods only %d came so far", count, len(reached[0]))
}
