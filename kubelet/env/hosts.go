package env

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// Hostname returns a pod's hostname and, if it has a subdomain, its full name.
func Hostname(pod *corev1.Pod, domain string) (host, full string) {
	host = pod.Name
	if pod.Spec.Hostname != "" {
		host = pod.Spec.Hostname
	}
	if pod.Spec.HostnameOverride != nil {
		return *pod.Spec.HostnameOverride, ""
	}
	if len(host) > 63 { // the kernel's limit is 64, DNS's 63
		host = strings.TrimRight(host[:63], "-.")
	}
	if pod.Spec.Subdomain != "" {
		full = fmt.Sprintf("%s.%s.%s.svc.%s", host, pod.Spec.Subdomain, pod.Namespace, domain)
	}
	return host, full
}

// UTSName returns the name that a pod's processes see as their host's.
func UTSName(pod *corev1.Pod, domain string) string {
	host, full := Hostname(pod, domain)
	if full != "" && pod.Spec.SetHostnameAsFQDN != nil && *pod.Spec.SetHostnameAsFQDN {
		return full
	}
	return host
}

// Hosts returns the text of a pod's /etc/hosts. For pods on the host's network, node is the
// text of the host's own file, to which aliases are added.
func Hosts(pod *corev1.Pod, ips []string, domain, node string) string {
	var out strings.Builder
	if pod.Spec.HostNetwork {
		out.WriteString("# Kubernetes-managed hosts file (host network).\n" + node)
	} else {
		out.WriteString("# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n" +
			"fe00::0\tip6-localnet\nfe00::0\tip6-mcastprefix\nfe00::1\tip6-allnodes\nfe00::2\tip6-allrouters\n")
		host, full := Hostname(pod, domain)
		for _, ip := range ips {
			if full != "" {
				fmt.Fprintf(&out, "%s\t%s\t%s\n", ip, full, host)
			} else {
				fmt.Fprintf(&out, "%s\t%s\n", ip, host)
			}
		}
	}
	if len(pod.Spec.HostAliases) > 0 {
		out.WriteString("\n# Entries added by HostAliases.\n")
		for _, a := range pod.Spec.HostAliases {
			fmt.Fprintf(&out, "%s\t%s\n", a.IP, strings.Join(a.Hostnames, "\t"))
		}
	}
	return out.String()
}
