// Package sandbox holds the plain types that the kubelet and its pod network share: what a
// pod asks for, and the namespaces and addresses it was given. It has no behaviour.
package sandbox

import (
	"k8s.io/apimachinery/pkg/types"

	corev1 "k8s.io/api/core/v1"
)

// Spec asks for the namespaces, and unless HostNetwork the network, of one pod.
type Spec struct {
	UID       types.UID
	Namespace string
	Name      string
	Hostname  string // of the UTS namespace

	HostNetwork bool // no network or UTS namespace of its own, no address
	HostIPC     bool // no IPC namespace of its own
	HostPorts   []HostPort
	Sysctls     map[string]string // set in the pod's own namespaces
}

// HostPort forwards a port of the node to the pod.
type HostPort struct {
	Protocol      corev1.Protocol
	HostIP        string // empty: every address of the node
	HostPort      int32
	ContainerPort int32
}

// Result is what a pod was given. An empty path means that the host's namespace is used.
type Result struct {
	NetNSPath string
	IPCNSPath string
	UTSNSPath string
	IPs       []string // primary first; empty for pods on the host's network
}
