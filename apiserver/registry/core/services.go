package core

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/miniorch/miniorch/apiserver/registry/kind"
	"github.com/miniorch/miniorch/apiserver/resource"
)

func services() resource.Descriptor {
	return kind.Describe(kind.Of[*corev1.Service]{
		Singular:            "service",
		ShortNames:          []string{"svc"},
		Categories:          []string{"all"},
		New:                 func() *corev1.Service { return &corev1.Service{} },
		NewList:             func() runtime.Object { return &corev1.ServiceList{} },
		Defaults:            defaultService,
		PrepareCreate:       prepareServiceCreate,
		PrepareUpdate:       prepareServiceUpdate,
		Validate:            validateService,
		ValidateUpdate:      validateServiceUpdate,
		ValidateName:        validation.NameIsDNS1035Label,
		Warnings:            warnService,
		CreateOnUpdate:      true,
		UnconditionalUpdate: true,
		FieldNames:          []string{"spec.clusterIP", "spec.type"},
		Fields: func(s *corev1.Service) fields.Set {
			return fields.Set{"spec.clusterIP": s.Spec.ClusterIP, "spec.type": string(s.Spec.Type)}
		},
		Columns: serviceColumns(),
		Subresources: []resource.Subresource{
			kind.StatusOf(func(s, old *corev1.Service) { s.Spec = old.Spec }, validateServiceStatus),
			proxyOf("ServiceProxyOptions"),
		},
	})
}

func serviceColumns() []kind.Column[*corev1.Service] {
	type service = *corev1.Service
	return []kind.Column[service]{
		kind.NameColumn[service](),
		kind.TextColumn("Type", "How the service is reached.", func(s service) string { return string(s.Spec.Type) }),
		kind.TextColumn("Cluster-IP", "Its address within the cluster.", func(s service) string { return kind.OrNone(s.Spec.ClusterIP) }),
		kind.TextColumn("External-IP", "Its addresses outside of the cluster.", printExternalIP),
		kind.TextColumn("Port(s)", "Its ports, with the node ports.", printServicePorts),
		kind.AgeColumn[service](),
		kind.Wide(kind.Column[service]{Name: "Selector", Type: "string", Description: "Which pods are behind it.",
			Value: func(s service, _ time.Time) any { return formatLabels(s.Spec.Selector) }}),
	}
}

// formatLabels prints labels as a selector, in a stable order.
func formatLabels(l map[string]string) string {
	return metav1.FormatLabelSelector(&metav1.LabelSelector{MatchLabels: l})
}

func printServicePorts(s *corev1.Service) string {
	var ports []string
	for _, p := range s.Spec.Ports {
		if p.NodePort > 0 {
			ports = append(ports, fmt.Sprintf("%d:%d/%s", p.Port, p.NodePort, p.Protocol))
			continue
		}
		ports = append(ports, fmt.Sprintf("%d/%s", p.Port, p.Protocol))
	}
	return kind.OrNone(strings.Join(ports, ","))
}

func printExternalIP(s *corev1.Service) string {
	switch s.Spec.Type {
	case corev1.ServiceTypeExternalName:
		return s.Spec.ExternalName
	case corev1.ServiceTypeLoadBalancer:
		addresses := loadBalancerAddresses(s)
		if len(addresses)+len(s.Spec.ExternalIPs) == 0 {
			return "<pending>"
		}
		return strings.Join(append(addresses, s.Spec.ExternalIPs...), ",")
	}
	return kind.OrNone(strings.Join(s.Spec.ExternalIPs, ","))
}

// loadBalancerAddresses are the addresses that a load balancer reported, each once.
func loadBalancerAddresses(s *corev1.Service) []string {
	seen := map[string]bool{}
	for _, in := range s.Status.LoadBalancer.Ingress {
		switch {
		case in.IP != "":
			seen[in.IP] = true
		case in.Hostname != "":
			seen[in.Hostname] = true
		}
	}
	return slices.Sorted(maps.Keys(seen))
}
