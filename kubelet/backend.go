package kubelet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"strconv"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/miniorch/miniorch/kubelet/container"
)

// This file is what the kubelet's server asks for: see server.Backend.

// Pods lists the pods that are bound to this node.
func (k *Kubelet) Pods() []*corev1.Pod { return k.pods.List("", nil) }

// ContainerID finds a running container.
func (k *Kubelet) ContainerID(ns, name, containerName string) (string, error) {
	latest, _, err := k.instances(ns, name, containerName)
	if err != nil {
		return "", err
	}
	if latest == nil || latest.State != container.StateRunning {
		return "", apierrors.NewBadRequest(fmt.Sprintf("container %q in pod %q is not running", containerName, name))
	}
	return latest.ID, nil
}

// Exec runs a command in a container.
func (k *Kubelet) Exec(ctx context.Context, id string, req container.ExecRequest) (int, error) {
	return k.parts.Runtime.Exec(ctx, id, req)
}

// Attach joins the streams of a container's own process.
func (k *Kubelet) Attach(ctx context.Context, id string, req container.AttachRequest) error {
	return k.parts.Runtime.Attach(ctx, id, req)
}

// CheckPod fails unless the pod has a network that can be dialled into.
func (k *Kubelet) CheckPod(ns, name string) error {
	_, err := k.dialable(ns, name)
	return err
}

func (k *Kubelet) dialable(ns, name string) (*corev1.Pod, error) {
	pod, ok := k.pods.Get(ns, name)
	if !ok {
		return nil, apierrors.NewNotFound(corev1.Resource("pods"), name)
	}
	if len(k.seen.of(pod.UID)) == 0 {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("pod %q has no container yet", name))
	}
	return pod, nil
}

// DialPod connects to a port of a pod from inside its network, at its address or, with
// loopback, at 127.0.0.1 and else ::1.
func (k *Kubelet) DialPod(ctx context.Context, ns, name string, port uint16, loopback bool) (net.Conn, error) {
	pod, err := k.dialable(ns, name)
	if err != nil {
		return nil, err
	}
	hosts := []string{"127.0.0.1", "::1"}
	if !loopback {
		// A status may have been made to say anything. Dialled from inside the pod it leads
		// nowhere that the pod itself cannot go.
		if hosts = []string{pod.Status.PodIP}; pod.Spec.HostNetwork {
			hosts = []string{k.cfg.NodeIP}
		}
		if hosts[0] == "" {
			return nil, apierrors.NewServiceUnavailable(fmt.Sprintf("pod %q has no address", name))
		}
	}
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	var failures []error
	for _, host := range hosts {
		conn, err := k.parts.Network.Dial(ctx, pod.UID, pod.Spec.HostNetwork, net.JoinHostPort(host, strconv.Itoa(int(port))))
		if err == nil {
			return conn, nil
		}
		failures = append(failures, err)
	}
	return nil, apierrors.NewServiceUnavailable(failures[0].Error())
}

// dialTimeout bounds a connection to a pod, which is never far.
const dialTimeout = 10 * time.Second

// ContainerLog writes a container's log as opts ask; following ends with the container.
func (k *Kubelet) ContainerLog(ctx context.Context, ns, name, containerName string, opts *corev1.PodLogOptions, w io.Writer) error {
	latest, previous, err := k.instances(ns, name, containerName)
	if err != nil {
		return err
	}
	which := latest
	if opts.Previous {
		if which = previous; which == nil {
			return apierrors.NewBadRequest(fmt.Sprintf("previous terminated container %q in pod %q not found", containerName, name))
		}
	}
	if which == nil {
		return apierrors.NewBadRequest(fmt.Sprintf("container %q in pod %q is waiting to start: %s", containerName, name, k.waitingReason(ns, name, containerName)))
	}
	exited := make(chan struct{})
	var watching sync.WaitGroup
	defer watching.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	switch {
	case opts.Follow:
		watching.Go(func() { k.closeOnExit(ctx, which.ID, exited) })
	case which.State == container.StateExited:
		close(exited)
	}
	err = k.parts.Logs.Read(ctx, which.LogPath, opts, exited, w)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // started a moment ago: nothing was written yet
	}
	return err
}

// closeOnExit closes exited once the container has ended or is gone.
func (k *Kubelet) closeOnExit(ctx context.Context, id string, exited chan struct{}) {
	defer close(exited)
	for {
		c, changed := k.seen.watch(id)
		if c.State == container.StateExited || c.ID == "" {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

// instances finds the newest instance of a container, and the newest one that has ended
// before it.
func (k *Kubelet) instances(ns, name, containerName string) (latest, previous *container.Container, err error) {
	pod, ok := k.pods.Get(ns, name)
	if !ok {
		return nil, nil, apierrors.NewNotFound(corev1.Resource("pods"), name)
	}
	if containerOf(pod, containerName) == nil {
		return nil, nil, apierrors.NewBadRequest(fmt.Sprintf("container %s is not valid for pod %s", containerName, name))
	}
	for _, c := range k.seen.of(pod.UID) {
		if c.Name != containerName || c.State == container.StateCreated {
			continue
		}
		switch {
		case latest == nil || c.RestartCount > latest.RestartCount:
			latest, previous = &c, latest
		case previous == nil || c.RestartCount > previous.RestartCount:
			previous = &c
		}
	}
	return latest, previous, nil
}

func (k *Kubelet) waitingReason(ns, name, containerName string) string {
	if pod, ok := k.pods.Get(ns, name); ok {
		for _, list := range [][]corev1.ContainerStatus{pod.Status.ContainerStatuses, pod.Status.InitContainerStatuses, pod.Status.EphemeralContainerStatuses} {
			for _, s := range list {
				if s.Name == containerName && s.State.Waiting != nil {
					return s.State.Waiting.Reason
				}
			}
		}
	}
	return "ContainerCreating"
}
