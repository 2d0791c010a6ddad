package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/miniorch/miniorch/cli/cluster"
)

const (
	singlePods    = 30
	replicas      = 30
	replicaRounds = 3
)

// realPods measures containers on a cluster of one master and one node, in turns with a
// containerd that nobody else uses.
func (b *bench) realPods(ctx context.Context) (err error) {
	if os.Geteuid() != 0 {
		return errors.New("containers need root")
	}
	// Its state is where `miniorchctl cluster down --name bench` finds it if all else fails.
	config := cluster.Config{
		Name: "bench", Nodes: 1, BinDir: b.bin, ImageDir: filepath.Join(b.bin, "images"),
		Kubeconfig: filepath.Join(b.dir, "kubeconfig"),
	}
	progress := cluster.NewProgress(io.Discard)
	if err := cluster.Down(ctx, config, false, progress); err != nil { // what an interrupted run left
		return err
	}
	defer func() { err = errors.Join(err, cluster.Down(context.WithoutCancel(ctx), config, false, progress)) }()
	if _, err := cluster.Up(ctx, config, progress); err != nil {
		return err
	}
	c, err := clientcmd.BuildConfigFromFlags("", config.Kubeconfig)
	if err != nil {
		return err
	}
	clients, err := kubernetes.NewForConfig(plain(c))
	if err != nil {
		return err
	}
	peer, err := b.startContainerd(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, peer.close()) }()
	if err := b.onePodAtATime(ctx, clients, peer); err != nil {
		return err
	}
	return b.deployments(ctx, clients, peer)
}

func (b *bench) onePodAtATime(ctx context.Context, clients kubernetes.Interface, peer *containerd) error {
	var pods, plain []time.Duration
	for i := range singlePods + 1 {
		direct, err := peer.startOne(ctx, fmt.Sprintf("one-%d", i))
		if err != nil {
			return err
		}
		took, err := startPod(ctx, clients, fmt.Sprintf("one-%d", i))
		if err != nil {
			return err
		}
		if i > 0 { // the first ones warm both up
			pods, plain = append(pods, took), append(plain, direct)
		}
	}
	b.add(row{
		what:     fmt.Sprintf("pod create → Running, of %d: p50, p99", singlePods),
		measured: ms(percentile(pods, 50)) + ", " + ms(percentile(pods, 99)),
		limit:    "containerd alone: " + ms(percentile(plain, 50)) + ", " + ms(percentile(plain, 99)),
		target:   "containerd + 60 ms", upstream: "500 ms, 700-1700 ms",
	})
	return nil
}

// startOne starts a container, takes the time, and removes it.
func (c *containerd) startOne(ctx context.Context, id string) (time.Duration, error) {
	took, remove, err := c.run(ctx, id)
	if remove != nil {
		err = errors.Join(err, remove())
	}
	return took, err
}

// startPod makes a pod, returns how long it took until the API said that it runs, and
// removes it.
func startPod(ctx context.Context, clients kubernetes.Interface, name string) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	pods := clients.CoreV1().Pods(metav1.NamespaceDefault)
	w, err := pods.Watch(ctx, metav1.ListOptions{FieldSelector: "metadata.name=" + name})
	if err != nil {
		return 0, err
	}
	began := time.Now()
	if _, err := pods.Create(ctx, somePod(name), metav1.CreateOptions{}); err != nil {
		w.Stop()
		return 0, err
	}
	if err := until(w, func(p *corev1.Pod) bool { return p.Status.Phase == corev1.PodRunning }); err != nil {
		return 0, err
	}
	took := time.Since(began)
	if err := pods.Delete(ctx, name, metav1.DeleteOptions{}); err != nil {
		return 0, err
	}
	return took, waitGone(ctx, clients, "metadata.name="+name, "")
}

// waitGone returns when no selected pod is left.
func waitGone(ctx context.Context, clients kubernetes.Interface, fields, labels string) error {
	for {
		list, err := clients.CoreV1().Pods(metav1.NamespaceDefault).List(ctx, metav1.ListOptions{FieldSelector: fields, LabelSelector: labels})
		if err != nil || len(list.Items) == 0 {
			return err
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// deployments measures replicas that start together.
func (b *bench) deployments(ctx context.Context, clients kubernetes.Interface, peer *containerd) error {
	var ours, plain []time.Duration
	var ratios []float64
	for i := range replicaRounds {
		direct, err := peer.startTogether(ctx, replicas)
		if err != nil {
			return err
		}
		took, err := startDeployment(ctx, clients, fmt.Sprintf("many-%d", i))
		if err != nil {
			return err
		}
		ours, plain = append(ours, took), append(plain, direct)
		ratios = append(ratios, took.Seconds()/direct.Seconds())
	}
	b.add(row{
		what:     fmt.Sprintf("Deployment of %d replicas → all Ready, median of %d", replicas, replicaRounds),
		measured: fmt.Sprintf("%s (%.2f ×)", ms(median(ours)), median(ratios)),
		limit:    fmt.Sprintf("%d containers by containerd alone: %s", replicas, ms(median(plain))),
		target:   "1.3 × containerd", upstream: "8-12 s",
	})
	return nil
}

// startTogether starts n containers at once, takes the time until the last runs, and
// removes them.
func (c *containerd) startTogether(ctx context.Context, n int) (time.Duration, error) {
	failed := make([]error, n)
	removes := make([]func() error, n)
	var all sync.WaitGroup
	began := time.Now()
	for i := range n {
		all.Go(func() { _, removes[i], failed[i] = c.run(ctx, fmt.Sprintf("many-%d", i)) })
	}
	all.Wait()
	took := time.Since(began)
	for i, remove := range removes {
		if remove != nil {
			all.Go(func() { failed[i] = errors.Join(failed[i], remove()) })
		}
	}
	all.Wait()
	return took, errors.Join(failed...)
}

func startDeployment(ctx context.Context, clients kubernetes.Interface, name string) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	count := int32(replicas)
	labels := map[string]string{"app": name}
	pod := somePod("")
	pod.Labels = labels
	d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: appsv1.DeploymentSpec{
		Replicas: &count, Selector: &metav1.LabelSelector{MatchLabels: labels},
		Template: corev1.PodTemplateSpec{ObjectMeta: pod.ObjectMeta, Spec: pod.Spec},
	}}
	deployments := clients.AppsV1().Deployments(metav1.NamespaceDefault)
	w, err := deployments.Watch(ctx, metav1.ListOptions{FieldSelector: "metadata.name=" + name})
	if err != nil {
		return 0, err
	}
	defer w.Stop()
	began := time.Now()
	if _, err := deployments.Create(ctx, d, metav1.CreateOptions{}); err != nil {
		return 0, err
	}
	if !allReady(w) {
		return 0, fmt.Errorf("deployment %s: not all replicas became Ready", name)
	}
	took := time.Since(began)
	background := metav1.DeletePropagationBackground
	if err := deployments.Delete(ctx, name, metav1.DeleteOptions{PropagationPolicy: &background}); err != nil {
		return 0, err
	}
	return took, waitGone(ctx, clients, "", "app="+name)
}

func allReady(w watch.Interface) bool {
	for e := range w.ResultChan() {
		if d, ok := e.Object.(*appsv1.Deployment); ok && d.Status.ReadyReplicas == replicas {
			return true
		}
	}
	return false
}
