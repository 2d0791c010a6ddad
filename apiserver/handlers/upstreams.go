package handlers

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// reference is how a proxy's URL names its end: "name", "name:port" or "scheme:name:port".
type reference struct{ scheme, name, port string }

func parseReference(text string) (reference, error) {
	parts := strings.Split(text, ":")
	r := reference{scheme: "http", name: parts[0]}
	switch len(parts) {
	case 1:
	case 2:
		r.port = parts[1]
	case 3:
		r = reference{scheme: parts[0], name: parts[1], port: parts[2]}
		if r.scheme == "" {
			r.scheme = "http"
		}
	default:
		r.name = ""
	}
	if r.name == "" || r.scheme != "http" && r.scheme != "https" {
		return r, apierrors.NewBadRequest(fmt.Sprintf("invalid request %q: want NAME, NAME:PORT or SCHEME:NAME:PORT with http or https", text))
	}
	return r, nil
}

// upstreamOf finds what the target's proxy leads to.
func (h *Handler) upstreamOf(ctx context.Context, s *served) (upstream, error) {
	ref, err := parseReference(s.name)
	if err != nil {
		return upstream{}, err
	}
	switch s.resource {
	case "pods":
		return h.podUpstream(ctx, s, ref)
	case "services":
		return h.serviceUpstream(ctx, s, ref)
	}
	return h.nodeUpstream(ctx, ref)
}

func (h *Handler) podUpstream(ctx context.Context, s *served, ref reference) (upstream, error) {
	pod, err := h.pod(ctx, s, ref.name)
	if err != nil {
		return upstream{}, err
	}
	port, err := podPort(pod, ref)
	if err != nil {
		return upstream{}, err
	}
	return h.toPod(pod, ref.scheme, port)
}

// podPort is the port that was asked for, or the first that the pod declares, or the scheme's.
func podPort(pod *corev1.Pod, ref reference) (uint16, error) {
	if ref.port != "" {
		return portNumber(ref.port)
	}
	for _, c := range pod.Spec.Containers {
		if len(c.Ports) > 0 {
			return uint16(c.Ports[0].ContainerPort), nil
		}
	}
	if ref.scheme == "https" {
		return 443, nil
	}
	return 80, nil
}

func portNumber(text string) (uint16, error) {
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil || n == 0 {
		return 0, apierrors.NewBadRequest(fmt.Sprintf("invalid port %q", text))
	}
	return uint16(n), nil
}

func (h *Handler) toPod(pod *corev1.Pod, scheme string, port uint16) (upstream, error) {
	if pod.Spec.NodeName == "" || pod.Status.PodIP == "" {
		return upstream{}, apierrors.NewServiceUnavailable(fmt.Sprintf("pod %q has no address yet", pod.Name))
	}
	return upstream{scheme: scheme, host: hostPort(pod.Status.PodIP, port), dial: h.throughKubelet(pod, port)}, nil
}

func hostPort(host string, port uint16) string {
	return net.JoinHostPort(host, strconv.Itoa(int(port)))
}

// serviceUpstream chooses one of a service's ready endpoints.
func (h *Handler) serviceUpstream(ctx context.Context, s *served, ref reference) (upstream, error) {
	obj, err := h.registry.Get(ctx, corev1.SchemeGroupVersion.WithResource("services"), s.namespace, ref.name)
	if err != nil {
		return upstream{}, err
	}
	port, err := servicePort(obj.(*corev1.Service), ref.port)
	if err != nil {
		return upstream{}, err
	}
	store, ok := h.registry.Lookup(discoveryv1.SchemeGroupVersion.WithResource("endpointslices"))
	if !ok {
		return upstream{}, apierrors.NewServiceUnavailable("this API server has no EndpointSlices")
	}
	list, err := store.List(ctx, s.namespace, metav1.ListOptions{LabelSelector: discoveryv1.LabelServiceName + "=" + ref.name})
	if err != nil {
		return upstream{}, err
	}
	var choices []endpoint
	for _, item := range list.Items {
		choices = append(choices, readyEndpoints(item.Object.(*discoveryv1.EndpointSlice), port)...)
	}
	if len(choices) == 0 {
		return upstream{}, apierrors.NewServiceUnavailable(fmt.Sprintf("no endpoints available for service %q", s.name))
	}
	return h.endpointUpstream(ctx, s, ref, choices[h.cfg.Rand()%uint64(len(choices))])
}

// servicePort returns the name of the port that is meant by a name or a number; none means
// the one without a name.
func servicePort(service *corev1.Service, port string) (string, error) {
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return port, nil
	}
	for _, p := range service.Spec.Ports {
		if uint64(p.Port) == number {
			return p.Name, nil
		}
	}
	return "", apierrors.NewServiceUnavailable(fmt.Sprintf("no service port %d found for service %q", number, service.Name))
}

// endpoint is one place where a service's port is served.
type endpoint struct {
	discoveryv1.Endpoint
	port uint16
}

func readyEndpoints(slice *discoveryv1.EndpointSlice, port string) (out []endpoint) {
	i := slices.IndexFunc(slice.Ports, func(p discoveryv1.EndpointPort) bool {
		name, protocol := "", corev1.ProtocolTCP
		if p.Name != nil {
			name = *p.Name
		}
		if p.Protocol != nil {
			protocol = *p.Protocol
		}
		return name == port && protocol == corev1.ProtocolTCP && p.Port != nil
	})
	if i < 0 {
		return nil
	}
	for _, e := range slice.Endpoints {
		if ready := e.Conditions.Ready; len(e.Addresses) > 0 && (ready == nil || *ready) {
			out = append(out, endpoint{e, uint16(*slice.Ports[i].Port)})
		}
	}
	return out
}

// endpointUpstream leads to the endpoint's pod by way of its node. One that is no pod is
// connected to from here, if its address is one that can be a service's.
func (h *Handler) endpointUpstream(ctx context.Context, s *served, ref reference, e endpoint) (upstream, error) {
	if e.TargetRef != nil && e.TargetRef.Kind == "Pod" {
		pod, err := h.pod(ctx, s, e.TargetRef.Name)
		if err != nil {
			return upstream{}, err
		}
		return h.toPod(pod, ref.scheme, e.port)
	}
	return direct(ref.scheme, e.Addresses[0], e.port)
}

// direct leads to an address that somebody wrote into an object. It must not be one that only
// this machine, or what runs beside it, can reach.
func direct(scheme, address string, port uint16) (upstream, error) {
	ip, err := netip.ParseAddr(address)
	if ip = ip.Unmap(); err != nil || !ip.IsGlobalUnicast() || ip.IsLoopback() || ip.IsLinkLocalUnicast() {
		return upstream{}, apierrors.NewBadRequest(fmt.Sprintf("address %q is not allowed", address))
	}
	to := hostPort(ip.String(), port)
	return upstream{scheme: scheme, host: to, dial: func(ctx context.Context) (net.Conn, error) {
		return (&net.Dialer{Timeout: kubeletDialTimeout}).DialContext(ctx, "tcp", to)
	}}, nil
}

// nodeUpstream leads to a node's agent, or to another port of the node.
func (h *Handler) nodeUpstream(ctx context.Context, ref reference) (upstream, error) {
	node, err := h.node(ctx, ref.name)
	if err != nil {
		return upstream{}, err
	}
	address, err := AddressOf(node)
	if err != nil {
		return upstream{}, apierrors.NewServiceUnavailable(err.Error())
	}
	if ref.port != "" && ref.port != strconv.Itoa(int(address.Port)) {
		port, err := portNumber(ref.port)
		if err != nil {
			return upstream{}, err
		}
		return direct(ref.scheme, address.Host, port)
	}
	if h.cfg.Kubelets == nil {
		return upstream{}, apierrors.NewServiceUnavailable("this API server has no credentials for nodes")
	}
	// To the transport this is plain HTTP: Dial speaks TLS already, and has made sure whose it is.
	return upstream{scheme: "http", host: address.String(), dial: func(ctx context.Context) (net.Conn, error) {
		return h.cfg.Kubelets.Dial(ctx, address)
	}}, nil
}
