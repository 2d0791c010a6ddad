// Package node keeps the Node object of this machine: it registers it, renews its Lease,
// and reports capacity, conditions and images. It refuses to speak for a node whose name
// its credentials do not carry.
package node

import (
	"context"
	"fmt"
	"log/slog"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/clock"

	"github.com/miniorch/miniorch/kubelet/container"
)

// Config describes the machine.
type Config struct {
	Name string
	// Identity is the common name of the client certificate, if one is used:
	// "system:node:<name>".
	Identity string
	IPs      []string // internal addresses, primary first
	Labels   map[string]string
	// Annotations are kept on the Node, beside those of others.
	Annotations map[string]string
	Taints      []corev1.Taint // set at registration only
	Port        int32          // of the kubelet's server; default 10250

	// Capacity defaults to what the machine has, with 110 pods; Allocatable to Capacity.
	Capacity    corev1.ResourceList
	Allocatable corev1.ResourceList
	// Info is completed from the machine where fields are empty.
	Info corev1.NodeSystemInfo
	// RootDir's file system is the node's ephemeral storage.
	RootDir string

	// Images lists what is on the node, for the status; nil reports none.
	Images func(ctx context.Context) ([]container.Image, error)
	// RuntimeVersion asks for the container runtime's version, such as "containerd://2.0.1";
	// nil leaves what Info says.
	RuntimeVersion func(ctx context.Context) (string, error)
	// Ready says whether pods can be run now; nil means always.
	Ready func() error
	// Measure returns the machine's state; nil measures it.
	Measure func() (Pressure, error)

	Clock  clock.WithTicker
	Logger *slog.Logger
}

// identityPrefix begins the common names of nodes' certificates.
const identityPrefix = "system:node:"

// Version is the version of Kubernetes whose behaviour the agent shows.
const Version = "v1.37.0+miniorch"

func (c Config) withDefaults() (Config, error) {
	if other, ok := strings.CutPrefix(c.Identity, identityPrefix); ok && other != c.Name {
		return c, fmt.Errorf("the credentials are those of node %q: this agent cannot be node %q", other, c.Name)
	}
	if c.Port == 0 {
		c.Port = 10250
	}
	if c.Clock == nil {
		c.Clock = clock.RealClock{}
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.Measure == nil {
		c.Measure = func() (Pressure, error) { return measure(c.RootDir) }
	}
	if c.Capacity == nil {
		capacity, err := machineCapacity(c.RootDir)
		if err != nil {
			return c, err
		}
		c.Capacity = capacity
	}
	if c.Allocatable == nil {
		c.Allocatable = c.Capacity.DeepCopy()
	}
	c.Info = completeInfo(c.Info)
	return c, nil
}
