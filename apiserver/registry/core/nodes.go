package core

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/miniorch/miniorch/apiserver/registry/kind"
	"github.com/miniorch/miniorch/apiserver/resource"
	"github.com/miniorch/miniorch/pkg/api"
)

func nodes() resource.Descriptor {
	return kind.Describe(kind.Of[*corev1.Node]{
		Singular:            "node",
		ShortNames:          []string{"no"},
		New:                 func() *corev1.Node { return &corev1.Node{} },
		NewList:             func() runtime.Object { return &corev1.NodeList{} },
		Defaults:            defaultNode,
		PrepareUpdate:       func(n, old *corev1.Node) { n.Status = old.Status },
		Validate:            validateNode,
		ValidateUpdate:      validateNodeUpdate,
		Warnings:            warnNode,
		UnconditionalUpdate: true,
		FieldNames:          []string{"spec.unschedulable"},
		Fields: func(n *corev1.Node) fields.Set {
			return fields.Set{"spec.unschedulable": fmt.Sprint(n.Spec.Unschedulable)}
		},
		Columns: nodeColumns(),
		Subresources: []resource.Subresource{
			kind.StatusOf(func(n, old *corev1.Node) { n.Spec = old.Spec }, validateNodeStatusUpdate),
			proxyOf("NodeProxyOptions"),
		},
	})
}

func nodeColumns() []kind.Column[*corev1.Node] {
	type node = *corev1.Node
	info := func(name, description string, value func(corev1.NodeSystemInfo) string) kind.Column[node] {
		return kind.TextColumn(name, description, func(n node) string {
			if v := value(n.Status.NodeInfo); v != "" {
				return v
			}
			return kind.Unknown
		})
	}
	address := func(name, description string, typ corev1.NodeAddressType) kind.Column[node] {
		return kind.Wide(kind.TextColumn(name, description, func(n node) string { return addressOf(n, typ) }))
	}
	return []kind.Column[node]{
		kind.NameColumn[node](),
		kind.TextColumn("Status", "Whether the node is ready, and whether it takes new pods.", printNodeStatus),
		kind.TextColumn("Roles", "The roles in its labels.", printNodeRoles),
		kind.AgeColumn[node](),
		kind.TextColumn("Version", "The version of its agent.", func(n node) string { return n.Status.NodeInfo.KubeletVersion }),
		address("Internal-IP", "Its address within the cluster.", corev1.NodeInternalIP),
		address("External-IP", "Its address outside of the cluster.", corev1.NodeExternalIP),
		kind.Wide(info("OS-Image", "Its operating system.", func(i corev1.NodeSystemInfo) string { return i.OSImage })),
		kind.Wide(info("Kernel-Version", "Its kernel.", func(i corev1.NodeSystemInfo) string { return i.KernelVersion })),
		kind.Wide(info("Container-Runtime", "What runs its containers.",
			func(i corev1.NodeSystemInfo) string { return i.ContainerRuntimeVersion })),
	}
}

func printNodeStatus(n *corev1.Node) string {
	status := "Unknown"
	for _, c := range n.Status.Conditions {
		if c.Type != corev1.NodeReady {
			continue
		}
		status = "NotReady"
		if c.Status == corev1.ConditionTrue {
			status = "Ready"
		}
	}
	if n.Spec.Unschedulable {
		status += ",SchedulingDisabled"
	}
	return status
}

func printNodeRoles(n *corev1.Node) string {
	roles := map[string]bool{}
	for key, value := range n.Labels {
		switch {
		case strings.HasPrefix(key, api.LabelNodeRolePrefix):
			if role := strings.TrimPrefix(key, api.LabelNodeRolePrefix); role != "" {
				roles[role] = true
			}
		case key == api.LabelNodeRole && value != "":
			roles[value] = true
		}
	}
	return kind.OrNone(strings.Join(slices.Sorted(maps.Keys(roles)), ","))
}

func addressOf(n *corev1.Node, typ corev1.NodeAddressType) string {
	for _, a := range n.Status.Addresses {
		if a.Type == typ {
			return a.Address
		}
	}
	return kind.None
}
