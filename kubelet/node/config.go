// Package node keeps the Node object of this machine: it registers it, renews its Lease,
// and reports capacity, conditions and images. It refuses to speak for a node whose name
// its credentials do not carry.
package node

import (
	"context"
	"log/slog"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/clock"

	"github.com/miniorch/miniorch/kubelet/container"
)

// Config describes the machine.
type Config struct {
	Name   string
	IPs    []string // internal addresses, primary first
	Labels map[string]string
	Taints []corev1.Taint // set at registration only
	Port   int32          // of the kubelet's server

	// Capacity and Allocatable default to what the machine has; pods default to 110.
	Capacity    corev1.ResourceList
	Allocatable corev1.ResourceList
	// Info is completed from the machine where fields are empty.
	Info corev1.NodeSystemInfo
	// RootDir's file system is the node's ephemeral storage.
	RootDir string

	// Images lists what is on the node, for the status; nil reports none.
	Images func(ctx context.Context) ([]container.Image, error)
	// RuntimeReady says whether containers can be run now; nil means always.
	RuntimeReady func() error

	Clock  clock.WithTicker
	Logger *slog.Logger
}
