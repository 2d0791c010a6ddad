package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// Sizes of the API's measurement.
const (
	alone      = 1_000 // objects that one writer makes
	together   = 5_000 // pods that many writers make, and that a LIST then returns
	writers    = 16
	many       = 64
	rounds     = 3
	listRounds = 9
	podValue   = 700 // bytes of such a pod in the store, nearly
)

// plain is a config as any Kubernetes client may have it, without its own brake.
func plain(c *rest.Config) *rest.Config {
	c = rest.CopyConfig(c)
	c.QPS, c.UserAgent, c.WarningHandler = -1, "miniorch-bench", rest.NoWarnings{}
	c.ContentType = runtime.ContentTypeProtobuf
	c.AcceptContentTypes = runtime.ContentTypeProtobuf
	c.DisableCompression = true
	return c
}

// separate returns a client with connections of its own, as a client in another process has.
func separate(c *rest.Config) (kubernetes.Interface, func(), error) {
	tls, err := rest.TLSConfigFor(c)
	if err != nil {
		return nil, nil, err
	}
	transport := &http.Transport{TLSClientConfig: tls, ForceAttemptHTTP2: true, DisableCompression: true}
	wrapped, err := rest.HTTPWrappersForConfig(c, transport)
	if err != nil {
		return nil, nil, err
	}
	clients, err := kubernetes.NewForConfigAndClient(c, &http.Client{Transport: wrapped})
	return clients, transport.CloseIdleConnections, err
}

// apiPod is a pod that no scheduler looks at: what is measured is the API alone.
func apiPod(name string) *corev1.Pod {
	pod := somePod(name)
	pod.Spec.SchedulerName = "nobody"
	pod.Labels["hundredth"] = strings.TrimLeft(name[max(0, len(name)-2):], "-")
	return pod
}

// somePod is an ordinary small pod.
func somePod(name string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"app": "bench"}},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{
			Name: "main", Image: "docker.io/library/busybox:latest", Command: []string{"sleep", "3600"},
			ImagePullPolicy: corev1.PullIfNotPresent,
			Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{
				corev1.ResourceCPU: resource.MustParse("10m"), corev1.ResourceMemory: resource.MustParse("16Mi"),
			}},
		}}, TerminationGracePeriodSeconds: new(int64)},
	}
}

// creates is what some writers did.
type creates struct {
	rate    float64
	latency []time.Duration
}

// createPods has n writers make count pods as fast as they can, one after the other each.
func createPods(ctx context.Context, c *rest.Config, ns string, n, count int, pod func(name string) *corev1.Pod) (creates, error) {
	var clients []kubernetes.Interface
	for range n {
		client, done, err := separate(c)
		if err != nil {
			return creates{}, err
		}
		defer done()
		if _, err := client.CoreV1().Namespaces().Get(ctx, ns, metav1.GetOptions{}); err != nil { // connects
			return creates{}, err
		}
		clients = append(clients, client)
	}
	latency := make([]time.Duration, count)
	failed := make([]error, n)
	var next atomic.Int64
	var all sync.WaitGroup
	began := time.Now()
	for w, client := range clients {
		all.Go(func() {
			for i := next.Add(1) - 1; i < int64(count); i = next.Add(1) - 1 {
				start := time.Now()
				if _, err := client.CoreV1().Pods(ns).Create(ctx, pod(fmt.Sprintf("pod-%d", i)), metav1.CreateOptions{}); err != nil {
					failed[w] = err
					return
				}
				latency[i] = time.Since(start)
			}
		})
	}
	all.Wait()
	return creates{rate: rate(count, time.Since(began)), latency: latency}, errors.Join(failed...)
}

// newNamespace makes a namespace that is ready for pods; drop empties and removes it.
func newNamespace(ctx context.Context, clients kubernetes.Interface, name string) (drop func(), err error) {
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
	if _, err := clients.CoreV1().Namespaces().Create(ctx, ns, metav1.CreateOptions{}); err != nil {
		return nil, err
	}
	drop = func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		now := metav1.DeleteOptions{GracePeriodSeconds: new(int64)}
		_ = clients.CoreV1().Pods(name).DeleteCollection(ctx, now, metav1.ListOptions{})
		_ = clients.CoreV1().Namespaces().Delete(ctx, name, metav1.DeleteOptions{})
	}
	// Kubernetes takes pods only once there is the account that they run under.
	for range 500 {
		if _, err = clients.CoreV1().ServiceAccounts(name).Get(ctx, "default", metav1.GetOptions{}); err == nil {
			return drop, nil
		}
		select {
		case <-ctx.Done():
		case <-time.After(20 * time.Millisecond):
		}
	}
	drop()
	return nil, fmt.Errorf("namespace %s gets no service account: %w", name, err)
}

// apiRun is one measurement of an API server.
type apiRun struct {
	b       *bench
	config  *rest.Config
	clients kubernetes.Interface
	base    string  // of the names of its namespaces
	own     *master // nil for a foreign server
	etcd    *etcdPeer
	echo    *echoPeer
	drops   []func()
}

// foreignAPI measures the API server of the kubeconfig, and removes what it made there.
func (b *bench) foreignAPI(ctx context.Context) error {
	c, err := clientcmd.BuildConfigFromFlags("", b.kubeconfig)
	if err != nil {
		return err
	}
	r := &apiRun{b: b, config: plain(c)}
	defer func() {
		for _, drop := range r.drops {
			drop()
		}
	}()
	return r.run(ctx)
}

// ownAPI measures a control plane of our own, and its memory afterwards.
func (b *bench) ownAPI(ctx context.Context) error {
	m, err := b.startMaster(ctx, b.dir+"/api")
	if err != nil {
		return err
	}
	defer m.stop()
	defer b.profile(m, "api")()
	r := &apiRun{b: b, config: m.config, own: m}
	if r.etcd, err = b.startEtcd(); err != nil {
		return err
	}
	defer r.etcd.stop()
	if err := r.run(ctx); err != nil {
		return err
	}
	now, err := memory(m.cmd.Process.Pid, "VmRSS")
	if err != nil {
		return err
	}
	most, err := memory(m.cmd.Process.Pid, "VmHWM")
	if err != nil {
		return err
	}
	etcd, err := memory(r.etcd.cmd.Process.Pid, "VmHWM")
	pods := int64((rounds+1)*together + alone)
	b.add(row{what: fmt.Sprintf("memory (RSS) of the control plane after all this, with %d pods: now, at most", pods),
		measured: mb(now) + ", " + mb(most), limit: "etcd alone, at most: " + mb(etcd)})
	return err
}

func (r *apiRun) run(ctx context.Context) (err error) {
	if r.clients, err = kubernetes.NewForConfig(r.config); err != nil {
		return err
	}
	r.base = fmt.Sprintf("bench-%d", time.Now().Unix())
	r.echo = startEcho()
	defer r.echo.stop()
	if err := r.creates(ctx, "pod creates over HTTP, 1 writer", 1, alone, 1, "", ""); err != nil {
		return err
	}
	if err := r.creates(ctx, fmt.Sprintf("pod creates over HTTP, %d writers", writers), writers, together, rounds, "4000/s", "600/s"); err != nil {
		return err
	}
	if err := r.creates(ctx, fmt.Sprintf("pod creates over HTTP, %d writers", many), many, together, 1, "", ""); err != nil {
		return err
	}
	if err := r.changes(ctx, r.namespace(writers, 1), together); err != nil {
		return err
	}
	return r.b.lists(ctx, r.config, r.namespace(writers, 0))
}

func (r *apiRun) namespace(n, round int) string { return fmt.Sprintf("%s-%d-%d", r.base, n, round) }

// creates measures the API server, an HTTP server without anything behind it and an etcd
// without anything before it, in turns.
func (r *apiRun) creates(ctx context.Context, what string, n, count, rounds int, target, upstream string) error {
	var ours, echo, etcd []creates
	var used time.Duration
	for i := range rounds {
		ns := r.namespace(n, i)
		drop, err := newNamespace(ctx, r.clients, ns)
		if err != nil {
			return err
		}
		r.drops = append(r.drops, drop)
		before := r.cpu()
		if ours, err = add(ours)(createPods(ctx, r.config, ns, n, count, apiPod)); err != nil {
			return err
		}
		used += r.cpu() - before
		if echo, err = add(echo)(createPods(ctx, r.echo.config, ns, n, count, apiPod)); err != nil {
			return err
		}
		if r.etcd == nil {
			continue
		}
		if etcd, err = add(etcd)(r.etcd.write(etcdRequest{Writers: n, Count: count})); err != nil {
			return err
		}
	}
	line := row{what: what + ": rate, p50, p99", measured: middle(ours), target: target, upstream: upstream,
		limit: "HTTP alone: " + middle(echo)}
	if r.own != nil {
		line.measured += fmt.Sprintf("; %d µs of CPU each", used.Microseconds()/int64(rounds*count))
		line.limit += "; etcd alone: " + middle(etcd)
	}
	r.b.add(line)
	return nil
}

func (r *apiRun) cpu() time.Duration {
	if r.own == nil {
		return 0
	}
	return cpu(r.own.cmd.Process.Pid)
}

func add(all []creates) func(creates, error) ([]creates, error) {
	return func(c creates, err error) ([]creates, error) { return append(all, c), err }
}

// middle is the median rate of the rounds, and percentiles over all of them.
func middle(all []creates) string {
	var rates []float64
	var latency []time.Duration
	for _, c := range all {
		rates = append(rates, c.rate)
		latency = append(latency, c.latency...)
	}
	return fmt.Sprintf("%s, %s, %s", perSecond(median(rates)), ms(percentile(latency, 50)), ms(percentile(latency, 99)))
}
