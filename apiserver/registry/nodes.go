package registry

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/miniorch/miniorch/apiserver/resource"
	"github.com/miniorch/miniorch/pkg/api"
)

func nodes() resource.Descriptor {
	return describe(kind[*corev1.Node]{
		singular:            "node",
		shortNames:          []string{"no"},
		new:                 func() *corev1.Node { return &corev1.Node{} },
		newList:             func() runtime.Object { return &corev1.NodeList{} },
		defaults:            defaultNode,
		prepareUpdate:       func(n, old *corev1.Node) { n.Status = old.Status },
		validate:            validateNode,
		validateUpdate:      validateNodeUpdate,
		warnings:            warnNode,
		unconditionalUpdate: true,
		fieldNames:          []string{"spec.unschedulable"},
		fields: func(n *corev1.Node) fields.Set {
			return fields.Set{"spec.unschedulable": fmt.Sprint(n.Spec.Unschedulable)}
		},
		columns: nodeColumns(),
		subresources: []resource.Subresource{
			statusOf(func(n, old *corev1.Node) { n.Spec = old.Spec }, validateNodeStatusUpdate),
			proxyOf("NodeProxyOptions"),
		},
	})
}

func nodeColumns() []column[*corev1.Node] {
	type node = *corev1.Node
	info := func(name, description string, value func(corev1.NodeSystemInfo) string) column[node] {
		return textColumn(name, description, func(n node) string {
			if v := value(n.Status.NodeInfo); v != "" {
				return v
			}
			return unknown
		})
	}
	address := func(name, description string, typ corev1.NodeAddressType) column[node] {
		return wide(textColumn(name, description, func(n node) string { return addressOf(n, typ) }))
	}
	return []column[node]{
		nameColumn[node](),
		textColumn("Status", "Whether the node is ready, and whether it takes new pods.", printNodeStatus),
		textColumn("Roles", "The roles in its labels.", printNodeRoles),
		ageColumn[node](),
		textColumn("Version", "The version of its agent.", func(n node) string { return n.Status.NodeInfo.KubeletVersion }),
		address("Internal-IP", "Its address within the cluster.", corev1.NodeInternalIP),
		address("External-IP", "Its address outside of the cluster.", corev1.NodeExternalIP),
		wide(info("OS-Image", "Its operating system.", func(i corev1.NodeSystemInfo) string { return i.OSImage })),
		wide(info("Kernel-Version", "Its kernel.", func(i corev1.NodeSystemInfo) string { return i.KernelVersion })),
		wide(info("Container-Runtime", "What runs its containers.",
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
	return orNone(strings.Join(slices.Sorted(maps.Keys(roles)), ","))
}

func addressOf(n *corev1.Node, typ corev1.NodeAddressType) string {
	for _, a := range n.Status.Addresses {
		if a.Type == typ {
			return a.Address
		}
	}
	return none
}
