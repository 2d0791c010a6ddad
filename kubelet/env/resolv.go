package env

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// DNS is what the cluster and the host offer for name resolution.
type DNS struct {
	Servers []string // the cluster's
	Domain  string   // "cluster.local"
	Host    string   // the text of the host's resolv.conf
}

// resolv.conf holds no more than this, by the resolver's limits as Kubernetes states them.
const (
	maxServers     = 3
	maxSearches    = 32
	maxSearchChars = 2048
)

type resolver struct{ servers, searches, options []string }

// ResolvConf returns the text of a pod's /etc/resolv.conf.
func ResolvConf(pod *corev1.Pod, dns DNS) string {
	host := parseResolv(dns.Host)
	r := host
	switch policy := pod.Spec.DNSPolicy; {
	case policy == corev1.DNSNone:
		r = resolver{}
	case policy == corev1.DNSDefault, policy != corev1.DNSClusterFirstWithHostNet && pod.Spec.HostNetwork, len(dns.Servers) == 0:
	default:
		domain := "svc." + dns.Domain
		r = resolver{
			servers:  dns.Servers,
			searches: append([]string{pod.Namespace + "." + domain, domain, dns.Domain}, host.searches...),
			options:  []string{"ndots:5"},
		}
	}
	if extra := pod.Spec.DNSConfig; extra != nil {
		r = r.with(extra)
	}
	return r.String()
}

// with adds a pod's own settings; an option of the same name replaces the policy's.
func (r resolver) with(c *corev1.PodDNSConfig) resolver {
	r.servers = unique(append(slices.Clone(r.servers), c.Nameservers...))
	r.searches = unique(append(slices.Clone(r.searches), c.Searches...))
	options := slices.Clone(r.options)
	for _, o := range c.Options {
		options = slices.DeleteFunc(options, func(have string) bool {
			name, _, _ := strings.Cut(have, ":")
			return name == o.Name
		})
		text := o.Name
		if o.Value != nil && *o.Value != "" {
			text += ":" + *o.Value
		}
		options = append(options, text)
	}
	r.options = options
	return r
}

// String prints the file within the resolver's limits.
func (r resolver) String() string {
	var out strings.Builder
	if searches := limitSearches(unique(r.searches)); len(searches) > 0 {
		out.WriteString("search " + strings.Join(searches, " ") + "\n")
	}
	for i, s := range r.servers {
		if i < maxServers {
			out.WriteString("nameserver " + s + "\n")
		}
	}
	if len(r.options) > 0 {
		out.WriteString("options " + strings.Join(r.options, " ") + "\n")
	}
	return out.String()
}

func limitSearches(searches []string) []string {
	chars := 0
	for i, s := range searches {
		chars += len(s) + 1
		if i == maxSearches || chars > maxSearchChars {
			return searches[:i]
		}
	}
	return searches
}

func unique(s []string) []string {
	var out []string
	for _, x := range s {
		if !slices.Contains(out, x) {
			out = append(out, x)
		}
	}
	return out
}

func parseResolv(text string) resolver {
	var r resolver
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) < 2 {
			continue
		}
		switch words[0] {
		case "nameserver":
			r.servers = append(r.servers, words[1])
		case "search", "domain":
			r.searches = nil
			for _, w := range words[1:] {
				if w != "." {
					r.searches = append(r.searches, strings.TrimSuffix(w, "."))
				}
			}
		case "options":
			r.options = append(r.options, words[1:]...)
		}
	}
	return r
}
