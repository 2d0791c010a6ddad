package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	corev1apply "k8s.io/client-go/applyconfigurations/core/v1"
	"k8s.io/client-go/kubernetes"
)

// crowds are how many writers change objects at the same time, and how many changes they make.
var crowds = []struct{ writers, count int }{{1, 400}, {16, 2_000}, {64, 2_000}}

// changeFunc changes one pod, for the n-th time in this run.
type changeFunc func(ctx context.Context, c kubernetes.Interface, ns, name string, n int64) error

// changes are the ways to read one object, and to write to what exists: each adds a label of
// its own.
var changes = []struct {
	what string
	do   changeFunc
}{
	{"GETs", func(ctx context.Context, c kubernetes.Interface, ns, name string, _ int64) error {
		_, err := c.CoreV1().Pods(ns).Get(ctx, name, metav1.GetOptions{})
		return err
	}},
	{"updates (GET, then PUT)", func(ctx context.Context, c kubernetes.Interface, ns, name string, n int64) error {
		pod, err := c.CoreV1().Pods(ns).Get(ctx, name, metav1.GetOptions{ResourceVersion: "0"})
		if err != nil {
			return err
		}
		pod.ResourceVersion = "" // unconditional: a cache that lags by some milliseconds is no failure
		pod.Labels["updated"] = fmt.Sprint(n)
		_, err = c.CoreV1().Pods(ns).Update(ctx, pod, metav1.UpdateOptions{})
		return err
	}},
	{"merge patches", func(ctx context.Context, c kubernetes.Interface, ns, name string, n int64) error {
		patch := fmt.Appendf(nil, `{"metadata":{"labels":{"merged":"%d"}}}`, n)
		_, err := c.CoreV1().Pods(ns).Patch(ctx, name, types.MergePatchType, patch, metav1.PatchOptions{})
		return err
	}},
	{"strategic merge patches", func(ctx context.Context, c kubernetes.Interface, ns, name string, n int64) error {
		patch := fmt.Appendf(nil, `{"metadata":{"labels":{"patched":"%d"}}}`, n)
		_, err := c.CoreV1().Pods(ns).Patch(ctx, name, types.StrategicMergePatchType, patch, metav1.PatchOptions{})
		return err
	}},
	{"server-side applies", func(ctx context.Context, c kubernetes.Interface, ns, name string, n int64) error {
		wish := corev1apply.Pod(name, ns).WithLabels(map[string]string{"applied": fmt.Sprint(n)})
		_, err := c.CoreV1().Pods(ns).Apply(ctx, wish, metav1.ApplyOptions{FieldManager: "bench", Force: true})
		return err
	}},
}

// changes measures reads of and writes to the pods of a namespace, of which there are so many.
func (r *apiRun) changes(ctx context.Context, ns string, pods int) error {
	etcd, err := r.etcdChanges(pods)
	if err != nil {
		return err
	}
	for _, change := range changes {
		line := row{what: "pod " + change.what + " over HTTP, by ", limit: etcd}
		if change.what == "GETs" {
			line.limit = ""
		}
		for i, crowd := range crowds {
			used := r.cpu()
			done, err := r.change(ctx, ns, pods, crowd.writers, crowd.count, change.do)
			if err != nil {
				return fmt.Errorf("%s: %w", change.what, err)
			}
			used = r.cpu() - used
			comma := ", "
			if i == 0 {
				comma = ""
			}
			line.what += fmt.Sprintf("%s%d", comma, crowd.writers)
			line.measured += comma + perSecond(done.rate)
			if r.own != nil {
				line.measured += fmt.Sprintf(" (%d µs)", used.Microseconds()/int64(crowd.count))
			}
		}
		line.what += " clients: rate (CPU each)"
		r.b.add(line)
	}
	return nil
}

// etcdChanges is the rate at which etcd alone changes what exists.
func (r *apiRun) etcdChanges(keys int) (string, error) {
	if r.etcd == nil {
		return "", nil
	}
	if _, err := r.etcd.write(etcdRequest{Writers: writers, Count: keys}); err != nil {
		return "", err
	}
	var rates []string
	for _, crowd := range crowds {
		done, err := r.etcd.write(etcdRequest{Writers: crowd.writers, Count: crowd.count, Changes: true})
		if err != nil {
			return "", err
		}
		rates = append(rates, perSecond(done.rate))
	}
	return "etcd alone: " + strings.Join(rates, ", "), nil
}

func (r *apiRun) change(ctx context.Context, ns string, pods, writers, count int, do changeFunc) (creates, error) {
	failed := make([]error, writers)
	latency := make([]time.Duration, count)
	var clients []kubernetes.Interface
	for range writers {
		client, done, err := separate(r.config)
		if err != nil {
			return creates{}, err
		}
		defer done()
		if _, err := client.CoreV1().Namespaces().Get(ctx, ns, metav1.GetOptions{}); err != nil { // connects
			return creates{}, err
		}
		clients = append(clients, client)
	}
	var next atomic.Int64
	var all sync.WaitGroup
	began := time.Now()
	for w, client := range clients {
		all.Go(func() {
			for i := next.Add(1) - 1; i < int64(count); i = next.Add(1) - 1 {
				start := time.Now()
				if err := do(ctx, client, ns, fmt.Sprintf("pod-%d", i%int64(pods)), began.UnixNano()+i); err != nil {
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
