package main

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
)

// coldRounds is how often the control plane is started, each time with no data at all.
const coldRounds = 5

// idleFor is how long a control plane that nobody uses is left alone before it is weighed.
const idleFor = 5 * time.Second

// coldStart starts control planes, and etcds alone in turn.
func (b *bench) coldStart(ctx context.Context) error {
	var ready, scheduled, etcdReady []time.Duration
	for i := range coldRounds {
		peer, err := b.startEtcd()
		if err != nil {
			return err
		}
		etcdReady = append(etcdReady, peer.ready)
		peer.stop()
		m, err := b.startMaster(ctx, fmt.Sprintf("%s/cold-%d", b.dir, i))
		if err != nil {
			return err
		}
		ready = append(ready, time.Since(m.began))
		err = scheduleOne(ctx, m)
		scheduled = append(scheduled, time.Since(m.began))
		m.stop()
		if err != nil {
			return err
		}
	}
	b.add(row{what: "cold start of the control plane: process start → /readyz", measured: ms(median(ready)),
		limit: "etcd alone, to its first write: " + ms(median(etcdReady))})
	b.add(row{what: "… → first pod scheduled", measured: ms(median(scheduled)), target: "500 ms", upstream: "8600 ms"})
	return b.weighIdle(ctx)
}

// scheduleOne makes a node and a pod and returns when the pod has been given to the node.
func scheduleOne(ctx context.Context, m *master) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	clients, err := kubernetes.NewForConfig(m.config)
	if err != nil {
		return err
	}
	if _, err := clients.CoreV1().Nodes().Create(ctx, readyNode(), metav1.CreateOptions{}); err != nil {
		return err
	}
	pods := clients.CoreV1().Pods(metav1.NamespaceDefault)
	for {
		// The namespace and its account are made by the control plane as it starts.
		pod, err := pods.Create(ctx, somePod("first"), metav1.CreateOptions{})
		if apierrors.IsNotFound(err) || apierrors.IsForbidden(err) {
			time.Sleep(time.Millisecond)
			continue
		}
		if err != nil {
			return err
		}
		w, err := pods.Watch(ctx, metav1.ListOptions{ResourceVersion: pod.ResourceVersion})
		if err != nil {
			return err
		}
		return until(w, func(p *corev1.Pod) bool { return p.Spec.NodeName != "" })
	}
}

// until reads pods from a watch until one is as wanted.
func until(w watch.Interface, wanted func(*corev1.Pod) bool) error {
	defer w.Stop()
	for e := range w.ResultChan() {
		if pod, ok := e.Object.(*corev1.Pod); ok && e.Type != watch.Deleted && wanted(pod) {
			return nil
		}
	}
	return fmt.Errorf("the watch ended before it showed what was waited for")
}

func readyNode() *corev1.Node {
	has := corev1.ResourceList{
		corev1.ResourceCPU: resource.MustParse("4"), corev1.ResourceMemory: resource.MustParse("8Gi"), corev1.ResourcePods: resource.MustParse("110"),
	}
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: "bench"},
		Status: corev1.NodeStatus{Capacity: has, Allocatable: has, Conditions: []corev1.NodeCondition{{
			Type: corev1.NodeReady, Status: corev1.ConditionTrue, Reason: "KubeletReady",
			LastHeartbeatTime: metav1.Now(), LastTransitionTime: metav1.Now(),
		}}},
	}
}

// weighIdle measures the memory of a control plane that has been left alone.
func (b *bench) weighIdle(ctx context.Context) error {
	m, err := b.startMaster(ctx, b.dir+"/idle")
	if err != nil {
		return err
	}
	defer m.stop()
	peer, err := b.startEtcd()
	if err != nil {
		return err
	}
	defer peer.stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(idleFor):
	}
	all, err := memory(m.cmd.Process.Pid, "VmRSS")
	if err != nil {
		return err
	}
	etcd, err := memory(peer.cmd.Process.Pid, "VmRSS")
	b.add(row{what: "memory (RSS) of the whole control plane, idle", measured: mb(all), limit: "etcd alone: " + mb(etcd), target: "80 MB", upstream: "476 MB"})
	return err
}
