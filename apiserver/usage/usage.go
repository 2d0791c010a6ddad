// Package usage knows what nodes and pods use: it asks every node now and then for its
// counters, and makes rates of the last two answers. It keeps no history, and is what
// metrics.k8s.io shows.
package usage

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metricsv1beta1 "k8s.io/metrics/pkg/apis/metrics/v1beta1"
	"k8s.io/utils/clock"
)

const (
	patience = 10 * time.Second // with one answer
	atOnce   = 16               // nodes that are asked at a time
	maxText  = 16 << 20         // bytes of one answer
)

// Cluster is what must be known to ask, and to show the answers.
type Cluster interface {
	// Nodes lists all nodes.
	Nodes(ctx context.Context) ([]*corev1.Node, error)
	// Pod returns a pod, nil if there is none.
	Pod(ctx context.Context, ns, name string) *corev1.Pod
	// Counters opens a node's answer, in the text format of /metrics/resource.
	Counters(ctx context.Context, node *corev1.Node) (io.ReadCloser, error)
}

// Watcher asks the nodes.
type Watcher struct {
	cluster Cluster
	period  time.Duration // between two questions to a node
	clock   clock.WithTicker
	log     *slog.Logger

	mu    sync.RWMutex
	nodes map[string]pair // guarded by mu
}

// pair is a node's last two answers.
type pair struct {
	old, now reading
	failed   bool // the last question had no answer
}

// New returns a watcher that has not started and will ask once in a period.
func New(c Cluster, period time.Duration, clk clock.WithTicker, log *slog.Logger) *Watcher {
	return &Watcher{cluster: c, period: period, clock: clk, log: log, nodes: map[string]pair{}}
}

// Run asks until ctx ends.
func (w *Watcher) Run(ctx context.Context) error {
	ticker := w.clock.NewTicker(w.period)
	defer ticker.Stop()
	for {
		w.round(ctx)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C():
		}
	}
}

// round asks every node once. Nodes whose agent says that it listens nowhere are left out.
func (w *Watcher) round(ctx context.Context) {
	nodes, err := w.cluster.Nodes(ctx)
	if err != nil {
		w.log.Warn("cannot list the nodes to ask what they use", "error", err)
		return
	}
	there := make(map[string]bool, len(nodes))
	asking := errgroup.Group{}
	asking.SetLimit(atOnce)
	for _, n := range nodes {
		if n.Status.DaemonEndpoints.KubeletEndpoint.Port == 0 {
			continue
		}
		there[n.Name] = true
		asking.Go(func() error {
			r, err := w.ask(ctx, n)
			w.note(n.Name, r, err)
			return nil
		})
	}
	_ = asking.Wait() // none fails
	w.mu.Lock()
	defer w.mu.Unlock()
	for name := range w.nodes {
		if !there[name] {
			delete(w.nodes, name)
		}
	}
}

func (w *Watcher) ask(ctx context.Context, n *corev1.Node) (reading, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	answer, err := w.cluster.Counters(ctx, n)
	if err != nil {
		return reading{}, err
	}
	defer answer.Close()
	return read(io.LimitReader(answer, maxText), w.clock.Now())
}

// note keeps an answer. A node that does not answer has used nothing that we know of; that is
// logged once, not in every round.
func (w *Watcher) note(node string, r reading, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	was := w.nodes[node]
	if err != nil {
		if !was.failed {
			w.log.Info("a node does not tell what it uses", "node", node, "error", err)
		}
		w.nodes[node] = pair{failed: true}
		return
	}
	w.nodes[node] = pair{old: was.now, now: r}
}

// Nodes returns what each node uses, for those that have told it twice.
func (w *Watcher) Nodes(ctx context.Context) ([]*metricsv1beta1.NodeMetrics, error) {
	nodes, err := w.cluster.Nodes(ctx)
	if err != nil {
		return nil, fmt.Errorf("listing the nodes: %w", err)
	}
	w.mu.RLock()
	defer w.mu.RUnlock()
	var out []*metricsv1beta1.NodeMetrics
	for _, n := range nodes {
		p := w.nodes[n.Name]
		if use, window, ok := between(p.old.node, p.now.node); ok {
			out = append(out, &metricsv1beta1.NodeMetrics{
				ObjectMeta: metav1.ObjectMeta{Name: n.Name, Labels: n.Labels, CreationTimestamp: metav1.NewTime(p.now.node.at)},
				Timestamp:  metav1.NewTime(p.now.node.at), Window: metav1.Duration{Duration: window}, Usage: use,
			})
		}
	}
	return out, nil
}

// Pods returns what the pods of a namespace use (empty: of all), in the order of their names.
func (w *Watcher) Pods(ctx context.Context, ns string) []*metricsv1beta1.PodMetrics {
	type podName struct{ ns, name string }
	found := map[podName]*metricsv1beta1.PodMetrics{}
	w.mu.RLock()
	for _, p := range w.nodes {
		for id, now := range p.now.containers {
			if ns != "" && id.namespace != ns {
				continue
			}
			use, window, ok := between(p.old.containers[id], now)
			if !ok {
				continue
			}
			key := podName{id.namespace, id.pod}
			m := found[key]
			if m == nil {
				m = &metricsv1beta1.PodMetrics{ObjectMeta: metav1.ObjectMeta{Namespace: id.namespace, Name: id.pod, CreationTimestamp: metav1.NewTime(now.at)}, Timestamp: metav1.NewTime(now.at), Window: metav1.Duration{Duration: window}}
				found[key] = m
			}
			m.Containers = append(m.Containers, metricsv1beta1.ContainerMetrics{Name: id.container, Usage: use})
		}
	}
	w.mu.RUnlock()
	var out []*metricsv1beta1.PodMetrics
	for key, m := range found {
		pod := w.cluster.Pod(ctx, key.ns, key.name)
		if pod == nil {
			continue // it is gone, its counters are not yet
		}
		m.Labels = pod.Labels
		slices.SortFunc(m.Containers, func(a, b metricsv1beta1.ContainerMetrics) int { return strings.Compare(a.Name, b.Name) })
		out = append(out, m)
	}
	slices.SortFunc(out, func(a, b *metricsv1beta1.PodMetrics) int {
		return cmp.Or(strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Name, b.Name))
	})
	return out
}
